// The rows of a plane, channels_first, on their way into the strip: with a stride every stride-th column, so that the columns of a phase
// are neighbours there. The strip's border is the tile loop's.
#include "Halide.h"
#include "schedules/tiles.h"
#include "stages.h"

namespace {

using namespace Halide;

class CopiedTile : public Generator<CopiedTile> {
public:
    /// Of the image and of the strip: float32 or float16.
    GeneratorParam<Type> image_type{"image_type", Float(32)};
    GeneratorParam<Type> type{"type", Float(32)};
    /// Pixels in a vector; a row has at least as many.
    GeneratorParam<int> lanes{"lanes", 8};
    GeneratorParam<int> stride{"stride", 1};

    /// (stride·x, y, c)
    Input<Buffer<void, 3>> image{"image"};
    /// (x, y, c)
    Output<Buffer<void, 3>> strip{"strip"};

    void configure() {
        image.set_type(image_type);
        strip.set_type(sepconv::in_memory(type, target));
    }

    void generate() { strip(x, y, c) = sepconv::to_memory(cast(sums(), image(x * int(stride), y, c)), strip.type()); }

    void schedule() {
        for (int d = 0; d < 3; d++) {
            image.dim(d).set_min(0);
            strip.dim(d).set_min(0);
        }
        image.dim(0).set_stride(1);
        strip.dim(0).set_stride(1);
        sepconv::schedule_copied_tile(strip, x, lanes);
    }

private:
    // What is rounded is float32; what only moves keeps its type.
    Type sums() const { return Type(image_type) == Type(type) ? Type(type) : Float(32); }

    Var x{"x"}, y{"y"}, c{"c"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(CopiedTile, copied_tile)
