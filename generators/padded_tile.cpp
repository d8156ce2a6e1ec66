// The padded stage over a tile, channels_last: copies a rectangle of the image, one block of channels after the other, into a strip
// with its border of zeros, so that the depthwise stage needs no test for the border.
#include "Halide.h"
#include "schedules/tiles.h"

namespace {

using namespace Halide;

class PaddedTile : public Generator<PaddedTile> {
public:
    /// Of the image and of the strip: float32 or float16.
    GeneratorParam<Type> image_type{"image_type", Float(32)};
    GeneratorParam<Type> type{"type", Float(32)};
    /// Channels in a block.
    GeneratorParam<int> lanes{"lanes", 8};
    /// For images with fewer channels than lanes: the lanes beyond are zero.
    GeneratorParam<bool> narrow{"narrow", false};
    /// With `narrow`: pixels follow each other without a gap, and so many values come after each as fill a vector.
    GeneratorParam<bool> dense{"dense", false};
    /// Lanes in a row that get the same channel of the image; divides `lanes`. Not with `narrow`.
    GeneratorParam<int> spread{"spread", 1};

    /// (c, x, y); (0, 0, 0) is the first pixel of the rectangle that lies inside the image.
    Input<Buffer<void, 3>> image{"image"};
    /// Of the strip: of the image, `spread` times.
    Input<int> channels{"channels"};
    /// Columns and rows of zeros before the image, and of the image.
    Input<int> before_x{"before_x"}, inside_x{"inside_x"}, before_y{"before_y"}, inside_y{"inside_y"};
    /// (lane, x, y, block). The last block begins where its lanes end with the image's channels, so it may repeat some.
    Output<Buffer<void, 4>> strip{"strip"};

    void configure() {
        image.set_type(image_type);
        strip.set_type(type);
    }

    void generate() {
        const Expr zero = cast(type, 0.0f);
        const Expr width = strip.dim(1).extent(), height = strip.dim(2).extent();
        const Expr after_x = before_x + inside_x, after_y = before_y + inside_y;
        const Expr lanes_in = narrow ? Expr(channels) : Expr(int(lanes));
        RDom above(0, width, 0, before_y, "above"), below(0, width, after_y, height - after_y, "below");
        RDom left(0, before_x, before_y, inside_y, "left"), right(after_x, width - after_x, before_y, inside_y, "right");
        strip(lane, x, y, block) = undef(type);
        for (const RDom &margin : {above, below, left, right}) {
            strip(lane, margin.x, margin.y, block) = zero;
        }
        inside = RDom(0, inside_x, 0, inside_y, "inside");
        if (narrow && dense) {
            strip(lane, before_x + inside.x, before_y + inside.y, block) =
                select(lane < channels, cast(type, image(lane, inside.x, inside.y)), zero);
        } else if (narrow) {
            RDom beyond(0, int(lanes), 0, inside_x, 0, inside_y, "beyond"), within(0, lanes_in, 0, inside_x, 0, inside_y, "within");
            strip(beyond.x, before_x + beyond.y, before_y + beyond.z, block) = zero;
            strip(within.x, before_x + within.y, before_y + within.z, block) = cast(type, image(within.x, within.y, within.z));
        } else {
            const Expr channel = min(block * int(lanes), channels - int(lanes)) / int(spread) + lane / int(spread);
            strip(lane, before_x + inside.x, before_y + inside.y, block) = cast(type, image(channel, inside.x, inside.y));
        }
    }

    void schedule() {
        image.dim(0).set_min(0).set_stride(1);
        image.dim(1).set_min(0);
        image.dim(2).set_min(0);
        strip.dim(0).set_bounds(0, lanes).set_stride(1);
        strip.dim(1).set_min(0).set_stride(lanes);
        strip.dim(2).set_min(0);
        strip.dim(3).set_min(0);
        sepconv::schedule_padded_tile(strip, lane, block, inside.x, inside.y, lanes, narrow && !dense);
    }

private:
    Var lane{"lane"}, x{"x"}, y{"y"}, block{"block"};
    RDom inside;
};

}  // namespace

HALIDE_REGISTER_GENERATOR(PaddedTile, padded_tile)
