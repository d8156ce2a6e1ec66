// The choice of a GPU's functions and of the cut, by the time that a block of threads takes.
#include "gpu/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "activation.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

constexpr int warp = 32;
constexpr int most_slices = 16;
constexpr int padding_chunks = 3;                 // by which the last slice may be longer than what is left
constexpr std::int64_t most_shared = 96 * 1024;   // of a block, where the device with the least of it has 99 KiB
constexpr std::int64_t most_local = 32 * 1024;    // what every device of OpenCL has that is no embedded one, and of Vulkan that is taken
constexpr double most_of_whole = 1.5;             // bytes of the whole-depth form for each that has to be moved
constexpr int most_blocks = 32, most_warps = 64;  // of a multiprocessor

Axis make_axis(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, Padding padding) {
    const WindowFit fit = fit_window(input, kernel, stride, dilation, padding);
    return {input, fit.output, kernel, stride, dilation, fit.before};
}

bool fits(int promised, std::int64_t a, std::int64_t b) { return promised == 0 || (promised == a && promised == b); }

bool covers(const Row &row, const Plan &plan) {
    const RowParams &p = row.params;
    return p.channels_first == (plan.format == DataFormat::channels_first) && fits(p.kernel, plan.x.kernel, plan.y.kernel) &&
           fits(p.stride, plan.x.stride, plan.y.stride) && fits(p.dilation, plan.x.dilation, plan.y.dilation);
}

int promises(const RowParams &p) { return (p.kernel > 0) + (p.stride > 0) + (p.dilation > 0); }

// In cycles of a multiprocessor, which issues an instruction of four warps at once.
constexpr double issued_at_once = 4;
constexpr double memory_latency = 700;    // of a chunk's loads from the second level of the cache, with a barrier before and after
constexpr double panel_latency = 60;      // of a step's weights from the first level, beside the multiplications that cover it
constexpr double bytes_per_cycle = 2500;  // that the second level of the cache gives to all multiprocessors together
constexpr double second_kernel = 4500;    // its launch, and that of the first waiting for memory

