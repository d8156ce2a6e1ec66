// The ways in which this library computes a layer, side by side for the comparison.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layer_table.h"

namespace sepconv::bench {

/// A layer made ready for one shape, with its weights packed.
class Candidate {
public:
    virtual ~Candidate() = default;
    /// Dense tensors in the order of the layer's data_format.
    virtual void run(const float *input, float *output) = 0;
};

struct Way {
    std::string name;
    /// @param request  as the driver made it, for what a way needs beyond the layer
    /// @return nothing where this way does not know the layer
    std::unique_ptr<Candidate> (*make)(const ShapedLayer &layer, const Weights &weights, int threads, const nlohmann::json &request);
};

const std::vector<Way> &ways();

}  // namespace sepconv::bench
