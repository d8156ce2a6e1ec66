// Whole layers against the reference: random configs, every activation, strided views, every way to run them, on every target that
// this CPU runs.
#include "sepconv/layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "closeness.h"
#include "crop.h"
#include "random_layer.h"
#include "reference.h"

namespace sepconv {
namespace {

using namespace testing_layers;

constexpr Execution one_thread = {.threads = 1, .executor = nullptr};

class RandomLayers : public testing::TestWithParam<std::string> {
protected:
    // Calls check(layer's description, its Layer on this target) for every random case, up to the first failure.
    template <typename Check>
    void for_each_case(int usual_count, const Check &check, const Draw &draw = {}) {
        const std::uint64_t seed = base_seed();
        for (int i = 0; i < case_count(usual_count) && !HasFailure(); i++) {
            const RandomLayer one = random_layer(seed + i, draw);
            SCOPED_TRACE(describe(one, seed + i));
            try {
                check(one, Layer(one.config, one.weights(), GetParam()));
            } catch (const std::exception &error) {
                ADD_FAILURE() << error.what();
            }
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Target, RandomLayers, testing::ValuesIn(targets_here()), [](const auto &info) { return info.param; });

reference::Tensor product_of(const RandomLayer &one) { return reference::product(one.config, one.weights(), one.image.data(), one.input); }

TEST_P(RandomLayers, MatchTheReference) {
    for_each_case(1200, [](const RandomLayer &one, const Layer &layer) {
        EXPECT_TRUE(is_close(one.run(layer), product_of(one), one.config.activation));
    });
}

// Runs the last task first.
class Reversed : public Executor {
public:
    explicit Reversed(int concurrency) : concurrency_(concurrency) {}
    int concurrency() const override { return concurrency_; }
    void parallel_for(int count, void (*task)(void *context, int index), void *context) override {
        for (int i = count - 1; i >= 0; i--) task(context, i);
    }

private:
    int concurrency_;
};

TEST_P(RandomLayers, AreBitwiseTheSameForEveryThreadCountAndExecutor) {
    // Large enough that several threads get work.
    for_each_case(80,
                  [](const RandomLayer &one, const Layer &layer) {
                      const std::vector<float> alone = one.run(layer, one_thread);
                      for (const int threads : {0, 2, 3, 8}) {
                          EXPECT_TRUE(same_bits(alone, one.run(layer, {.threads = threads, .executor = nullptr}))) << threads << " threads";
                      }
                      Reversed reversed(5);
                      EXPECT_TRUE(same_bits(alone, one.run(layer, {.threads = 0, .executor = &reversed}))) << "an executor";
                  },
                  {.work = 6'000'000});
}

TEST_P(RandomLayers, ShareATileWhoseRowsCannotBeDealtOutEvenly) {
    for (const ActivationKind kind : {ActivationKind::linear, ActivationKind::gelu, ActivationKind::softmax, ActivationKind::sparsemax}) {
        for (const std::int64_t height : {7, 1}) {
            LayerConfig config;
            config.kernel_size = {3, 3};
            config.filters = 200;
            config.padding = Padding::same;
            config.activation = default_activation(kind);
            const RandomLayer one = filled(config, 2, height, 7, 200);
            const Layer layer(one.config, one.weights(), GetParam());
            const std::vector<float> alone = one.run(layer, one_thread);
            EXPECT_TRUE(is_close(alone, product_of(one), one.config.activation));
            for (const int threads : {2, 3, 5, 64}) {
                EXPECT_TRUE(same_bits(alone, one.run(layer, {.threads = threads, .executor = nullptr}))) << name(kind) << ", " << threads;
            }
            Reversed reversed(3);
            EXPECT_TRUE(same_bits(alone, one.run(layer, {.threads = 0, .executor = &reversed}))) << name(kind) << ", an executor";
        }
    }
}

TEST_P(RandomLayers, ShareTheRowsThatAreOver) {
    // Of 19 rows one, one, three and four; as channels_first the tile may be turned.
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        LayerConfig config;
        config.kernel_size = {3, 3};
        config.filters = 232;
        config.padding = Padding::same;
        config.data_format = format;
        const RandomLayer one = filled(config, 1, 19, 19, 80);
        const Layer layer(one.config, one.weights(), GetParam());
        const std::vector<float> alone = one.run(layer, one_thread);
        EXPECT_TRUE(is_close(alone, product_of(one), one.config.activation));
        for (const int threads : {2, 3, 4, 5}) {
            EXPECT_TRUE(same_bits(alone, one.run(layer, {.threads = threads, .executor = nullptr})))
                << static_cast<int>(format) << ", " << threads;
        }
        Reversed reversed(4);
        EXPECT_TRUE(same_bits(alone, one.run(layer, {.threads = 0, .executor = &reversed}))) << static_cast<int>(format) << ", an executor";
    }
}

TEST_P(RandomLayers, ReadAndWriteCropsOfLargerTensorsAndNothingAroundThem) {
    constexpr float canary = 12345.5F;
    for_each_case(400, [](const RandomLayer &one, const Layer &layer) {
        Random random(one.image.size());
        Crop<float> in(one.input, random, std::numeric_limits<float>::quiet_NaN()), out(one.output, random, canary);
        in.visit(one.input, [&](float &value, std::int64_t index) {
            if (index >= 0) value = one.image[index];
        });
        layer.run({in.first(), one.input, in.strides()}, {out.first(), one.output, out.strides()}, one_thread);
        std::vector<float> found;
        std::int64_t touched = 0;
        out.visit(one.output, [&](float value, std::int64_t index) {
            if (index >= 0) found.push_back(value);
            if (index < 0 && value != canary) touched++;
        });
        EXPECT_EQ(touched, 0) << "values around the output were written";
        EXPECT_TRUE(same_bits(found, one.run(layer))) << "the crop's result is not the dense one";
    });
}

// ---- layers with a name

class LayerOn : public testing::TestWithParam<std::string> {
protected:
    void expect_reference(const LayerConfig &config, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                          const Execution &how = one_thread) const {
        const RandomLayer one = filled(config, batch, height, width, channels);
        const Layer layer(config, one.weights(), GetParam());
        EXPECT_TRUE(is_close(one.run(layer, how), product_of(one), config.activation)) << to_json(config) << "\n"
                                                                                       << layer.explain(one.input);
    }
};

INSTANTIATE_TEST_SUITE_P(Target, LayerOn, testing::ValuesIn(targets_here()), [](const auto &info) { return info.param; });

LayerConfig plain(DataFormat format, std::int64_t filters) {
    LayerConfig config;
    config.data_format = format;
    config.filters = filters;
    config.padding = Padding::same;
    return config;
}

constexpr DataFormat both_formats[] = {DataFormat::channels_last, DataFormat::channels_first};

TEST_P(LayerOn, EveryActivationMatchesTheReference) {
    for (const DataFormat format : both_formats) {
        for (const Activation &activation : all_activations()) {
            LayerConfig config = plain(format, 22);
            config.activation = activation;
            expect_reference(config, 2, 12, 14, 9);
        }
    }
}

TEST_P(LayerOn, EveryActivationIsTheSameOverTilesAndThreads) {
    for (const DataFormat format : both_formats) {
        for (const Activation &activation : all_activations()) {
            LayerConfig config = plain(format, 64);
            config.activation = activation;
            const RandomLayer one = filled(config, 2, 40, 42, 48);
            const Layer layer(config, one.weights(), GetParam());
            EXPECT_TRUE(same_bits(one.run(layer), one.run(layer, {.threads = 3, .executor = nullptr}))) << to_json(config);
        }
    }
}

TEST_P(LayerOn, RowsTooWideForTheScratchAreSplit) {
    for (const DataFormat format : both_formats) {
        for (const std::int64_t stride : {1, 2}) {
            LayerConfig config = plain(format, 7);
            config.depth_multiplier = 16;
            config.strides = {stride, stride};
            expect_reference(config, 1, 3, 1501, 64);
        }
    }
}

TEST_P(LayerOn, SoftmaxAlongColumnsTooWideForTheScratch) {
    LayerConfig config = plain(DataFormat::channels_first, 3);
    config.depth_multiplier = 16;
    config.activation = default_activation(ActivationKind::softmax);
    expect_reference(config, 1, 2, 1400, 64);
}

TEST_P(LayerOn, ImagesOfSeveralTilesInBothDirections) {
    for (const DataFormat format : both_formats) {
        LayerConfig config = plain(format, 5);
        config.depth_multiplier = 4;
        expect_reference(config, 2, 9, 700, 256, {.threads = 3, .executor = nullptr});
    }
}

TEST_P(LayerOn, DilationLargerThanTheImageLeavesOneTap) {
    for (const DataFormat format : both_formats) {
        LayerConfig config = plain(format, 6);
        config.dilation_rate = {1000, 77};
        expect_reference(config, 2, 9, 11, 13);
    }
}

TEST_P(LayerOn, DilatedKernelsOfWhichThreeTapsMeetTheImage) {
    for (const DataFormat format : both_formats) {
        LayerConfig config = plain(format, 6);
        config.kernel_size = {3, 5};
        config.dilation_rate = {1, 6};
        expect_reference(config, 1, 8, 10, 20);
        config.kernel_size = {5, 5};
        config.dilation_rate = {6, 6};
        expect_reference(config, 1, 10, 10, 20);
    }
}

TEST_P(LayerOn, EvenKernelDilatedBeyondTheImageReadsZerosOnly) {
    for (const DataFormat format : both_formats) {
        LayerConfig config = plain(format, 6);
        config.kernel_size = {2, 4};
        config.dilation_rate = {64, 64};
        expect_reference(config, 1, 5, 5, 10);
    }
}

TEST_P(LayerOn, KernelsLargerThanTheImage) {
    for (const DataFormat format : both_formats) {
        LayerConfig config = plain(format, 9);
        config.kernel_size = {31, 47};
        expect_reference(config, 1, 6, 10, 11);
    }
}

TEST_P(LayerOn, UnequalStridesLargerThanTheKernel) {
    for (const DataFormat format : both_formats) {
        for (const Padding padding : {Padding::same, Padding::valid}) {
            LayerConfig config = plain(format, 17);
            config.kernel_size = {2, 3};
            config.strides = {7, 4};
            config.padding = padding;
            expect_reference(config, 2, 23, 29, 18);
        }
    }
}

TEST_P(LayerOn, OneByOneImagesAndKernels) {
    for (const DataFormat format : both_formats) {
        for (const std::int64_t kernel : {1, 3}) {
            for (const std::int64_t channels : {1, 5, 8, 16, 19, 33}) {
                LayerConfig config = plain(format, channels);
                config.kernel_size = {kernel, kernel};
                expect_reference(config, 1, 1, 1, channels);
            }
        }
    }
}

TEST_P(LayerOn, EveryNumberOfChannelsAndFiltersAroundTheVectors) {
    for (const DataFormat format : both_formats) {
        for (std::int64_t channels = 1; channels <= 35; channels += 2) {
            for (const std::int64_t filters : {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 47, 49, 65}) {
                LayerConfig config = plain(format, filters);
                config.depth_multiplier = 1 + channels % 2;
                expect_reference(config, 1, 3, 5, channels);
            }
        }
    }
}

TEST_P(LayerOn, EveryWidthAroundTheTilesOfTheProduct) {
    for (const DataFormat format : both_formats) {
        for (std::int64_t width = 1; width <= 70; width++) expect_reference(plain(format, 40), 1, 2, width, 20);
    }
}

TEST_P(LayerOn, AnEmptyBatchWritesNothing) {
    for (const DataFormat format : both_formats) {
        const RandomLayer one = filled(plain(format, 4), 0, 5, 5, 3);
        const Layer layer(one.config, one.weights(), GetParam());
        EXPECT_EQ(layer.output_shape(one.input)[0], 0);
        EXPECT_NO_THROW(layer.run(TensorView<const float>(nullptr, one.input), TensorView<float>(nullptr, one.output)));
    }
}

TEST_P(LayerOn, NanAndInfinityReachExactlyWhatTheirWindowsReach) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const DataFormat format : both_formats) {
        for (const std::int64_t channels : {3, 7, 8, 16, 21, 40}) {
            for (const ActivationKind kind : {ActivationKind::linear, ActivationKind::relu, ActivationKind::relu6,
                                              ActivationKind::hard_tanh, ActivationKind::sigmoid, ActivationKind::tanh}) {
                LayerConfig config = plain(format, 18);
                config.activation = default_activation(kind);
                RandomLayer one = filled(config, 1, 13, 37, channels);
                Random random(static_cast<std::uint64_t>(channels));
                for (const float value : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
                    one.image[random.in(0, static_cast<std::int64_t>(one.image.size()) - 1)] = value;
                }
                const Layer layer(config, one.weights(), GetParam());
                EXPECT_TRUE(is_close(one.run(layer), product_of(one), config.activation)) << to_json(config) << channels << " channels";
            }
        }
    }
}

TEST_P(LayerOn, CopiesShareTheWeights) {
    const RandomLayer one = filled(plain(DataFormat::channels_last, 12), 1, 9, 9, 10);
    std::vector<float> expected;
    const Layer copy = [&] {
        const Layer original(one.config, one.weights(), GetParam());
        expected = one.run(original);
        return Layer(original);
    }();
    EXPECT_TRUE(same_bits(one.run(copy), expected));
}

TEST_P(LayerOn, WeightsAreNotReadAfterTheLayerIsMade) {
    RandomLayer one = filled(plain(DataFormat::channels_first, 12), 1, 9, 9, 10);
    const Layer layer(one.config, one.weights(), GetParam());
    const std::vector<float> expected = one.run(layer);
    std::fill(one.depthwise_kernel.begin(), one.depthwise_kernel.end(), 7.0F);
    std::fill(one.pointwise_kernel.begin(), one.pointwise_kernel.end(), 7.0F);
    std::fill(one.bias.begin(), one.bias.end(), 7.0F);
    EXPECT_TRUE(same_bits(one.run(layer), expected));
}

}  // namespace
}  // namespace sepconv
