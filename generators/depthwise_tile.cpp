// The depthwise stage over a tile: reads the image (inside) or a padded strip, writes the scratch that the product reads. Every size
// is open; a generator parameter above zero promises a value and lets the compiler share loads between neighbouring outputs.
#include "Halide.h"
#include "schedules/tiles.h"
#include "stages.h"

namespace {

using namespace Halide;

class DepthwiseTile : public Generator<DepthwiseTile> {
public:
    /// Of every tensor, and of the sums: float32 or float16.
    GeneratorParam<Type> type{"type", Float(32)};
    GeneratorParam<bool> channels_first{"channels_first", false};
    /// Channels in a vector; for channels_first, pixels in a vector.
    GeneratorParam<int> lanes{"lanes", 8};
    /// Floats from one pixel of the scratch to the next: the product's lanes. channels_last only.
    GeneratorParam<int> pixel_stride{"pixel_stride", 8};
    /// The window's width and height, the stride and the dilation in both directions; 0: known when called.
    GeneratorParam<int> kernel{"kernel", 0};
    GeneratorParam<int> stride{"stride", 0};
    GeneratorParam<int> dilation{"dilation", 0};
    /// Whether `padded` is a strip, whose pixels lie `lanes` apart, or the image. channels_last only.
    GeneratorParam<bool> strip{"strip", false};
    /// Outputs whose accumulators are in registers together: neighbours along the row, or for channels_first rows.
    GeneratorParam<int> together{"together", 1};

    /// channels_last: (lane, x, y, block). channels_first: (x, phase, y, c), where column stride·x + phase of the padded image is at (x,
    /// phase).
    Input<Buffer<void, 4>> padded{"padded"};
    /// channels_last: (lane, i, j, multiplier, block), i along the row. channels_first: (i, j, multiplier, c, 0).
    Input<Buffer<void, 5>> taps{"taps"};
    Input<int> stride_x{"stride_x"}, stride_y{"stride_y"}, dilation_x{"dilation_x"}, dilation_y{"dilation_y"};
    Input<int> kernel_width{"kernel_width"}, kernel_height{"kernel_height"};
    /// channels_last: (lane, x, y, multiplier, block). channels_first: (x, y, multiplier, c, 0).
    Output<Buffer<void, 5>> scratch{"scratch"};

    void configure() {
        padded.set_type(type);
        taps.set_type(type);
        scratch.set_type(type);
    }

    void generate() {
        auto known = [](int promised, const Expr &given) { return promised > 0 ? Expr(promised) : given; };
        sepconv::Window window{known(kernel, kernel_width), known(kernel, kernel_height), known(stride, stride_x),
                               known(stride, stride_y),     known(dilation, dilation_x),  known(dilation, dilation_y)};
        taps_over = RDom(0, window.width, 0, window.height, "taps_over");
        if (channels_first) {
            // With a stride the columns of one phase are neighbours in the strip; without one there is a single phase.
            // Written out, since Halide does not see that (x·stride + offset) / stride is x + offset / stride.
            auto image = [&](const Expr & /*column*/, const Expr &row) {
                const Expr offset = taps_over.x * window.dilation_x;
                return padded(x + offset / window.stride_x, offset % window.stride_x, row, c);
            };
            auto tap = [&](const Expr &i, const Expr &j) { return taps(i, j, multiplier, c, 0); };
            sum = sepconv::depthwise_stage({x, y, multiplier, c}, x, y, window, taps_over, image, tap, sepconv::keep_order(target));
            scratch(x, y, multiplier, c, unused) = sum(x, y, multiplier, c);
        } else {
            auto image = [&](const Expr &column, const Expr &row) { return padded(lane, column, row, block); };
            auto tap = [&](const Expr &i, const Expr &j) { return taps(lane, i, j, multiplier, block); };
            sum =
                sepconv::depthwise_stage({lane, x, y, multiplier, block}, x, y, window, taps_over, image, tap, sepconv::keep_order(target));
            scratch(lane, x, y, multiplier, block) = sum(lane, x, y, multiplier, block);
        }
    }

    void schedule() {
        for (int i = 0; i < 4; i++) {
            padded.dim(i).set_min(0);
        }
        for (int i = 0; i < 5; i++) {
            taps.dim(i).set_min(0);
            scratch.dim(i).set_min(0);
        }
        padded.dim(0).set_stride(1);
        taps.dim(0).set_stride(1);
        scratch.dim(0).set_stride(1);
        if (channels_first) {
            if (kernel > 0) taps.dim(1).set_stride(kernel);
            scratch.dim(4).set_extent(1);
            sepconv::schedule_depthwise_tile_channels_first(scratch, sum, taps_over, {x, y, multiplier, c, unused}, lanes, together,
                                                            kernel > 0);
        } else {
            padded.dim(0).set_extent(lanes);
            if (strip) padded.dim(1).set_stride(lanes);
            taps.dim(0).set_extent(lanes);
            taps.dim(1).set_stride(lanes);
            if (kernel > 0) taps.dim(2).set_stride(int(lanes) * int(kernel));
            scratch.dim(0).set_extent(lanes);
            scratch.dim(1).set_stride(pixel_stride);
            sepconv::schedule_depthwise_tile(scratch, sum, taps_over, {lane, x, y, multiplier, block}, lanes, together, kernel > 0,
                                             // An image whose channels fill half of the product's lanes is a single block.
                                             strip || int(lanes) < int(pixel_stride), apart(stride, kernel));
        }
    }

private:
    // With the 49 taps of the widest window the compiler spills in that order.
    static bool apart(int stride, int kernel) {
        constexpr int widest = 7;
        return stride > 1 && kernel < widest;
    }

    Var lane{"lane"}, x{"x"}, y{"y"}, c{"c"}, multiplier{"multiplier"}, block{"block"}, unused{"unused"};
    RDom taps_over;
    Func sum;
};

}  // namespace

HALIDE_REGISTER_GENERATOR(DepthwiseTile, depthwise_tile)
