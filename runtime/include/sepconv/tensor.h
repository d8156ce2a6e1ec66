// A tensor that belongs to somebody else: pointer, extents, strides.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "sepconv/config.h"

namespace sepconv {

/// A view of a rank-4 tensor in the order of the layer's data_format: (N, H, W, C) or (N, C, H, W).
/// Strides count elements, not bytes. The innermost stride must be 1; the others are free, so that a crop, a row-padded image or a
/// slice of channels needs no copy.
template <typename T>
struct TensorView {
    T *data = nullptr;
    Shape shape = {};
    Shape strides = {};

    TensorView() = default;
    TensorView(T *data, const Shape &shape, const Shape &strides) : data(data), shape(shape), strides(strides) {}
    /// A dense tensor, the last dimension innermost.
    TensorView(T *data, const Shape &shape) : data(data), shape(shape), strides(dense_strides(shape)) {}
    /// A view of values that may be written can be read.
    template <typename U, typename = std::enable_if_t<std::is_same_v<const U, T> && !std::is_same_v<U, T>>>
    TensorView(const TensorView<U> &other) : data(other.data), shape(other.shape), strides(other.strides) {}

    static Shape dense_strides(const Shape &shape) { return {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1}; }
};

}  // namespace sepconv
