// sparsemax (Martins and Astudillo, 2016): the activation that needs a search.
#pragma once

#include <cstdint>

namespace sepconv {

/// output[i] = max(input[i] − tau, 0), with the tau for which the outputs sum to 1: the point of the probability simplex that is nearest
/// to the input.
///
/// With infinity in the input, every output is infinity, but NaN for −infinity, as Keras has it. NaN in the input, or nothing but
/// −infinity, makes every output NaN.
/// @param input   `length` values.
/// @param output  as many; may be the input itself.
/// Allocates nothing. Takes at most `length` passes over the input, in practice a handful.
void sparsemax(const float *input, float *output, std::int64_t length);

}  // namespace sepconv
