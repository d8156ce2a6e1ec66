// Packing: once per layer, little more than one pass over the weights.
#include "packing.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#include "sepconv/float16.h"

namespace sepconv {
namespace {

constexpr std::size_t cache_line = 64;

// Whether filters that fill no more than half of their last vector are better off with two lanes each: vectors of half as many filters, of
// which three serve the last 24, and which take two steps of the reduction at once.
bool worth_pairing(std::int64_t filters, const ReductionOrder &order) {
    constexpr int widest = 16;  // the vectors that there are functions for
    if (order.lanes != widest || filters % widest == 0 || filters % widest > widest / 2 || order.tail_lanes % 2 > 0) return false;
    // Multiplications for a pixel by the last panel's vectors, and what it costs to add both lanes at the end.
    constexpr std::int64_t adding = 4;
    const std::int64_t steps = std::int64_t(order.full) * order.lanes + std::int64_t(order.tails) * order.tail_lanes;
    return filters < widest ? steps / 2 + adding < steps : 3 * (steps / 2 + adding) < 2 * steps;
}

// The widths of panels: two vectors fill the registers best; an odd number of vectors ends in three.
std::vector<PanelRun> panels_of_vectors(std::int64_t filters, int lanes, bool pairs) {
    const int paired = !pairs ? 0 : filters < lanes ? 1 : 3;  // vectors of the last panel
    const std::int64_t vectors = pairs ? filters / lanes - paired / 2 : (filters + lanes - 1) / lanes;
    std::vector<PanelRun> runs;
    std::int64_t first = 0;
    auto add = [&](int wide, std::int64_t panels, int vector_lanes, bool of_pairs) {
        if (panels <= 0) return;
        const int width = wide * vector_lanes;
        runs.push_back({wide, vector_lanes, width, of_pairs, first, std::min(filters - first, panels * width), panels, 0});
        first += panels * width;
    };
    if (vectors == 1) {
        add(1, 1, lanes, false);
    } else {
        add(2, (vectors % 2 ? vectors - 3 : vectors) / 2, lanes, false);
        add(3, vectors % 2, lanes, false);
    }
    add(paired, paired > 0 ? 1 : 0, lanes / 2, true);
    return runs;
}

// std::copy_n into another type.
template <typename T>
T *convert_n(const float *in, std::int64_t count, T *out) {
    return std::transform(in, in + count, out, [](float value) { return T(value); });
}

// The panels of a run, out of rows of `filters` weights, one for each step of the reduction. `whole` is a panel's width where that is so
// small that a call would cost more than the copy (it halves the time), else 0.
template <int whole, typename T>
void pack_panels_of(const PanelRun &run, const std::vector<std::int64_t> &steps, const float *weights, std::int64_t filters, T *panels) {
    // As many rows at a time as stay in the cache until all panels have been filled from them, where they lie 4 KiB apart too.
    constexpr std::size_t together = 8;
    for (std::size_t begin = 0; begin < steps.size(); begin += together) {
        const std::size_t end = std::min(begin + together, steps.size());
        for (std::int64_t panel = 0; panel < run.panels; panel++) {
            const std::int64_t first = run.first + panel * run.width, count = std::min<std::int64_t>(run.width, filters - first);
            T *out = panels + (panel * steps.size() + begin) * run.width;
            for (std::size_t step = begin; step < end; step++, out += run.width) {
                const float *in = weights + steps[step] * filters + first;
                if constexpr (std::is_same_v<T, float>) {
                    if (count == whole) {
                        std::memcpy(out, in, whole * sizeof(float));
                        continue;
                    }
                }
                std::fill(convert_n(in, count, out), out + run.width, T());
            }
        }
    }
}

// The only panel of pairs, as pointwise_tile has them.
template <typename T>
void pack_pairs(const PanelRun &run, const std::vector<std::int64_t> &steps, const float *weights, std::int64_t filters, T *panel) {
    std::fill_n(panel, steps.size() * run.width, T());
    const std::int64_t both = 2 * run.lanes;
    for (std::size_t step = 0; step < steps.size(); step++) {
        const float *in = weights + steps[step] * filters + run.first;
        const std::int64_t parity = step % 2;
        T *out = panel + (step - parity) * run.width;
        for (std::int64_t filter = 0; filter < run.filters; filter++) {
            const std::int64_t place = filter % run.lanes;
            out[filter / run.lanes * both + (place % 2 == parity ? place : both - 1 - place)] = T(in[filter]);
        }
    }
}

template <typename T>
void pack_panels(const PanelRun &run, const std::vector<std::int64_t> &steps, const float *weights, std::int64_t filters, T *panels) {
    switch (run.width) {
        case 4:
            return pack_panels_of<4>(run, steps, weights, filters, panels);
        case 8:
            return pack_panels_of<8>(run, steps, weights, filters, panels);
        default:
            return pack_panels_of<0>(run, steps, weights, filters, panels);
    }
}

}  // namespace

PanelRun PanelRun::panel(std::int64_t index, std::int64_t steps) const {
    return {vectors,
            lanes,
            width,
            paired,
            first + index * width,
            std::min<std::int64_t>(width, filters - index * width),
            1,
            offset + index * width * steps};
}

AlignedBytes::AlignedBytes(std::size_t size) : size_(size) {
    if (size > 0) bytes_.reset(static_cast<char *>(::operator new(size, std::align_val_t(cache_line))));
}

void AlignedBytes::Free::operator()(char *bytes) const { ::operator delete(bytes, std::align_val_t(cache_line)); }

std::int64_t ChannelBlocks::first_of(std::int64_t block, std::int64_t channels) const {
    return narrow ? 0 : std::min(block * lanes, channels - lanes);
}

PackedWeights::Panels PackedWeights::panels_of(const PanelRun &run, int part, int parts) const {
    const std::int64_t end = runs.back().first + runs.back().panels * runs.back().width;
    const Share filters(end, part, parts);
    // A panel belongs to the part in which it begins.
    auto panel_at = [&](std::int64_t filter) {
        return std::clamp<std::int64_t>((filter - run.first + run.width - 1) / run.width, 0, run.panels);
    };
    const std::int64_t first = filters.first <= run.first ? 0 : panel_at(filters.first);
    return {first, (filters.first + filters.count <= run.first ? 0 : panel_at(filters.first + filters.count)) - first};
}

namespace {

// Half of the widest vectors, for which there are rows of their own, serve up to eight channels without waste, and two of them up to
// fifteen without channels that are not there.
int lanes_of_blocks(std::int64_t channels, const BuiltTarget &target) { return target.lanes == 16 && channels < 16 ? 8 : target.lanes; }

// The depth multiplier, where channels that do not fill the narrowest vector become so many and there is a function that copies them so.
int spread_of(const LayerConfig &config, std::int64_t channels, const BuiltTarget &target) {
    const std::int64_t multiplier = config.depth_multiplier, narrowest = target.lanes == 16 ? 8 : target.lanes;
    if (config.data_format != DataFormat::channels_last || channels >= narrowest || channels * multiplier < narrowest) return 1;
    const std::int64_t lanes = lanes_of_blocks(channels * multiplier, target);
    if ((channels * multiplier + lanes - 1) / lanes >= multiplier) return 1;  // as many vectors as without
    for (const Row &row : rows_of(target, Stage::padded)) {
        if (row.params.lanes == lanes && row.params.spread == multiplier) return row.params.spread;
    }
    return 1;
}

template <typename T>
PackedWeights pack_as(const LayerConfig &config, const Weights &weights, const BuiltTarget &target) {
    PackedWeights packed;
    packed.spread = spread_of(config, weights.depthwise_shape[2], target);
    // In Keras' order the channels that are made of one are neighbours.
    const auto [height, width, image_channels, depth_multiplier] = weights.depthwise_shape;
    const std::int64_t channels = image_channels * packed.spread, multiplier = depth_multiplier / packed.spread;
    const std::int64_t filters = config.filters, window = height * width, depthwise_channels = channels * multiplier;
    const float *pointwise = weights.pointwise_kernel;
    // Reduction steps in the product's order, each the index of a depthwise channel.
    std::vector<std::int64_t> steps;
    steps.reserve(depthwise_channels);
    ChannelBlocks &blocks = packed.blocks;
    blocks.lanes = lanes_of_blocks(channels, target);
    blocks.narrow = channels < blocks.lanes;
    blocks.count = (channels + blocks.lanes - 1) / blocks.lanes;
    const std::int64_t whole = blocks.lanes == target.lanes ? channels / target.lanes : 0;
    const std::int64_t rest = channels - whole * target.lanes;
    packed.order.lanes = target.lanes;
    packed.order.full = static_cast<int>(whole * multiplier);
    packed.order.tails = rest > 0 ? static_cast<int>(multiplier) : 0;
    packed.order.tail_lanes = static_cast<int>(rest);
    packed.order.tail_first = whole > 0 && rest > 0 ? static_cast<int>(target.lanes - rest) : 0;
    for (std::int64_t block = 0; block < whole + (rest > 0 ? 1 : 0); block++) {
        const std::int64_t first = block * target.lanes, count = block < whole ? target.lanes : rest;
        for (std::int64_t m = 0; m < multiplier; m++) {
            for (std::int64_t lane = 0; lane < count; lane++) steps.push_back((first + lane) * multiplier + m);
        }
    }
    packed.runs =
        panels_of_vectors(filters, target.lanes, config.data_format == DataFormat::channels_last && worth_pairing(filters, packed.order));
    const std::int64_t bias_size = packed.runs.back().first + packed.runs.back().panels * packed.runs.back().width;
    packed.taps = AlignedBytes(blocks.count * multiplier * window * blocks.lanes * sizeof(T));
    T *tap_out = packed.taps.as<T>();
    for (std::int64_t block = 0; block < blocks.count; block++) {
        const std::int64_t first = blocks.first_of(block, channels), count = std::min<std::int64_t>(blocks.lanes, channels - first);
        for (std::int64_t m = 0; m < multiplier; m++) {
            const float *in = weights.depthwise_kernel + first * multiplier + m;
            for (std::int64_t tap = 0; tap < window; tap++, in += depthwise_channels, tap_out += blocks.lanes) {
                for (std::int64_t lane = 0; lane < count; lane++) tap_out[lane] = T(in[lane * multiplier]);
                std::fill(tap_out + count, tap_out + blocks.lanes, T());
            }
        }
    }
    if (config.data_format == DataFormat::channels_first) {
        packed.plane_taps = AlignedBytes(window * depthwise_channels * sizeof(T));
        // A line of channels at a time: the taps of one channel lie a whole row of channels apart.
        constexpr std::int64_t line = cache_line / sizeof(float);
        for (std::int64_t first = 0; first < depthwise_channels; first += line) {
            const std::int64_t end = std::min(first + line, depthwise_channels);
            for (std::int64_t tap = 0; tap < window; tap++) {
                for (std::int64_t q = first; q < end; q++) {
                    packed.plane_taps.as<T>()[q * window + tap] = T(weights.depthwise_kernel[tap * depthwise_channels + q]);
                }
            }
        }
    }

    std::size_t total = 0;
    for (PanelRun &run : packed.runs) {
        run.offset = total;
        total += static_cast<std::size_t>(run.panels) * run.width * depthwise_channels;
    }
    packed.panels = AlignedBytes(total * sizeof(T));
    for (const PanelRun &run : packed.runs) {
        T *panels = packed.panels.as<T>() + run.offset;
        if (run.paired) {
            pack_pairs(run, steps, pointwise, filters, panels);
        } else {
            pack_panels(run, steps, pointwise, filters, panels);
        }
    }
    packed.bias = AlignedBytes(bias_size * sizeof(T));
    std::fill_n(packed.bias.as<T>(), bias_size, T());
    if (weights.bias != nullptr) convert_n(weights.bias, filters, packed.bias.as<T>());
    return packed;
}

}  // namespace

PackedWeights pack(const LayerConfig &config, const Weights &weights, const BuiltTarget &target) {
    return target.type == Dtype::float16 ? pack_as<float16>(config, weights, target) : pack_as<float>(config, weights, target);
}

}  // namespace sepconv
