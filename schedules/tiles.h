// Schedules of the functions over a tile, which the precompiled path is made of: how each stage fills the registers of a CPU.
#pragma once

#include <vector>

#include "Halide.h"

namespace sepconv {

/// The copy with its border: vectors of channels.
void schedule_padded_tile(Halide::Func strip, Halide::Var lane, Halide::Var block, Halide::RVar inside_x, Halide::RVar inside_y, int lanes,
                          bool by_value);

/// The copy of a plane's rows: vectors of pixels.
void schedule_copied_tile(Halide::Func strip, Halide::Var x, int lanes);

/// The change of the data format: blocks of lanes × lanes of the dimensions i and j are read, turned in registers and written.
void schedule_transposed_tile(Halide::Func from, Halide::Func to, Halide::Var i, Halide::Var j, int lanes);

/// The depthwise stage, dimensions (lane, x, y, multiplier, block): `together` neighbouring pixels in registers.
/// @param one_by_one  the pixels of a block are neighbours; else other blocks lie between them
/// @param apart  the outputs' windows lie a stride apart: rows then come after the blocks
void schedule_depthwise_tile(Halide::Func scratch, Halide::Func sum, Halide::RDom taps, const std::vector<Halide::Var> &dimensions,
                             int lanes, int together, bool window_known, bool one_by_one, bool apart);

/// A part of the depthwise stage, as an update of the scratch.
struct DepthwiseFill {
    Halide::Func sum;      // (lane, x, y, strip, multiplier, block), x within the strip
    Halide::RDom taps;     // the window's columns and rows
    Halide::RDom outputs;  // of a strip, the strips of a row, rows
};

/// The same where the stage has parts, one for each place of a strip beside the image's edges; dimensions (lane, x, y, strip, multiplier,
/// block).
/// @param rows_first  a few rows of a block come before the next block
void schedule_depthwise_fill(Halide::Func scratch, int update, const DepthwiseFill &fill, const std::vector<Halide::Var> &dimensions,
                             int lanes, int together, int kernel, bool rows_first);

/// The depthwise stage, dimensions (x, y, multiplier, c, unused): vectors along the row, `together` rows in registers.
void schedule_depthwise_tile_channels_first(Halide::Func scratch, Halide::Func sum, Halide::RDom taps,
                                            const std::vector<Halide::Var> &dimensions, int lanes, int together, bool window_known);

/// The blocks of the matrix product: vectors × rows accumulators in registers, for a panel's filters and some pixels. The reduction's
/// loops are each machine's own.
/// @param blocks  pixels of a block, blocks
/// @return        the loop over blocks
Halide::LoopLevel schedule_product_blocks(Halide::Func output, Halide::Func accumulated, Halide::Var filter, Halide::Var pixel,
                                          Halide::RDom blocks, int lanes, int vectors, int rows);
void schedule_product_blocks_channels_first(Halide::Func output, Halide::Func accumulated, Halide::Var pixel, Halide::Var filter, int lanes,
                                            int vectors, int rows);

/// The matrix product: vectors × rows accumulators in registers, the reduction outside them.
void schedule_pointwise_tile(Halide::Func output, Halide::Func accumulated, Halide::Var filter, Halide::Var pixel, Halide::RDom blocks,
                             Halide::RDom q, Halide::RDom tail, int lanes, int vectors, int rows);

/// The same with two lanes for each filter, one for even steps and one for odd: one load gives a pixel's factors for two steps.
/// @param pairs  (lane, vector, pixel, panel): the sums of even and odd steps
/// @param lanes  filters in a vector
void schedule_pointwise_tile_paired(Halide::Func output, Halide::Func accumulated, Halide::Func pairs, Halide::Var filter,
                                    Halide::Var pixel, Halide::RDom blocks, Halide::RDom q, Halide::RDom tail, int lanes, int vectors,
                                    int rows);

/// The same with vectors of pixels and rows of filters.
void schedule_pointwise_tile_channels_first(Halide::Func output, Halide::Func accumulated, Halide::Var pixel, Halide::Var filter,
                                            Halide::RDom q, int lanes, int vectors, int rows);

/// Whether a multiply-add takes one lane of a register as a factor.
inline bool multiplies_by_lane(const Halide::Target &target) { return target.arch == Halide::Target::ARM && target.bits == 64; }

/// The product for such a target.
/// @param staged  (step of a block, pixel, block): the scratch, as vectors whose lanes are the factors
/// @param steps   of a block
void schedule_pointwise_tile_by_lane(Halide::Func output, Halide::Func accumulated, Halide::Func staged, Halide::Var filter,
                                     Halide::Var pixel, Halide::RDom blocks, Halide::RDom q, Halide::RDom tail, int lanes, int steps,
                                     int vectors, int rows);

/// The same with vectors of pixels and rows of filters.
/// @param staged  (filter of a group, step, group): the panel
void schedule_pointwise_tile_channels_first_by_lane(Halide::Func output, Halide::Func accumulated, Halide::Func staged, Halide::Var pixel,
                                                    Halide::Var filter, Halide::RDom q, int lanes, int vectors, int rows);

}  // namespace sepconv