// Fills in what the fused kernel of `plan.layer` with `plan.slices` costs.
void estimate(Plan &plan, const Machine &machine, std::int64_t value_bytes) {
    const RowParams &p = plan.layer->params;
    const std::int64_t threads = p.threads(), warps = ceil_div(threads, warp);
    const std::int64_t filter_blocks = ceil_div(plan.filters, p.filters);
    const std::int64_t tiles = ceil_div(plan.x.output, p.columns) * ceil_div(plan.y.output, p.rows) * plan.batch;
    plan.blocks = tiles * plan.slices * (p.whole ? 1 : filter_blocks);
    const std::int64_t depth = static_cast<std::int64_t>(plan.chunks) * p.chunk;
    plan.shared_bytes = 4 * (p.whole ? (depth + lanes) * p.pixels() : (p.chunk + lanes) * p.pixels() + p.chunk * p.filters);
    plan.recomputed = p.whole ? 1 : static_cast<double>(filter_blocks);

    const double taps = static_cast<double>(plan.x.kernel * plan.y.kernel);
    const bool reuse = p.vectors && p.kernel > 0 && p.stride == 1 && p.dilation == 1;
    // Instructions of a thread for a vector of depthwise results: multiplications, loads of image and weights, the border's tests.
    const double of_vector = p.vectors ? taps * (reuse ? 7 : 10) : 4 * taps * 9;
    const double vectors = static_cast<double>(p.chunk * p.pixels()) / lanes;
    const double depthwise = std::ceil(vectors / static_cast<double>(threads)) * of_vector;
    const double panel = p.whole ? 0 : 2 * std::ceil(static_cast<double>(p.chunk * p.filters) / lanes / static_cast<double>(threads));
    const double steps = static_cast<double>(p.chunk) / lanes;
    const double product = steps * (lanes * p.thread_pixels * p.thread_filters + p.thread_pixels + p.thread_filters + 8);
    const double turns = p.whole ? static_cast<double>(filter_blocks) : 1;
    const double chunks = plan.chunks;
    // What a block's warps issue, and what one block waits for that only others can fill.
    const double issued = chunks * (depthwise + panel + turns * product) * static_cast<double>(warps) / issued_at_once;
    const double latency = p.whole ? 2 * memory_latency + chunks * turns * steps * panel_latency : chunks * memory_latency;
    const double alone =
        latency + chunks * (depthwise + panel + turns * product) * std::max(1.0, static_cast<double>(warps) / issued_at_once);

    plan.blocks_at_once =
        static_cast<int>(std::clamp<std::int64_t>(std::min({machine.registers / (std::max(p.registers, 32) * warps * warp),
                                                            machine.shared_bytes / (plan.shared_bytes + 1024), most_warps / warps}),
                                                  1, most_blocks));
    const auto of_one = static_cast<double>(ceil_div(plan.blocks, machine.multiprocessors));
    const double rounds = std::ceil(of_one / plan.blocks_at_once);
    plan.cycles = std::max(rounds * alone, of_one * issued);

    const double inputs = (static_cast<double>(p.columns - 1) * static_cast<double>(plan.x.stride) +
                           static_cast<double>((plan.x.kernel - 1) * plan.x.dilation + 1)) *
                          (static_cast<double>(p.rows - 1) * static_cast<double>(plan.y.stride) +
                           static_cast<double>((plan.y.kernel - 1) * plan.y.dilation + 1));
    const double of_image = std::min(inputs, static_cast<double>(plan.x.input * plan.y.input)) / static_cast<double>(plan.multiplier);
    const double of_weights = static_cast<double>(p.filters) * turns + taps * 4 / static_cast<double>(value_bytes);
    const auto each = static_cast<double>(plan.blocks * depth * value_bytes);
    const std::int64_t output = value_bytes * plan.batch * plan.x.output * plan.y.output * plan.filters;
    const std::int64_t weights = value_bytes * plan.depth() * plan.filters + 4 * plan.depth() * plan.x.kernel * plan.y.kernel;
    plan.bytes_least = value_bytes * plan.batch * plan.x.input * plan.y.input * plan.channels + weights + output;
    plan.bytes_moved = static_cast<std::int64_t>(each * (of_image + of_weights)) + output;
    plan.bytes_uncached = std::max(plan.bytes_least, static_cast<std::int64_t>(each * of_image) + weights + output);
    plan.cycles = std::max(plan.cycles, static_cast<double>(plan.bytes_moved) / bytes_per_cycle);
    if (plan.slices > 1) {
        const auto outputs = static_cast<double>(plan.batch * plan.x.output * plan.y.output * plan.filters);
        plan.cycles += second_kernel + 2 * 4 * outputs * plan.slices / bytes_per_cycle;
    }
}

const Row *find(Api api, Stage stage, std::string_view activation, Dtype type) {
    for (const Row &row : rows()) {
        if (row.api == api && row.stage == stage && row.type == type && activation == row.params.activation) return &row;
    }
    throw TargetError(fmt::format("{}: no function is built for the activation {}", name(api), activation));
}

// Of all rows: what is packed serves any of them. Smaller sizes divide the largest.
int largest_of(int RowParams::*size) {
    int largest = lanes;
    for (const Row &row : rows()) largest = std::max(largest, row.params.*size);
    return largest;
}

}  // namespace

std::int64_t most_shared_bytes(Api api) { return api == Api::cuda ? most_shared : most_local; }

std::int64_t padded_filters(std::int64_t filters) {
    static const int largest = largest_of(&RowParams::filters);
    return ceil_div(filters, largest) * largest;
}

std::int64_t padded_depth(std::int64_t depth) {
    static const int largest = largest_of(&RowParams::chunk);
    return (ceil_div(depth, largest) + padding_chunks) * largest;
}

