// The depthwise step as a kernel of its own, for bench/gpu's column "two kernels": its result goes to memory of the device, from where the
// layer's product reads it. Sizes are known; float32.
#include <algorithm>

#include "Halide.h"

namespace {

using namespace Halide;

class DepthwiseOnGpu : public Generator<DepthwiseOnGpu> {
public:
    GeneratorParam<int> kernel{"kernel", 3, 1, 64}, stride{"stride", 1, 1, 64}, dilation{"dilation", 1, 1, 64};
    GeneratorParam<int> height{"height", 1, 1, 1 << 20}, width{"width", 1, 1, 1 << 20};
    GeneratorParam<int> channels{"channels", 1, 1, 1 << 20}, multiplier{"multiplier", 1, 1, 1 << 10};

    Input<Buffer<float, 4>> input{"input"};     ///< (c, x, y, n), dense
    Input<Buffer<float, 4>> taps{"taps"};       ///< (multiplier, c, x, y), Keras' own layout
    Output<Buffer<float, 4>> output{"output"};  ///< (c * multiplier, x, y, n), with padding `same`

    void generate() {
        auto zeros_before = [&](int size) { return std::max(0, (extent(size) - 1) * stride + (kernel - 1) * dilation + 1 - size) / 2; };
        const RDom tap(0, int(kernel), 0, int(kernel));
        const Expr i = x * int(stride) + tap.x * int(dilation) - zeros_before(width);
        const Expr j = y * int(stride) + tap.y * int(dilation) - zeros_before(height);
        const Expr inside = i >= 0 && i < int(width) && j >= 0 && j < int(height);
        const Expr pixel = input(q / int(multiplier), clamp(i, 0, int(width) - 1), clamp(j, 0, int(height) - 1), n);
        sum(q, x, y, n) += select(inside, pixel, 0.0f) * taps(q % int(multiplier), q / int(multiplier), tap.x, tap.y);
        output(q, x, y, n) = sum(q, x, y, n);

        const int row = int(channels) * int(width);
        input.dim(0).set_bounds(0, channels).dim(1).set_bounds(0, width).dim(2).set_bounds(0, height).dim(3).set_min(0);
        input.dim(1).set_stride(channels).dim(2).set_stride(row).dim(3).set_stride(row * int(height));
        const int depth = this->depth(), columns = extent(width), rows = extent(height);
        taps.dim(0).set_bounds(0, multiplier).dim(1).set_bounds(0, channels).dim(2).set_bounds(0, kernel).dim(3).set_bounds(0, kernel);
        const int taps_row = depth * int(kernel);
        taps.dim(1).set_stride(multiplier).dim(2).set_stride(depth).dim(3).set_stride(taps_row);
        output.dim(0).set_bounds(0, depth).dim(1).set_bounds(0, columns).dim(2).set_bounds(0, rows).dim(3).set_min(0);
        output.dim(1).set_stride(depth).dim(2).set_stride(depth * columns).dim(3).set_stride(depth * columns * rows);
    }

    void schedule() {
        // A thread has four channels, which it reads and writes at once, of neighbouring pixels, which share the weights; a warp's channels
        // lie beside each other.
        constexpr int lanes = 4, together = 2, most_channel_threads = 32, threads = 128;
        const int depth = this->depth();
        _halide_user_assert(depth % lanes == 0)
            << "channels: expected a multiple of " << lanes << " with the multiplier, found " << depth << "\n";
        int channel_threads = 1;
        while (channel_threads * 2 <= most_channel_threads && channel_threads * lanes < depth) channel_threads *= 2;
        Var lane("lane"), vector("vector"), thread("thread"), channel_block("channel_block"), pixel("pixel"), run("run"),
            run_thread("run_thread");
        Var run_block("run_block"), image("image");
        Func(output)
            .split(q, vector, lane, lanes, TailStrategy::GuardWithIf)
            .split(vector, channel_block, thread, channel_threads, TailStrategy::GuardWithIf)
            .split(x, run, pixel, together, TailStrategy::GuardWithIf)
            .split(run, run_block, run_thread, threads / channel_threads, TailStrategy::GuardWithIf)
            .fuse(y, n, image)
            .reorder(lane, pixel, thread, run_thread, channel_block, run_block, image)
            .vectorize(lane)
            .unroll(pixel)
            .gpu_threads(thread, run_thread)
            .gpu_blocks(channel_block, run_block, image)
            .never_partition_all();
        sum.compute_at(Func(output), pixel).store_in(MemoryType::Register).vectorize(q, lanes).never_partition_all();
        sum.update().vectorize(q, lanes);
    }

private:
    int depth() const { return int(channels) * int(multiplier); }
    int extent(int size) const { return (size + stride - 1) / stride; }

    Func sum{"sum"};
    Var q{"q"}, x{"x"}, y{"y"}, n{"n"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(DepthwiseOnGpu, depthwise_on_gpu)
