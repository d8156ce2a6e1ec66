// Turns a tile from one data format to the other: for channels_first images whose planes are too small for vectors of pixels, the
// image's rows on the way to the strip, and the product's pixels on the way to the output.
#include "Halide.h"
#include "schedules/tiles.h"

namespace {

using namespace Halide;

class TransposedTile : public Generator<TransposedTile> {
public:
    /// Of what is read and of what is written: float32 or float16.
    GeneratorParam<Type> image_type{"image_type", Float(32)};
    GeneratorParam<Type> type{"type", Float(32)};
    /// A block of lanes × lanes is turned in registers; both innermost dimensions have at least as many values.
    GeneratorParam<int> lanes{"lanes", 4};

    /// (j, k, i)
    Input<Buffer<void, 3>> from{"from"};
    /// (i, j, k)
    Output<Buffer<void, 3>> to{"to"};

    void configure() {
        from.set_type(image_type);
        to.set_type(type);
    }

    void generate() { to(i, j, k) = cast(type, from(j, k, i)); }

    void schedule() {
        for (int d = 0; d < 3; d++) {
            from.dim(d).set_min(0);
            to.dim(d).set_min(0);
        }
        from.dim(0).set_stride(1);
        to.dim(0).set_stride(1);
        sepconv::schedule_transposed_tile(from, to, i, j, lanes);
    }

private:
    Var i{"i"}, j{"j"}, k{"k"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(TransposedTile, transposed_tile)
