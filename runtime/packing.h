// A layer's weights as the compiled functions read them, and where each piece lies.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "registry.h"
#include "sepconv/layer.h"

namespace sepconv {

/// Memory for values that vectors may be loaded from: aligned to a cache line.
class AlignedBytes {
public:
    AlignedBytes() = default;
    explicit AlignedBytes(std::size_t size);
    /// The memory as values of one type, the same at each call.
    template <typename T>
    T *as() {
        return reinterpret_cast<T *>(bytes_.get());
    }
    template <typename T>
    const T *as() const {
        return reinterpret_cast<const T *>(bytes_.get());
    }
    std::size_t size() const { return size_; }

private:
    struct Free {
        void operator()(char *bytes) const;
    };
    std::unique_ptr<char, Free> bytes_;
    std::size_t size_ = 0;
};

/// A run of panels of one width: `width` filters each, whose weights for one step of the reduction are neighbours.
struct PanelRun {
    int vectors = 0;         ///< in a panel
    int lanes = 0;           ///< filters in a vector
    int width = 0;           ///< filters in a panel
    bool paired = false;     ///< two lanes for a filter, one for even steps and one for odd
    std::int64_t first = 0;  ///< the first filter
    std::int64_t filters = 0;
    std::int64_t panels = 0;
    std::size_t offset = 0;  ///< of the first panel in PackedWeights::panels
    /// One panel of the run as a run, where the reduction has that many steps.
    PanelRun panel(std::int64_t index, std::int64_t steps) const;
};

/// How channels fill vectors. The last block begins where it ends with the last channel, so some of its
/// channels may have been in the block before; the product skips those.
struct ChannelBlocks {
    int lanes = 0;
    bool narrow = false;  ///< fewer channels than lanes: the rest of the only block is zero
    std::int64_t count = 0;
    std::int64_t first_of(std::int64_t block, std::int64_t channels) const;
};

/// The order of the product's reduction, in the words of pointwise_tile's arguments: blocks of `lanes` channels, the last one of those that
/// are left; within a block first by multiplier, then by channel.
struct ReductionOrder {
    int lanes = 0;
    int full = 0, tails = 0, tail_first = 0, tail_lanes = 0;
};

/// What one of `parts` gets of `count` things in a row, as evenly as whole ones allow.
struct Share {
    std::int64_t first, count;
    Share(std::int64_t things, std::int64_t part, std::int64_t parts)
        : first(things * part / parts), count(things * (part + 1) / parts - first) {}
};

/// Values are of the target's type.
struct PackedWeights {
    /// Where few channels would leave most of a vector empty, each becomes as many as the multiplier makes of it; there is no multiplier
    /// then.
    int spread = 1;
    ChannelBlocks blocks;
    ReductionOrder order;
    std::vector<PanelRun> runs;
    AlignedBytes taps;        ///< (lane, i, j, multiplier, block)
    AlignedBytes plane_taps;  ///< channels_first, for vectors of pixels: (i, j, multiplier, c)
    AlignedBytes panels;      ///< for each panel: (filter % width, reduction step), or in pairs as pointwise_tile has them
    AlignedBytes bias;        ///< filters, zeros up to the end of the last panel

    std::size_t bytes() const { return taps.size() + plane_taps.size() + panels.size() + bias.size(); }

    /// The panels of a run that one of `parts` takes, where all runs together are shared evenly.
    struct Panels {
        std::int64_t first, count;
    };
    Panels panels_of(const PanelRun &run, int part, int parts) const;
};

/// Packs weights that were checked against the config already.
PackedWeights pack(const LayerConfig &config, const Weights &weights, const BuiltTarget &target);

}  // namespace sepconv
