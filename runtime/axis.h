// Activations that are functions of the table (or plain C++), called on rows of memory or along any axes of a tensor.
#pragma once

#include "registry.h"
#include "sepconv/config.h"
#include "sepconv/float16.h"
#include "sepconv/tensor.h"

namespace sepconv {

/// Applies an activation to `rows` rows of `length` neighbouring values each; in place but for glu, which writes half as many.
/// @param row  of the stage `activated`; null for sparsemax.
void run_activation(const Row *row, const Activation &activation, float *from, std::int64_t rows, std::int64_t length,
                    std::int64_t from_stride, float *to, std::int64_t to_stride);
void run_activation(const Row *row, const Activation &activation, float16 *from, std::int64_t rows, std::int64_t length,
                    std::int64_t from_stride, float16 *to, std::int64_t to_stride);

/// Applies an activation along activation.axes, where these are not the innermost one. `to` is `from` itself but for glu, which halves
/// its axis.
void activate_image(const Row *row, const Activation &activation, const TensorView<float> &from, const TensorView<float> &to);
void activate_image(const Row *row, const Activation &activation, const TensorView<float16> &from, const TensorView<float16> &to);

}  // namespace sepconv
