// The layer on a GPU with every size open: the depthwise results of a block's tile stay in shared memory, and a thread's sums in registers.
// Which thread computes what is part of the algorithm: the sums have no coordinate for it, so that each thread has its own in registers.
#include "schedules/gpu_layer.h"

#include "Halide.h"
#include "stages.h"

namespace {

using namespace Halide;
using sepconv::gpu_lanes;

class GpuLayer : public Generator<GpuLayer> {
public:
    /// Of the image and the panel, and of the output: float32 or float16. Sums are float32.
    GeneratorParam<Type> type{"type", Float(32)}, output_type{"output_type", Float(32)};
    GeneratorParam<bool> channels_first{"channels_first", false};
    /// All depthwise channels of a tile are in shared memory at once; otherwise a chunk after the other.
    GeneratorParam<bool> whole{"whole", false};
    /// Channels and filters, and all distances of image and output, are multiples of gpu_lanes, the channels innermost, and there is no
    /// multiplier.
    GeneratorParam<bool> vectors{"vectors", false};
    /// Above 0 a promise of a square window, and of its strides and dilations.
    GeneratorParam<int> kernel{"kernel", 0}, stride{"stride", 0}, dilation{"dilation", 0};
    /// sepconv::GpuTile.
    GeneratorParam<int> columns{"columns", 8}, rows{"rows", 8}, filters{"filters", 64}, chunk{"chunk", 32};
    GeneratorParam<int> thread_pixels{"thread_pixels", 8}, thread_filters{"thread_filters", 4};

    /// (c, x, y, n), whichever of c and x is innermost.
    Input<Buffer<void, 4>> input{"input"};
    /// (q, x, y): zero beyond the last channel, `padded_channels` in all.
    Input<Buffer<float, 3>> taps{"taps"};
    /// (filter, q): `panel_filters` in a row, zero beyond the last channel, a whole number of tiles.
    Input<Buffer<void, 2>> panel{"panel"};
    /// (filter): a whole number of tiles. Zeros where the output takes partial sums.
    Input<Buffer<float, 1>> bias{"bias"};
    Input<int> multiplier{"multiplier"};
    Input<int> stride_x{"stride_x"}, stride_y{"stride_y"}, dilation_x{"dilation_x"}, dilation_y{"dilation_y"};
    Input<int> before_x{"before_x"}, before_y{"before_y"};
    /// In each of the slices that the reduction is cut into. Where there are several, each has its partial sums as an image in the output:
    /// number n·slices + slice.
    Input<int> chunks{"chunks"}, slices{"slices"};
    /// In gpu_lanes.
    Input<int> padded_channels{"padded_channels"}, panel_filters{"panel_filters"};
    /// The distances of image and output where `vectors` is set, in gpu_lanes.
    Input<int> input_x{"input_x"}, input_y{"input_y"}, input_n{"input_n"}, output_x{"output_x"}, output_y{"output_y"}, output_n{"output_n"};
    /// The output's clamps.
    Input<float> low{"low"}, high{"high"};
    /// (filter, x, y, n), of the input's order.
    Output<Buffer<void, 4>> output{"output"};

    void configure() {
        input.set_type(sepconv::in_memory(type, target));
        panel.set_type(sepconv::in_memory(type, target));
        output.set_type(sepconv::in_memory(output_type, target));
    }

