// The layer for a known shape: how it is cut into tiles and blocks on a machine, and the schedule of its stages.
#pragma once

#include <optional>
#include <vector>

#include "Halide.h"

namespace sepconv {

/// One direction of the image; input, output and before are 0 where the size is open.
struct KnownAxis {
    int input, output, kernel, stride, dilation;
    int before;  ///< zeros before the first input

    bool open() const { return input == 0; }
    /// Inputs from the first that some outputs read to the last.
    int span(int outputs) const { return (outputs - 1) * stride + (kernel - 1) * dilation + 1; }
    /// Whether any output may read beside the image.
    bool has_border() const { return open() || before > 0 || (output - 1) * stride + (kernel - 1) * dilation - before >= input; }
};

struct KnownShape {
    KnownAxis x, y;
    int channels, multiplier, filters;
    bool channels_first;
    Halide::Type image = Halide::Float(32);  ///< of the input and the output
    Halide::Type sums = Halide::Float(32);   ///< of what is computed: the depthwise stage, the product, their weights
    int spread = 1;                          ///< channels that read the same one of the image, by spread_multiplier

    /// Whether the image's size is.
    bool known() const { return !x.open() && !y.open(); }
    int depthwise_channels() const { return channels * multiplier; }
    int window() const { return x.kernel * y.kernel; }
    /// Of an image whose size is known.
    double operations() const { return 2.0 * x.output * y.output * depthwise_channels() * (window() + static_cast<double>(filters)); }
};

/// Few channels, which leave most of a vector empty, become as many as the multiplier makes of them; `multiplier` is then 1.
KnownShape spread_multiplier(KnownShape shape, const Halide::Target &target);

/// Pixels of a tile that blocks of `rows` pixels cover; `pixels` 0: all of the tile, which then is the only run, or in an open tile as
/// many as leave none over.
struct PixelRun {
    int rows, first, pixels;
};

/// How channels_first is computed: tiles are turned to channels_last and back, or planes are taken as they lie, with vectors of pixels.
enum class PlaneForm { chosen, turned, planes };

/// What may be asked for by hand; 0: chosen.
struct TileWishes {
    int threads, tiles, vectors, rows, together;
    PlaneForm form = PlaneForm::chosen;
};

/// A tile of planes, schedules/known_planes.h.
struct PlaneTiles {
    int lanes;           ///< pixels of a row in a vector of the depthwise stage
    int together;        ///< its rows whose sums are in registers at once
    int vectors;         ///< of pixels of a block of the product
    int filters;         ///< of a block: vectors × filters sums are in registers
    bool panels_within;  ///< a block's pixels stay while all filters pass; else a panel's weights stay while all pixels do
    int pixel_pitch;     ///< pixels from one depthwise channel of the scratch to the next
    int strip_pitch;     ///< columns of one phase of the stride that a row of a channel's strip has room for
    int strip_channels;  ///< whose strips are made at once

    int block_pixels() const { return vectors * lanes; }
};

/// How the output is cut. A known image: tiles of whole rows, as many in each as divide evenly, or one more. An open one: tiles of at
/// most so many pixels.
struct KnownTiles {
    static constexpr int pixel_bits = 10;  ///< of a number of pixels that an open tile may have

