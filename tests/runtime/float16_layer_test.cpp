// Layers of dtype float16: random ones against the reference, on every target that this CPU runs, with sums in float32 and, where there
// is a target for it, in float16.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "crop.h"
#include "float16_closeness.h"
#include "guarded.h"
#include "random_layer.h"
#include "reference.h"

namespace sepconv {
namespace {

using namespace testing_layers;
using testing::AllOf;
using testing::HasSubstr;

constexpr Execution one_thread = {.threads = 1, .executor = nullptr};

using Way = std::pair<std::string, Arithmetic>;

std::vector<Way> ways_here() {
    std::vector<Way> ways;
    for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float16}) {
        for (const std::string &target : targets_here(arithmetic)) ways.emplace_back(target, arithmetic);
    }
    return ways;
}

class Float16Layers : public testing::TestWithParam<Way> {
protected:
    Layer layer_of(const RandomLayer &one) const { return Layer(one.config, one.weights(), GetParam().first, GetParam().second); }

    // Calls check(layer's description, its Layer on this target) for every random case, up to the first failure.
    template <typename Check>
    void for_each_case(int usual_count, const Check &check, const Draw &draw = {}) const {
        const std::uint64_t seed = base_seed();
        for (int i = 0; i < case_count(usual_count) && !HasFailure(); i++) {
            const RandomLayer one = in_float16(random_layer(seed + i, draw));
            SCOPED_TRACE(describe(one, seed + i));
            try {
                check(one, layer_of(one));
            } catch (const std::exception &error) {
                ADD_FAILURE() << error.what();
            }
        }
    }

    testing::AssertionResult matches(const RandomLayer &one, const std::vector<float16> &found) const {
        const reference::Tensor product = reference::product(one.config, one.weights(), one.image.data(), one.input);
        const std::vector<double> error = GetParam().second == Arithmetic::float32
                                              ? float32_error(product)
                                              : float16_error(one.config, one.weights(), one.image.data(), one.input);
        return is_close(found, product, one.config.activation, error);
    }
};

INSTANTIATE_TEST_SUITE_P(Target, Float16Layers, testing::ValuesIn(ways_here()), [](const auto &info) { return info.param.first; });

TEST_P(Float16Layers, MatchTheReference) {
    for_each_case(200, [&](const RandomLayer &one, const Layer &layer) { EXPECT_TRUE(matches(one, one.run_float16(layer))); });
}

TEST_P(Float16Layers, AreBitwiseTheSameForEveryThreadCount) {
    for_each_case(40,
                  [](const RandomLayer &one, const Layer &layer) {
                      const std::vector<float16> alone = one.run_float16(layer, one_thread);
                      for (const int threads : {2, 3, 8}) {
                          EXPECT_TRUE(same_bits(alone, one.run_float16(layer, {.threads = threads, .executor = nullptr}))) << threads;
                      }
                  },
                  {.work = 6'000'000});
}

TEST_P(Float16Layers, ShareATileWhoseRowsCannotBeDealtOutEvenly) {
    for (const ActivationKind kind :
         {ActivationKind::linear, ActivationKind::gelu, ActivationKind::softmax, ActivationKind::sparsemax, ActivationKind::glu}) {
        for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
            for (const std::int64_t height : {7, 1}) {
                LayerConfig config;
                config.kernel_size = {3, 3};
                config.filters = 200;
                config.padding = Padding::same;
                config.data_format = format;
                config.activation = default_activation(kind);
                // glu halves the innermost axis.
                const RandomLayer one = in_float16(filled(config, 2, height, format == DataFormat::channels_first ? 8 : 7, 200));
                const Layer layer = layer_of(one);
                const std::vector<float16> alone = one.run_float16(layer, one_thread);
                EXPECT_TRUE(matches(one, alone)) << name(kind);
                for (const int threads : {2, 3, 5, 64}) {
                    EXPECT_TRUE(same_bits(alone, one.run_float16(layer, {.threads = threads, .executor = nullptr})))
                        << name(kind) << ", " << threads;
                }
            }
        }
    }
}

TEST_P(Float16Layers, ReadAndWriteCropsOfLargerTensorsAndNothingAroundThem) {
    const float16 canary(1234.5F), nothing(std::numeric_limits<float>::quiet_NaN());
    for_each_case(200, [&](const RandomLayer &one, const Layer &layer) {
        Random random(one.image.size());
        Crop<float16> in(one.input, random, nothing), out(one.output, random, canary);
        in.visit(one.input, [&](float16 &value, std::int64_t index) {
            if (index >= 0) value = float16(one.image[index]);
        });
        layer.run({in.first(), one.input, in.strides()}, {out.first(), one.output, out.strides()}, one_thread);
        std::vector<float16> found;
        std::int64_t touched = 0;
        out.visit(one.output, [&](float16 value, std::int64_t index) {
            if (index >= 0) found.push_back(value);
            if (index < 0 && !(value == canary)) touched++;
        });
        EXPECT_EQ(touched, 0) << "values around the output were written";
        EXPECT_TRUE(same_bits(found, one.run_float16(layer))) << "the crop's result is not the dense one";
    });
}

TEST_P(Float16Layers, TouchNothingOutsideTheirTensors) {
    for_each_case(100, [&](const RandomLayer &one, const Layer &layer) {
        const std::vector<float16> expected = one.run_float16(layer, one_thread);
        for (const Guard guard : {Guard::before, Guard::after}) {
            std::vector<float16> image;
            for (const float value : one.image) image.emplace_back(value);
            const Guarded<float16> input(image, guard);
            Guarded<float16> output(static_cast<std::int64_t>(expected.size()), guard);
            layer.run({input.data(), one.input}, {output.data(), one.output}, one_thread);
            EXPECT_TRUE(same_bits(output.values(), expected));
            EXPECT_TRUE(output.surroundings_untouched());
        }
    });
}