    void generate() {
        const sepconv::GpuTile tile = this->tile();
        _halide_user_assert(tile.pixels() % tile.thread_pixels == 0 && tile.filters % tile.thread_filters == 0 &&
                            tile.thread_filters % gpu_lanes == 0 && tile.chunk % gpu_lanes == 0)
            << "gpu_layer: expected tiles that divide among threads and vectors\n";
        const Expr width = input.dim(1).extent(), height = input.dim(2).extent();
        const Expr image_channels = vectors ? input.dim(0).extent() / gpu_lanes * gpu_lanes : Expr(input.dim(0).extent());
        const Expr depthwise_channels = vectors ? image_channels : image_channels * multiplier;

        const Expr output_filters = vectors ? output.dim(0).extent() / gpu_lanes * gpu_lanes : Expr(output.dim(0).extent());
        const Expr output_width = output.dim(1).extent(), output_height = output.dim(2).extent();

        // Blocks have one number, as the grid has one dimension that may be long: the filters' innermost, so that those at work together
        // read one image; where a block goes through all filters, they have no part in it.
        const auto parts = [](const Expr &extent, int size) { return (extent + (size - 1)) / size; };
        const Expr across = parts(output_width, tile.columns), down = parts(output_height, tile.rows);
        filter_blocks = parts(output_filters, tile.filters);
        const auto place = [&](const Expr &number) {
            const Expr around = whole ? number : number / filter_blocks;
            Place at;
            at.filters = whole ? Expr(0) : number % filter_blocks;
            at.column = around % across * tile.columns;
            at.row = around / across % down * tile.rows;
            at.slice = around / (across * down) % known_slices();
            at.image = around / (across * down) / known_slices();
            return at;
        };
        const Expr images = output.dim(3).extent();  // slices among them
        const Expr blocks = across * down * images * (whole ? Expr(1) : filter_blocks);
        const Place here = place(block);

        // A depthwise channel is a lane of a group. Beyond the last one it is read, and not used: 0 · infinity would be NaN.
        const int lanes = vectors ? gpu_lanes : 1;
        const Expr group = c, groups = depthwise_channels / lanes;
        const auto from = [&](const Expr &at) {
            return vectors ? min(at, groups - 1) * lanes + lane : min(at / multiplier, image_channels - 1);
        };
        Func padded("padded");
        const Expr exists = x >= 0 && x < width && y >= 0 && y < height;
        padded(lane, c, x, y, n) = select(
            group < groups && likely(exists),
            sepconv::from_memory(input(from(group), likely(clamp(x, 0, width - 1)), likely(clamp(y, 0, height - 1)), n), Float(32)), 0.0f);

        const Expr sx = stride > 0 ? Expr(int(stride)) : Expr(stride_x), sy = stride > 0 ? Expr(int(stride)) : Expr(stride_y);
        const Expr dx = dilation > 0 ? Expr(int(dilation)) : Expr(dilation_x), dy = dilation > 0 ? Expr(int(dilation)) : Expr(dilation_y);
        const Expr kernel_width = kernel > 0 ? Expr(int(kernel)) : taps.dim(1).extent();
        const Expr kernel_height = kernel > 0 ? Expr(int(kernel)) : taps.dim(2).extent();
        stages.taps = RDom(0, kernel_width, 0, kernel_height, "window");
        stages.sum = Func("sum"), stages.depthwise = Func("depthwise");
        stages.sum(lane, c, x, y, block) = 0.0f;
        const Expr from_group = group + first_channel(here) / lanes;
        stages.sum(lane, c, x, y, block) += padded(lane, from_group, (here.column + x) * sx - before_x + stages.taps.x * dx,
                                                   (here.row + y) * sy - before_y + stages.taps.y * dy, here.image) *
                                            taps(from_group * lanes + lane, stages.taps.x, stages.taps.y);
        stages.depthwise(c, x, y, block) = stages.sum(c % lanes, c / lanes, x, y, block);

        multiply(tile, here);

        stages.points = RDom({{0, gpu_lanes},
                              {0, tile.thread_filters / gpu_lanes},
                              {0, tile.thread_pixels},
                              {0, inner_threads()},
                              {0, tile.threads() / inner_threads()},
                              {0, whole ? filter_blocks : Expr(1)},
                              {0, blocks}},
                             "points");
        RDom &at = stages.points;
        const Place there = place(at[6]);
        const Expr filter_thread = filters_of(at[3], at[4]), pixel_thread = pixels_of(at[3], at[4]);
        const Expr pixel = pixel_of(at[2], pixel_thread);
        const Expr filter = (whole ? Expr(at[5]) : there.filters) * tile.filters + first_filter(at[1], filter_thread);
        const Expr column = there.column + pixel % tile.columns, row = there.row + pixel / tile.columns;
        // Where filters are vectors, the first one's test is enough.
        at.where((vectors ? filter : filter + at[0]) < output_filters);
        at.where(column < output_width);
        at.where(row < output_height);
        const Expr sum = whole ? stages.product(at[0], at[1], at[2], filter_thread, pixel_thread, at[5], at[6])
                               : stages.product(at[0], at[1], at[2], at[6]);
        const auto within = [](const Expr &i, const Expr &extent) { return unsafe_promise_clamped(i, 0, extent - 1); };
        output(f, x, y, n) = undef(output.type());
        output(within(filter + at[0], output_filters), within(column, output_width), within(row, output_height),
               within(there.image * slices + there.slice, images)) = sepconv::to_memory(clamped(sum), output.type());

        promise();
    }