Machine machine_of(const Device *device) {
    constexpr int of_an_h100 = 132;
    Machine machine;
    machine.multiprocessors = device != nullptr ? std::max(1, device->multiprocessors()) : of_an_h100;
    return machine;
}

Plan make_plan(const LayerConfig &config, std::int64_t channels, Api api, const Machine &machine, const Shape &input, const Access &access,
               const Only &only) {
    check_dtype(api, config.dtype);
    Plan plan;
    plan.format = config.data_format;
    const bool first = plan.format == DataFormat::channels_first;
    plan.batch = input[0], plan.channels = channels, plan.multiplier = config.depth_multiplier, plan.filters = config.filters;
    plan.y = make_axis(input[first ? 2 : 1], config.kernel_size[0], config.strides[0], config.dilation_rate[0], config.padding);
    plan.x = make_axis(input[first ? 3 : 2], config.kernel_size[1], config.strides[1], config.dilation_rate[1], config.padding);

    const ActivationKind kind = config.activation.kind;
    const std::optional<Clamp> clamp = as_clamp(config.activation);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    plan.low = clamp ? clamp->low : -infinity, plan.high = clamp ? clamp->high : infinity;
    const bool elementwise = is_elementwise(kind);
    if (!elementwise) plan.axes = find(api, Stage::gpu_axes, sepconv::name(kind), config.dtype);
    const Row *const finish =
        !elementwise ? find(api, Stage::gpu_finish, "linear", Dtype::float32) : find(api, Stage::gpu_finish, row_name(kind), config.dtype);

    const std::int64_t value_bytes = config.dtype == Dtype::float16 ? 2 : 4;
    Plan best;
    for (const Row &row : rows()) {
        if (row.api != api || row.stage != Stage::gpu_layer || row.image_type != config.dtype || !covers(row, plan)) continue;
        if (!only.row.empty() && only.row != row.name) continue;
        const RowParams &p = row.params;
        const std::int64_t chunks = ceil_div(plan.depth(), p.chunk);
        const int most = p.whole ? 1 : static_cast<int>(std::min<std::int64_t>(most_slices, chunks));
        for (int slices = 1; slices <= most; slices *= 2) {
            if (only.slices > 0 && slices != only.slices) continue;
            Plan candidate = plan;
            candidate.layer = &row, candidate.slices = slices;
            if (slices > 1 || !clamp) candidate.finish = finish;
            if (candidate.is_partial()) candidate.low = -infinity, candidate.high = infinity;
            // Of a partial result the values are float32.
            if (row.type != (candidate.is_partial() ? Dtype::float32 : config.dtype)) continue;
            if (p.vectors && (channels % lanes != 0 || plan.filters % lanes != 0 || plan.multiplier != 1 || !access.vectors_in ||
                              (!candidate.is_partial() && !access.vectors_out))) {
                continue;
            }
            const std::int64_t of_slice = ceil_div(chunks, slices);
            if (of_slice * slices > chunks + padding_chunks || of_slice > std::numeric_limits<int>::max() / p.chunk) continue;
            candidate.chunks = static_cast<int>(of_slice);
            estimate(candidate, machine, value_bytes);
            if (candidate.shared_bytes > most_shared_bytes(api)) continue;
            // Small tiles of all channels read the image around them once more.
            if (p.whole && only.row.empty() &&
                static_cast<double>(candidate.bytes_uncached) > most_of_whole * static_cast<double>(candidate.bytes_least))
                continue;
            // Of rows that cost the same the one that promises more spares tests that the estimate does not know.
            if (best.layer == nullptr || candidate.cycles < best.cycles ||
                (candidate.cycles == best.cycles && promises(p) > promises(best.layer->params))) {
                best = candidate;
            }
        }
    }
    if (best.layer == nullptr) throw TargetError(fmt::format("{}: no function is built for this layer", name(api)));
    return best;
}

}  // namespace sepconv::gpu