    int lanes;                   ///< of the depthwise stage
    int together;                ///< its outputs whose accumulators are in registers at once
    int first_row, rows;         ///< of a known image, those that the tiles are of
    int phases;                  ///< rows that lie so far apart follow each other, a dilation's, which share what they read; else 1
    int count;                   ///< of tiles, for a known image
    int most_pixels;             ///< of a tile, for an open image
    int tile_groups;             ///< threads that share the tiles, each with as many of them
    int filter_groups;           ///< threads that share a tile's pixels, each with filters of its own; one of both is 1
    int filter_lanes, vectors;   ///< of a block of the product, whose accumulators are in registers: vectors × lanes filters, some pixels
    bool paired;                 ///< a filter has two lanes of such a vector, one for even steps of the reduction and one for odd
    std::vector<PixelRun> runs;  ///< one or two
    int band;                    ///< rows of the depthwise stage whose strips at one place of a row come before the next place
    bool rows_first;             ///< of a band, for one block of channels; else its channels come before the next row
    bool border_apart;           ///< rows whose window lies in the image have a loop of their own, which tests nothing
    int pixel_pitch;             ///< pixels that the scratch has room for
    /// channels_first: the sides of the squares that are turned at once, of pixels of a row and channels, and of filters and pixels of a
    /// tile.
    int turned_input, turned_output;
    int turned_pitch;                  ///< pixels of the input that a tile reads, at most
    std::optional<PlaneTiles> planes;  ///< of a tile that is not turned; count and tile_groups above are its own too
    /// One or none: the last rows, which the threads share by filters after all others, that these can be dealt out evenly.
    std::vector<KnownTiles> over;

    int panel_width() const { return planes ? planes->filters : vectors * filter_lanes; }
    /// Whether every tile is as wide as the image, a known number.
    bool whole_rows(const KnownShape &shape) const { return shape.known() || (!shape.x.open() && shape.x.output <= most_pixels); }
    int tiles_of_group() const { return count / tile_groups; }
};

KnownTiles choose_tiles(const KnownShape &shape, const TileWishes &wishes, const Halide::Target &target);

/// Whether the layer is to be computed in these tiles.
bool fits_tiles(const KnownShape &shape, const KnownTiles &tiles);

/// The stages as generators/known_shape.cpp defines them, with the domains that their schedules name.
struct KnownStages {
    struct Fill {
        Halide::Func sum;   ///< a block of the depthwise stage
        Halide::Func mask;  ///< for each column that a strip reads, whether it is in the image; may be undefined
        Halide::RDom window;
        Halide::RDom outputs;  ///< of a strip, rows of a band, strips of a row, bands
    };
    struct Turn {
        Halide::Func square;  ///< pixels × lanes; undefined where the values are zeros
        Halide::RDom pixels;  ///< pixel of a square, square in its row, row
    };
    struct Run {
        Halide::RDom whole, rest;  ///< of the reduction; `rest` may be undefined
        Halide::RDom blocks;       ///< of the panel, where there is one
        Halide::Func staged;       ///< a block's pixels of the tile, for all whole blocks of channels
        Halide::Func pairs;        ///< where a filter has two lanes: both sums, (lane, vector, panel, …); undefined where it has one
        Halide::Func accumulated;
    };

    Halide::Func taps, panels, bias;  ///< packed weights; undefined where they are given packed
    Halide::Func turned;              ///< channels_first: a block's channels of what a tile reads, as channels_last has them, and zeros
    std::vector<Turn> turns;          ///< its updates
    Halide::Func scratch;             ///< the tile
    std::vector<Fill> fills;          ///< its updates: where an open row is cut, strips inside the image and strips at its border
    std::vector<Run> runs;
    std::vector<Halide::Func> of_tile;  ///< numbers that an open tile has once
    /// The results for one panel's filters: with channels_first, or two runs, the tile's; in an open tile of channels_last a block's.
    Halide::Func panel;
    Halide::Func square, turned_square;  ///< channels_first: filters × pixels of the panel, and pixels × filters
    Halide::RDom pixels;                 ///< pixel of a block, block, tile in its row, row of tiles, threads' group of rows
    Halide::Var lane, x, strip, y, block, filter, pixel, pixel_block, tile_x, tile_y, n;
    Halide::Var along, across, part;  ///< of a square that is turned; squares are parts of a vector
};

/// @param update  the update of `output` that the stages end with
void schedule_known_shape(Halide::Func output, int update, const KnownStages &stages, const KnownShape &shape, const KnownTiles &tiles,
                          const Halide::Target &target);

}  // namespace sepconv
