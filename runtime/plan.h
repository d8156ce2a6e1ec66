// The plan: for one layer and one input shape, which functions of the table run, over which tiles. The choice of functions by cost is
// written down here and nowhere else.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "packing.h"
#include "registry.h"
#include "sepconv/config.h"

namespace sepconv {

/// One spatial dimension of the layer on one image.
struct Axis {
    std::int64_t input = 0, output = 0;
    std::int64_t kernel = 0, stride = 0, dilation = 0;
    std::int64_t before = 0;               ///< zeros before the image
    std::int64_t first_tap = 0, taps = 0;  ///< the taps that meet the image at all
    std::int64_t step = 1;                 ///< 1, or the dilation: a tile then holds outputs that lie that far apart
    std::int64_t phases() const { return step < output ? step : output; }
    std::int64_t outputs(std::int64_t phase) const { return (output - phase + step - 1) / step; }
    /// The stride and dilation that are left inside a phase, and the input position of tap first_tap for an output of the phase.
    std::int64_t stride_in_phase() const { return step > 1 ? 1 : stride; }
    std::int64_t dilation_in_phase() const { return step > 1 ? 1 : dilation; }
    std::int64_t position(std::int64_t phase, std::int64_t index) const {
        return (step > 1 ? phase + step * index : index * stride) - before + first_tap * dilation;
    }
    /// Positions that `count` neighbouring outputs of a phase read, `step` apart.
    std::int64_t span(std::int64_t count) const { return (count - 1) * stride_in_phase() + (taps - 1) * dilation_in_phase() + 1; }
};

/// One call of the product for a panel run: a function and the pixels that it covers.
struct PixelPiece {
    const Row *row = nullptr;
    std::int64_t first = 0, count = 0;
};
/// Pixels covered by at most two functions.
using PixelCover = std::array<PixelPiece, 2>;

/// A rectangle of outputs of one phase of rows, or some of the filters there.
struct Tile {
    std::int64_t image = 0, phase = 0;
    std::int64_t x = 0, width = 0;   ///< outputs
    std::int64_t y = 0, height = 0;  ///< outputs of the phase
    int part = 0, parts = 1;         ///< of the filters
};

enum class EpilogueKind { clamp, elementwise, rows, image };

/// What happens to the product before the tile is left.
struct Epilogue {
    EpilogueKind kind = EpilogueKind::clamp;
    float low = 0, high = 0;         ///< clamp
    const Row *activated = nullptr;  ///< elementwise, rows: null for sparsemax, which is plain C++
};

struct Plan {
    std::int64_t batch = 0, channels = 0, multiplier = 0;  ///< with PackedWeights::spread channels are more than the image's
    std::int64_t filters = 0;                              ///< of the product; glu may halve the output's
    Axis x, y;
    DataFormat format = DataFormat::channels_last;
    Dtype type = Dtype::float32;  ///< of the sums
    /// channels_first, but the tiles are turned to channels_last on the way in and back on the way out.
    bool transposed = false;
    /// channels_first, and vectors run along the pixels of a plane.
    bool planes() const { return format == DataFormat::channels_first && !transposed; }

    // Tiles: rectangles of outputs of one phase of rows, which share the outputs evenly.
    std::int64_t tile_width = 0, tile_height = 0;      ///< of the largest
    std::int64_t tiles_x = 0, tiles_y = 0, tiles = 0;  ///< of one image and phase; of everything
    bool flat = false;                                 ///< the product takes the tile's rows as one
    int tasks = 1;                                     ///< that may run at once
    bool shared = false;                               ///< the tasks share each tile: its channels, then its filters
    /// Rows at the image's end that are over when every task has as many as the others: all tasks compute their depthwise results, and
    /// each some of their filters.
    std::int64_t rows_over = 0;
    /// Each task begins with neighbouring tiles, the same ones in every call; else all take the next one there is.
    bool tiles_of_tasks = false;
    /// The tiles of a task, and behind all tiles one with rows_over for each task.
    std::int64_t first_tile(int task) const { return tiles_of_tasks ? tiles * task / tasks : task == 0 ? 0 : tiles; }
    Tile tile_at(std::int64_t index) const;

    // The depthwise stage.
    const Row *padded = nullptr;         ///< channels_last only
    const Row *padded_dense = nullptr;   ///< the same for most of a row whose few channels follow each other without a gap
    const Row *copied = nullptr;         ///< planes of stride 1 or 2 only; for rows of at least a vector
    const Row *copied_narrow = nullptr;  ///< the same, for rows of at least four pixels
    const Row *turned = nullptr;         ///< where tiles are transposed: in blocks
    const Row *turned_single = nullptr;  ///< the same, one value at a time, for what is smaller
    const Row *turned_back = nullptr;    ///< on the way out, within the computed type: as `turned`
    const Row *turned_back_single = nullptr;
    const Row *depthwise = nullptr;         ///< channels_last: from the image; planes: several rows together
    const Row *depthwise_strip = nullptr;   ///< channels_last: from a strip
    const Row *depthwise_single = nullptr;  ///< one pixel (planes: row) together, for what is smaller; from a strip
    bool direct = false;                    ///< the inside is read from the image, only the border from a strip
    bool bordered = false;                  ///< everything is read from the image; channels_last only
    bool fetch_ahead = false;               ///< from the image: a few rows are fetched into the cache before they are read
    std::int64_t strip_blocks = 1;          ///< channel blocks (planes: channels) in a strip

    // The product, by panel run (planes: by group of filters) and by the pixels that it covers at once: those of a larger tile, of a
    // smaller one, or of rows_over.
    static constexpr int max_runs = 8, sizes = 3;
    std::int64_t pixels[sizes] = {0, 0, 0};
    PixelCover covers[max_runs][sizes];
    /// Which of the sizes a tile has.
    int size_of(const Tile &tile) const {
        const std::int64_t found = flat ? tile.width * tile.height : tile.width;
        return found == pixels[0] ? 0 : found == pixels[1] ? 1 : 2;
    }
    int groups[max_runs] = {};     ///< of planes: filters in a group, from the most that there is a function for down to one; then zero
    std::int64_t pixel_pitch = 0;  ///< of planes: floats from one depthwise channel to the next in the scratch

    Epilogue epilogue;
    /// What is stored is of another type than the sums: tiles are converted on the way to the output, but for activations of kind `image`.
    const Row *stored = nullptr;
    const Row *stored_single = nullptr;  ///< one value at a time, for rows that fill no vector

    // Values of scratch for one task, of the target's type.
    std::size_t scratch_values = 0, strip_values = 0, temporary_values = 0;
    std::size_t task_values() const { return scratch_values + strip_values + temporary_values; }
};

/// @param rows_contiguous  the output's rows follow each other without a gap, so that the product may run across them.
/// @throws ShapeError
Plan make_plan(const LayerConfig &config, const PackedWeights &packed, const BuiltTarget &target, const Shape &input, bool rows_contiguous,
               int concurrency);

/// The last level of cache that a core has for itself, in bytes.
std::int64_t private_cache_bytes();

}  // namespace sepconv
