// The tile loop: runs a plan on an image, tile by tile, each with its depthwise result in scratch that stays in cache.
#pragma once

#include "packing.h"
#include "plan.h"
#include "sepconv/float16.h"
#include "sepconv/layer.h"

namespace sepconv {

/// @throws ExecutionError
void run_plan(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const float> &input,
              const TensorView<float> &output, const Execution &how, int threads);
void run_plan(const Plan &plan, const PackedWeights &packed, const Activation &activation, const TensorView<const float16> &input,
              const TensorView<float16> &output, const Execution &how, int threads);

}  // namespace sepconv