    void schedule() {
        stages.output = output;
        // Where half precision is only its bits, rounding to it is more than Halide has for vectors on OpenCL.
        const bool vector_stores = vectors && output.type() != UInt(16);
        const bool reuse = vectors && kernel > 0 && stride == 1 && dilation == 1;
        sepconv::schedule_gpu_layer(stages, tile(), {channels_first, whole, vectors, vector_stores, reuse, kernel > 0});
    }

private:
    // For OpenCL Halide can't compare vectors strictly, and makes its min and max of comparisons that are not strict: they lose a NaN. A
    // driver of Vulkan may take no comparison strictly.
    Expr clamped(const Expr &sum) const {
        if (!target.value().has_feature(Target::OpenCL) && !on_vulkan()) return sepconv::clamped_stage(sum, low, high);
        const Expr is_nan = (reinterpret<std::int32_t>(sum) & 0x7fffffff) > 0x7f800000;
        return select(is_nan, sum, max(min(sum, high), low));
    }

    bool on_vulkan() const { return target.value().has_feature(Target::Vulkan); }

    // Halide tests a divisor for 0 outside of the kernel, and hands it the result as a bool, which Vulkan's buffers can't have.
    Expr known_slices() const { return on_vulkan() ? max(slices, 1) : Expr(slices); }

    sepconv::GpuTile tile() const { return {columns, rows, filters, chunk, thread_pixels, thread_filters}; }

    // Threads that lie together take what lies together in memory.
    int inner_threads() const { return channels_first ? tile().pixel_threads() : tile().filter_threads(); }
    Expr filters_of(const Expr &inner, const Expr &outer) const { return channels_first ? outer : inner; }
    Expr pixels_of(const Expr &inner, const Expr &outer) const { return channels_first ? inner : outer; }

    // Neighbouring threads have neighbouring pixels, and neighbouring vectors of filters.
    Expr pixel_of(const Expr &of_thread, const Expr &thread) const { return of_thread * tile().pixel_threads() + thread; }
    Expr first_filter(const Expr &vector, const Expr &thread) const {
        return vector * (gpu_lanes * tile().filter_threads()) + thread * gpu_lanes;
    }

    // The first output of a block, and of what.
    struct Place {
        Expr filters, column, row, slice, image;
    };

