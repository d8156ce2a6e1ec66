// Random layers with weights and an image, each made from one number, so that a failing one can be made again.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "sepconv/sepconv.h"

namespace sepconv::testing_layers {

/// Numbers from one seed, the same on every machine.
class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    /// A whole number in [least, most].
    std::int64_t in(std::int64_t least, std::int64_t most) {
        return least + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(most - least + 1));
    }
    bool chance(int percent) { return in(1, 100) <= percent; }
    float real(float least, float most) { return least + (most - least) * static_cast<float>(engine_() >> 40) * 0x1p-24F; }
    std::vector<float> reals(std::int64_t count, float largest);

private:
    std::mt19937_64 engine_;
};

/// A layer, its weights and a dense image.
struct RandomLayer {
    LayerConfig config;
    Shape input = {}, output = {};
    std::vector<float> image, depthwise_kernel, pointwise_kernel, bias;

    Weights weights() const;
    std::int64_t channels() const;
    /// The layer's answer for the dense image.
    std::vector<float> run(const Layer &layer, const Execution &how = {.threads = 1, .executor = nullptr}) const;
    /// The same of a layer of dtype float16, whose image and weights are numbers of it.
    std::vector<float16> run_float16(const Layer &layer, const Execution &how = {.threads = 1, .executor = nullptr}) const;
};

/// The layer in half precision: its dtype, and its image and weights rounded.
RandomLayer in_float16(RandomLayer layer);

/// Which layers to draw.
struct Draw {
    /// The most multiplications of one layer.
    std::int64_t work = 1'500'000;
    bool activations = true;  ///< any activation; else linear or relu
    bool along_axes = true;   ///< those along an axis too
};

RandomLayer random_layer(std::uint64_t seed, const Draw &draw = {});

/// Fills the weights and the image of a layer whose config and input shape stand, and works out its output shape.
/// @throws Error  where the layer or the shape is not legal
RandomLayer filled(const LayerConfig &config, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                   std::uint64_t seed = 1);

/// Every activation, once with Keras' parameters and, for those that have any, with others.
std::vector<Activation> all_activations();

/// The seed of the run: $SEPCONV_SEED, or a random one. The count of random cases: $SEPCONV_CASES, or `usual`.
std::uint64_t base_seed();
int case_count(int usual);

/// What to print when a case fails: the config, the shape and how to run this one case alone.
std::string describe(const RandomLayer &layer, std::uint64_t seed);

/// The names of the targets that this CPU runs.
std::vector<std::string> targets_here(Arithmetic arithmetic = Arithmetic::float32);

}  // namespace sepconv::testing_layers
