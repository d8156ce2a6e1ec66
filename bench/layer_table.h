// Layers as bench/layers.json lists them, and values to run them on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <nlohmann/json.hpp>
#include <vector>

#include "sepconv/sepconv.h"

namespace sepconv::bench {

/// A layer with the shape of its input, in the order of its data_format.
struct ShapedLayer {
    LayerConfig config;
    Shape input = {};
};

/// A row of the table: `name`, height `h`, width `w`, channels `c`, filters `f`, kernel size `k`, stride `s`, dilation `d` and
/// multiplier `m`; where they are given, `data_format` and the batch `n`. Padding is `same`, with bias and relu.
/// @throws nlohmann::json::exception  where a field is missing or of another type
ShapedLayer table_layer(const nlohmann::json &row);

/// bench/layers.json, as it was when this was built.
const nlohmann::json &built_in_layers();

std::int64_t elements(const Shape &shape);

/// The channels of an input.
std::int64_t channels(const ShapedLayer &layer);

/// 2·N·OH·OW·C·M·(kh·kw + F): multiplications and additions, padding not deducted.
double operations(const ShapedLayer &layer);

/// A tensor's values from the start of a cache line on, as every framework lays its own out: where half of all vectors straddle two
/// lines, a layer can take a third longer.
template <typename T>
struct LineAllocator {
    using value_type = T;
    static constexpr std::align_val_t line{64};

    LineAllocator() = default;
    template <typename U>
    LineAllocator(const LineAllocator<U> &) {}
    T *allocate(std::size_t count) { return static_cast<T *>(::operator new(count * sizeof(T), line)); }
    void deallocate(T *values, std::size_t) { ::operator delete(values, line); }
    bool operator==(const LineAllocator &) const = default;
};
template <typename T>
using ValuesOf = std::vector<T, LineAllocator<T>>;
using Values = ValuesOf<float>;

/// Values between -1 and 1, the same ones each time.
Values random_values(std::int64_t count);

}  // namespace sepconv::bench
