// channels_first for a known image, planes as they lie: vectors are pixels, and weights are single numbers. Two stages as everywhere, the
// depthwise one row by row of a channel, the product over the pixels of a tile without regard to its rows.
#pragma once

#include "schedules/known_shape.h"

namespace sepconv {

struct PlaneChoice {
    PlaneTiles tiles;
    int count, tile_groups;  ///< as KnownTiles has them
    double cost;             ///< in multiply-adds of vectors
};

/// Nothing where the image is open, or has no place for a vector.
std::optional<PlaneChoice> choose_planes(const KnownShape &shape, const TileWishes &wishes, const Halide::Target &target);

/// The stages as generators/known_planes.cpp defines them.
struct PlaneStages {
    Halide::Func taps, panels, bias;   ///< packed weights; undefined where they are given packed
    Halide::Func strip;                ///< a channel's rows with their border; undefined where the image is read as it lies
    std::vector<Halide::RDom> copies;  ///< its updates: place in a vector, vector of a row, row
    Halide::Func sum, scratch;         ///< of the depthwise stage: a vector and some rows, and the tile
    Halide::RDom window, columns;      ///< columns: place in a vector, row of a band, vector of a row, band
    Halide::Func staged;               ///< the weights of a block's filters
    Halide::Func accumulated;          ///< a block of the product
    Halide::RDom steps;                ///< of its reduction
    /// Pixel and filter of a block; panel, block, and the row that blocks stay in, in this order or the first of them last; tile, group of
    /// threads.
    Halide::RDom blocks;
    Halide::Var x, phase, y, c, band, vector, channel, pixel, filter, panel, block, row, tile, n;
    int row_vectors;  ///< of pixels, of a block that stays in a row
    int block_lanes;  ///< of such a vector
};

void schedule_known_planes(Halide::Func output, const PlaneStages &stages, const KnownShape &shape, const KnownTiles &tiles,
                           const Halide::Target &target);

}  // namespace sepconv