TEST_P(Float16Layers, EveryActivationIsThatOfTheReference) {
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        for (const Activation &activation : all_activations()) {
            LayerConfig config;
            config.data_format = format;
            config.filters = 22;
            config.activation = activation;
            const RandomLayer one = in_float16(filled(config, 2, 24, 24, 10));
            const Layer layer = layer_of(one);
            EXPECT_TRUE(matches(one, one.run_float16(layer, one_thread))) << to_json(config);
        }
    }
}

// Weights given as float32 are those of the layer once they are rounded, as Keras casts its variables.
TEST_P(Float16Layers, RoundTheirWeights) {
    LayerConfig config;
    config.filters = 40;
    config.padding = Padding::same;
    RandomLayer one = filled(config, 1, 12, 12, 20);
    one.config.dtype = Dtype::float16;
    const RandomLayer rounded = in_float16(one);
    EXPECT_NE(one.pointwise_kernel, rounded.pointwise_kernel);
    one.image = rounded.image;
    EXPECT_TRUE(same_bits(one.run_float16(layer_of(one)), rounded.run_float16(layer_of(rounded))));
}

TEST_P(Float16Layers, KeepNanAndInfinity) {
    LayerConfig config;
    config.kernel_size = {1, 1};
    config.use_bias = false;
    constexpr std::int64_t pixels = 12;
    constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const std::int64_t channels : {1, 8}) {
        // Each channel as it is, times two.
        config.filters = channels;
        RandomLayer one = in_float16(filled(config, 1, 1, pixels, channels));
        for (std::int64_t i = 0; i < channels * channels; i++) one.pointwise_kernel[i] = i / channels == i % channels ? 2 : 0;
        std::fill(one.depthwise_kernel.begin(), one.depthwise_kernel.end(), 1.0F);
        std::fill(one.image.begin(), one.image.end(), 1.5F);
        // A value reaches every filter of its pixel, and infinity times zero is NaN.
        const float values[] = {nan, infinity, -infinity, 40000, -40000, 0x1p-25F * 3, 0x1p-24F};
        const bool alone = channels == 1;
        const float expected[] = {nan, infinity, -infinity, infinity, -infinity, 0x1p-24F * 4, 0x1p-23F};
        for (std::size_t i = 0; i < std::size(values); i++) one.image[i * channels] = static_cast<float>(float16(values[i]));
        const std::vector<float16> found = one.run_float16(layer_of(one), one_thread);
        for (std::size_t i = 0; i < std::size(values); i++) {
            const auto value = static_cast<float>(found[i * channels]), next = static_cast<float>(found[i * channels + channels - 1]);
            SCOPED_TRACE(values[i]);
            if (std::isnan(expected[i])) {
                EXPECT_TRUE(std::isnan(value));
            } else {
                EXPECT_EQ(value, expected[i]);
            }
            if (!alone && !std::isfinite(values[i])) {
                EXPECT_TRUE(std::isnan(next));
            }
        }
    }
}

template <typename Expected>
std::string refusal(const std::function<void()> &call) {
    try {
        call();
    } catch (const Expected &error) {
        return error.what();
    }
    return "accepted";
}

TEST(Float16, TensorsOfTheOtherTypeAreRefused) {
    LayerConfig config;
    config.filters = 4;
    const RandomLayer floats = filled(config, 1, 8, 8, 3), halves = in_float16(floats);
    const Layer of_floats(floats.config, floats.weights()), of_halves(halves.config, halves.weights());
    EXPECT_THAT(refusal<ShapeError>([&] { halves.run(of_halves); }),
                AllOf(HasSubstr("expected tensors of float16"), HasSubstr("found float32")));
    EXPECT_THAT(refusal<ShapeError>([&] { floats.run_float16(of_floats); }),
                AllOf(HasSubstr("expected tensors of float32"), HasSubstr("found float16")));
}

TEST(Float16, ArithmeticIsForLayersOfThatDtype) {
    LayerConfig config;
    config.filters = 4;
    const RandomLayer one = filled(config, 1, 8, 8, 3);
    EXPECT_THAT(refusal<ConfigError>([&] { const Layer layer(one.config, one.weights(), "", Arithmetic::float16); }),
                AllOf(HasSubstr("arithmetic"), HasSubstr("dtype float16"), HasSubstr("found float32")));
}

TEST(Float16, ATargetOfTheOtherArithmeticIsRefused) {
    LayerConfig config;
    config.filters = 4;
    const RandomLayer one = in_float16(filled(config, 1, 8, 8, 3));
    EXPECT_THAT(refusal<TargetError>([&] { const Layer layer(one.config, one.weights(), targets_here().front(), Arithmetic::float16); }),
                AllOf(HasSubstr("expected a target that computes in float16"), HasSubstr(targets_here().front())));
    if (targets_here(Arithmetic::float16).empty()) {
        EXPECT_THAT(refusal<TargetError>([&] { const Layer layer(one.config, one.weights(), "", Arithmetic::float16); }),
                    AllOf(HasSubstr("arithmetic"), HasSubstr("float16")));
        EXPECT_THROW(default_target(Arithmetic::float16), TargetError);
    } else {
        EXPECT_EQ(Layer(one.config, one.weights(), "", Arithmetic::float16).target(), default_target(Arithmetic::float16));
        EXPECT_EQ(Layer(one.config, one.weights(), "", Arithmetic::float16).arithmetic(), Arithmetic::float16);
    }
    EXPECT_EQ(Layer(one.config, one.weights()).arithmetic(), Arithmetic::float32);
}

}  // namespace
}  // namespace sepconv
