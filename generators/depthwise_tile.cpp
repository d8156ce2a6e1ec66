// The depthwise stage over a tile: reads the image or a padded strip, writes the scratch that the product reads. Every size is open; a
// generator parameter above zero promises a value and lets the compiler share loads between neighbouring outputs.
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
    /// Whether the outputs' windows may reach beyond the image, where they read zeros. channels_last, from the image, with a window and a
    /// stride that are promised and without a dilation; at least `together` outputs in a row.
    GeneratorParam<bool> border{"border", false};
    /// With `border`: a few rows of a block of channels come before the next block; else all channels of a row before the next row.
    GeneratorParam<bool> rows_first{"rows_first", false};
    /// Outputs whose accumulators are in registers together: neighbours along the row, or for channels_first rows.
    GeneratorParam<int> together{"together", 1};

    /// channels_last: (lane, x, y, block), from where the first output's window begins; with `border` the image's columns and rows, so
    /// counted. channels_first: (x, phase, y, c), where column stride·x + phase of the padded image is at (x, phase).
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
        } else if (border) {
            scratch(lane, x, y, multiplier, block) = undef(type);
            // Of a window no more than half lies beside the image.
            for (int left = 0; left <= kernel / 2; left++) {
                for (int right = left == 0 ? 1 : 0; right <= kernel / 2; right++) fill_strips(window, left, right, Rows::all);
            }
            // Of the strips between them, rows whose windows lie in the image have no test. Under a wide window without a stride it costs
            // too little beside what is computed to be worth a loop of its own.
            constexpr int narrow_window = 3;
            if (kernel <= narrow_window || stride > 1) {
                for (const Rows rows : {Rows::above, Rows::inside, Rows::below}) fill_strips(window, 0, 0, rows);
            } else {
                fill_strips(window, 0, 0, Rows::all);
            }
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
            if (!border || i == 0 || i == 3) padded.dim(i).set_min(0);
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
            for (std::size_t i = 0; i < fills.size(); i++) {
                sepconv::schedule_depthwise_fill(scratch, static_cast<int>(i), fills[i], {lane, x, y, strip_of_row, multiplier, block},
                                                 lanes, together, kernel, rows_first);
            }
            if (border) return;
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

    // Rows of outputs: all, or those before, with and behind the ones whose windows lie in the image from top to bottom.
    enum class Rows { all, above, inside, below };

    // Fills the strips of `together` outputs of which so many of the columns that they read lie left and right of the image. These columns
    // are known then and left out. Rows beside the image are left out by one test for all outputs of a strip.
    void fill_strips(const sepconv::Window &window, int left, int right, Rows rows) {
        const Expr width = scratch.dim(1).extent(), height = scratch.dim(2).extent();
        const int outputs = together, span = (outputs - 1) * stride + kernel;
        const Expr first_column = padded.dim(1).min(), last_column = padded.dim(1).max();
        const Expr first_row = padded.dim(2).min(), last_row = padded.dim(2).max();
        // The last strip moves back to end with the row.
        auto first_of = [&](const Expr &strip) { return min(strip * outputs, width - outputs); };
        sepconv::DepthwiseFill fill;
        fill.taps = RDom(0, kernel, 0, kernel, "taps_over");
        const Expr row = y * stride + fill.taps.y;
        if (rows != Rows::inside) fill.taps.where(row >= first_row && row <= last_row);
        const Expr inside = clamp((first_row + stride - 1) / stride, 0, height);
        const Expr below = clamp((last_row + 1 - kernel + stride) / stride, inside, height);
        const Expr begin = rows == Rows::inside ? inside : rows == Rows::below ? below : Expr(0);
        const Expr end = rows == Rows::above ? inside : rows == Rows::inside ? below : height;
        auto image = [&](const Expr &column, const Expr &row) {
            const Expr in_row = unsafe_promise_clamped(first_of(strip_of_row) * stride + column, first_column, last_column);
            const Expr value = padded(lane, in_row, unsafe_promise_clamped(row, first_row, last_row), block);
            return select(column >= left && column < span - right, value, cast(value.type(), 0));
        };
        auto tap = [&](const Expr &i, const Expr &j) { return taps(lane, i, j, multiplier, block); };
        fill.sum = sepconv::depthwise_stage({lane, x, y, strip_of_row, multiplier, block}, x, y, window, fill.taps, image, tap,
                                            sepconv::keep_order(target));
        // Only the first two strips can reach beyond the image at the left, the second where it has moved back, and the last two at the
        // right.
        const Expr strips = (width + outputs - 1) / outputs, ends = min(strips, 2);
        fill.outputs = RDom(0, outputs, left == 0 && right > 0 ? strips - ends : Expr(0), left + right > 0 ? ends : strips, begin,
                            end - begin, "outputs");
        const RDom &at = fill.outputs;
        const Expr first = first_of(at.y) * stride;
        fill.outputs.where(max(first_column - first, 0) == left && max(first + span - 1 - last_column, 0) == right);
        scratch(lane, first_of(at.y) + at.x, at.z, multiplier, block) = fill.sum(lane, at.x, at.z, at.y, multiplier, block);
        fills.push_back(fill);
    }

    Var lane{"lane"}, x{"x"}, y{"y"}, c{"c"}, multiplier{"multiplier"}, block{"block"}, unused{"unused"};
    RDom taps_over;
    Func sum;
    Var strip_of_row{"strip_of_row"};
    std::vector<sepconv::DepthwiseFill> fills;
};

}  // namespace

HALIDE_REGISTER_GENERATOR(DepthwiseTile, depthwise_tile)
