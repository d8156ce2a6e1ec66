// A plan in words, for `sepconv explain` and Layer::explain.
#pragma once

#include <string>

#include "packing.h"
#include "plan.h"

namespace sepconv {

std::string explain(const Plan &plan, const LayerConfig &config, const PackedWeights &packed, const BuiltTarget &target, const Shape &input,
                    const Shape &output, bool json);

}  // namespace sepconv