    void multiply(const sepconv::GpuTile &tile, const Place &here) {
        const Expr depth = chunks * tile.chunk;
        const Expr pixel = pixel_of(p, pixel_thread);
        stages.pixels = Func("pixels"), stages.panel = Func("panel_chunk"), stages.weights = Func("weights"),
        stages.product = Func("product");
        stages.pixels(c, p, pixel_thread, block) = stages.depthwise(c, pixel % tile.columns, pixel / tile.columns, block);
        // The blocks, or with all channels at once the turns, decide on the filters.
        const Var by = whole ? filters_at : block;
        const Expr tile_filters = (whole ? Expr(filters_at) : here.filters) * tile.filters;
        stages.panel(f, c, by) = sepconv::from_memory(panel(tile_filters + f, c + first_channel(here)), Float(32));
        stages.weights(lane, vector, filter_thread, c, by) = stages.panel(first_filter(vector, filter_thread) + lane, c, by);
        const auto bias_of = [&](const Expr &thread) { return bias(tile_filters + first_filter(vector, thread) + lane); };
        if (whole) {
            const std::vector<Var> sums = {lane, vector, p, filter_thread, pixel_thread, filters_at, block};
            // With a few channels more, pixels that neighbouring threads read lie in different banks.
            stages.depth = depth + gpu_lanes;
            stages.steps = RDom(0, depth, "steps");
            const Expr q = stages.steps.x;
            stages.product(sums) = bias_of(filter_thread);
            stages.product(sums) += stages.pixels(q, p, pixel_thread, block) * stages.weights(lane, vector, filter_thread, q, by);
            return;
        }
        const std::vector<Var> sums = {lane, vector, p, block};
        stages.depth = tile.chunk;
        stages.threads = RDom(0, inner_threads(), 0, tile.threads() / inner_threads(), "threads");
        stages.steps = RDom(0, depth, 0, inner_threads(), 0, tile.threads() / inner_threads(), "steps");
        const Expr q = stages.steps.x;
        stages.product(sums) = undef<float>();
        stages.product(sums) =
            bias_of(filters_of(stages.threads.x, stages.threads.y)) + cast<float>(0 * pixels_of(stages.threads.x, stages.threads.y));
        stages.product(sums) += stages.pixels(q, p, pixels_of(stages.steps.y, stages.steps.z), block) *
                                stages.weights(lane, vector, filters_of(stages.steps.y, stages.steps.z), q, by);
    }

    // Of a block's slice, in which channels are counted from 0.
    Expr first_channel(const Place &here) const { return whole ? Expr(0) : here.slice * chunks * int(chunk); }

    void promise() {
        const auto innermost = [&](auto &buffer) {
            buffer.dim(0).set_stride(channels_first ? Expr() : Expr(1));
            if (channels_first) buffer.dim(1).set_stride(1);
            for (int i = 0; i < 4; i++) buffer.dim(i).set_min(0);
        };
        innermost(input);
        innermost(output);
        if (vectors) {
            input.dim(1).set_stride(input_x * gpu_lanes), input.dim(2).set_stride(input_y * gpu_lanes),
                input.dim(3).set_stride(input_n * gpu_lanes);
            output.dim(1).set_stride(output_x * gpu_lanes), output.dim(2).set_stride(output_y * gpu_lanes),
                output.dim(3).set_stride(output_n * gpu_lanes);
            input.set_host_alignment(gpu_lanes * input.type().bytes());
            output.set_host_alignment(gpu_lanes * output.type().bytes());
        }
        const Expr row = padded_channels * gpu_lanes;
        for (int i = 0; i < 3; i++) taps.dim(i).set_min(0);
        taps.dim(1).set_stride(row), taps.dim(2).set_stride(row * taps.dim(1).extent());
        panel.dim(0).set_min(0), panel.dim(1).set_min(0).set_stride(panel_filters * gpu_lanes);
        bias.dim(0).set_min(0);
        taps.set_host_alignment(gpu_lanes * taps.type().bytes());
        panel.set_host_alignment(gpu_lanes * panel.type().bytes());
        bias.set_host_alignment(gpu_lanes * bias.type().bytes());
    }

    Var c{"c"}, x{"x"}, y{"y"}, n{"n"}, f{"f"};
    Var lane{"lane"}, vector{"vector"}, p{"p"}, filter_thread{"filter_thread"}, pixel_thread{"pixel_thread"};
    Var block{"block"}, filters_at{"filters_at"};
    Expr filter_blocks;
    sepconv::GpuLayerStages stages;
};

}  // namespace

HALIDE_REGISTER_GENERATOR(GpuLayer, gpu_layer)
