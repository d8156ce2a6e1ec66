// Layers on OpenCL and Vulkan against the reference: every row of the fused kernel, held to it and to a number of slices, and whatever the
// plan chooses. Without a device of either the tests fail and say why.
#include "gpu/layer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "activation.h"
#include "reference.h"
#include "runtime/closeness.h"
#include "runtime/crop.h"
#include "runtime/float16_closeness.h"
#include "runtime/random_layer.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

using namespace testing_layers;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

constexpr std::int64_t vector = 4;

std::vector<const Row *> layer_rows() {
    std::vector<const Row *> found;
    for (const Row &row : rows()) {
        if (row.api != Api::cuda && row.stage == Stage::gpu_layer) found.push_back(&row);
    }
    return found;
}

// Sizes of a layer, of which a row takes what it covers.
struct Sizes {
    std::int64_t batch, height, width, channels, filters, multiplier = 1;
};

reference::Tensor product_of(const RandomLayer &one) { return reference::product(one.config, one.weights(), one.image.data(), one.input); }

std::int64_t count(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }

template <typename T>
std::vector<T> in_type(const std::vector<float> &values) {
    std::vector<T> all;
    for (const float value : values) all.push_back(static_cast<T>(value));
    return all;
}

template <typename T>
std::vector<T> run(const GpuLayer &layer, const RandomLayer &one) {
    const std::vector<T> input = in_type<T>(one.image);
    std::vector<T> output(count(one.output), static_cast<T>(nan));
    layer.run(TensorView<const T>(input.data(), one.input), TensorView<T>(output.data(), one.output));
    return output;
}

testing::AssertionResult is_right(const std::vector<float> &found, const RandomLayer &one) {
    return is_close(found, product_of(one), one.config.activation);
}

testing::AssertionResult is_right(const std::vector<float16> &found, const RandomLayer &one) {
    const reference::Tensor product = product_of(one);
    return is_close(found, product, one.config.activation, float32_error(product));
}

// Calls check(a value of the type that a layer's tensors have).
template <typename Check>
void in_type_of(const LayerConfig &config, const Check &check) {
    if (config.dtype == Dtype::float16) {
        check(float16());
    } else {
        check(float());
    }
}

class FusedRow : public testing::TestWithParam<const Row *> {
protected:
    const Row &row_ = *GetParam();
    const RowParams &params_ = row_.params;

    // Of the types that have a row of their own for partial sums.
    bool only_partial() const { return row_.image_type != row_.type; }
    bool only_whole_sums() const { return row_.type == Dtype::float16; }

    std::int64_t most_depth() const {
        if (!params_.whole) return std::numeric_limits<std::int32_t>::max();
        return (most_shared_bytes(row_.api) / 4 / params_.pixels() - vector) / params_.chunk * params_.chunk;
    }

    bool covers(int slices, const Activation &activation) const {
        const bool partial = slices > 1 || !as_clamp(activation);
        return partial ? !only_whole_sums() : !only_partial();
    }

    // The nearest layer that the row covers.
    RandomLayer layer_of(const LayerConfig &config, Sizes sizes) const {
        LayerConfig covered = config;
        covered.data_format = params_.channels_first ? DataFormat::channels_first : DataFormat::channels_last;
        if (params_.kernel > 0) covered.kernel_size = {params_.kernel, params_.kernel};
        if (params_.stride > 0) covered.strides = {params_.stride, params_.stride};
        if (params_.dilation > 0) covered.dilation_rate = {params_.dilation, params_.dilation};
        if (params_.vectors) {
            const auto whole_vectors = [](std::int64_t value) { return (value + vector - 1) / vector * vector; };
            sizes.channels = whole_vectors(sizes.channels), sizes.filters = whole_vectors(sizes.filters), sizes.multiplier = 1;
        }
        sizes.channels = std::min(sizes.channels, most_depth() / sizes.multiplier);
        covered.filters = sizes.filters;
        covered.depth_multiplier = sizes.multiplier;
        RandomLayer one = filled(covered, sizes.batch, sizes.height, sizes.width, sizes.channels);
        return row_.image_type == Dtype::float16 ? in_float16(std::move(one)) : one;
    }

    void expect_reference(const RandomLayer &one, int slices) const {
        SCOPED_TRACE(fmt::format("{} slices, input {}, {}", slices, fmt::join(one.input, " "), to_json(one.config)));
        const GpuLayer layer(one.config, one.weights(), row_.api, {row_.name, slices});
        in_type_of(one.config, [&](auto value) { EXPECT_TRUE(is_right(run<decltype(value)>(layer, one), one)); });
    }

    // Activations that the row is right for with so many slices, clamps and others.
    std::vector<Activation> activations(int slices) const {
        std::vector<Activation> found;
        for (const Activation &activation : all_activations()) {
            if (covers(slices, activation)) found.push_back(activation);
        }
        return found;
    }

    // A few of them: the first clamps, one that works on each value, and one along an axis.
    std::vector<Activation> some_activations(int slices) const {
        std::vector<Activation> found;
        for (const ActivationKind kind : {ActivationKind::linear, ActivationKind::relu6, ActivationKind::gelu, ActivationKind::softmax}) {
            const Activation activation = default_activation(kind);
            if (covers(slices, activation)) found.push_back(activation);
        }
        return found;
    }
};

INSTANTIATE_TEST_SUITE_P(Rows, FusedRow, testing::ValuesIn(layer_rows()),
                         [](const auto &info) { return std::string(name(info.param->api)) + "_" + info.param->name; });

LayerConfig plain(std::int64_t kernel = 3) {
    LayerConfig config;
    config.filters = 7;
    config.kernel_size = {kernel, kernel};
    config.padding = Padding::same;
    return config;
}

TEST_P(FusedRow, ComputesRandomLayers) {
    const std::uint64_t seed = base_seed();
    for (int i = 0; i < case_count(8) && !HasFailure(); i++) {
        SCOPED_TRACE(fmt::format("this case alone: SEPCONV_SEED={} SEPCONV_CASES=1", seed + i));
        Random random(seed + i);
        LayerConfig config;
        config.kernel_size = {random.in(1, 5), random.in(1, 5)};
        config.padding = random.chance(60) ? Padding::same : Padding::valid;
        config.use_bias = random.chance(60);
        if (random.chance(40)) {
            config.strides = {random.in(1, 3), random.in(1, 3)};
        } else if (random.chance(40)) {
            config.dilation_rate = {random.in(1, 3), random.in(1, 3)};
        }
        const std::int64_t multiplier = random.chance(60) ? 1 : random.in(2, 4);
        // Of a valid window every size leaves a pixel: 13 = 3 · (5 - 1) + 1. glu halves filters, rows and columns.
        const Sizes sizes = {random.in(1, 3), random.in(13, 24), random.in(13, 24), random.in(1, 40), 2 * random.in(1, 40), multiplier};
        const std::vector<Activation> all = activations(1);
        config.activation = all[random.in(0, static_cast<std::int64_t>(all.size()) - 1)];
        try {
            expect_reference(layer_of(config, sizes), 1);
        } catch (const ShapeError &) {
            // glu along rows or columns of which there is an odd number
        }
    }
}

TEST_P(FusedRow, ComputesRaggedSizes) {
    for (const Sizes &sizes : {Sizes{1, 1, 1, 5, 7}, Sizes{3, 1, 1, 33, 1030}, Sizes{1, 9, 11, 1, 1}, Sizes{2, 2, 40, 6, 65},
                               Sizes{1, 40, 2, 31, 4}, Sizes{1, 15, 15, 7, 129, 5}, Sizes{1, 3, 5, 95, 2}}) {
        for (const bool use_bias : {true, false}) {
            LayerConfig config = plain();
            config.use_bias = use_bias;
            config.activation = some_activations(1).front();
            expect_reference(layer_of(config, sizes), 1);
        }
    }
}

TEST_P(FusedRow, TakesItsWholeDepth) {
    if (!params_.whole) GTEST_SKIP() << "a chunk after the other has no largest depth";
    for (const Activation &activation : some_activations(1)) {
        LayerConfig config = plain();
        config.activation = activation;
        expect_reference(layer_of(config, {1, 8, 15, 10'000, 70}), 1);
    }
}

TEST_P(FusedRow, AddsItsSlices) {
    if (params_.whole || only_whole_sums()) GTEST_SKIP() << "its reduction is not cut";
    for (const int slices : {2, 4}) {
        // The last slice ends with the channels, in the middle of a chunk, or is beyond them altogether.
        for (const std::int64_t channels : {128, 100, 132}) {
            for (const Activation &activation : some_activations(slices)) {
                LayerConfig config = plain();
                config.activation = activation;
                config.use_bias = channels != 100;
                expect_reference(layer_of(config, {2, 5, 9, channels, 66}), slices);
            }
        }
    }
}

TEST_P(FusedRow, IsBitwiseTheSameFromRunToRun) {
    const int slices = params_.whole || only_whole_sums() ? 1 : 4;
    LayerConfig config = plain();
    config.activation = some_activations(slices).back();
    const RandomLayer one = layer_of(config, {2, 16, 17, 140, 66});
    in_type_of(one.config, [&](auto value) {
        using T = decltype(value);
        const GpuLayer layer(one.config, one.weights(), row_.api, {row_.name, slices});
        const std::vector<T> first = run<T>(layer, one);
        for (int i = 0; i < 3; i++) EXPECT_TRUE(same_bits(run<T>(layer, one), first));
        const GpuLayer again(one.config, one.weights(), row_.api, {row_.name, slices});
        EXPECT_TRUE(same_bits(run<T>(again, one), first)) << "of another layer";
    });
}

TEST_P(FusedRow, NanAndInfinityReachExactlyWhatTheirWindowsReach) {
    for (const int slices : {1, 2}) {
        if (slices > 1 && (params_.whole || only_whole_sums())) continue;
        for (const Activation &activation : some_activations(slices)) {
            if (!is_elementwise(activation.kind)) continue;
            LayerConfig config = plain();
            config.activation = activation;
            // 40 channels: what is beside the last one is read for the rest of its chunk.
            RandomLayer one = layer_of(config, {2, 12, 19, 40, 18});
            const bool first = config.data_format == DataFormat::channels_first;
            const std::int64_t pixels = 12 * 19, channels = one.channels();
            const auto at = [&](std::int64_t image, std::int64_t pixel, std::int64_t channel) {
                return (image * pixels * channels) + (first ? channel * pixels + pixel : pixel * channels + channel);
            };
            // The last channel at the end of a row and at the end of the first image; the first one at the begin of the second.
            one.image[at(0, 18, channels - 1)] = infinity;
            one.image[at(0, pixels - 1, channels - 1)] = nan;
            one.image[at(1, 0, 0)] = nan;
            one.image[at(1, 6 * 19, channels - 1)] = -infinity;
            expect_reference(one, slices);
        }
    }
}

// Values in a device's memory, as many as a crop has.
template <typename T>
class OnDevice {
public:
    OnDevice(Device &device, std::vector<T> &values) : device_(device), values_(values), memory_(device.allocate(bytes())) {
        device_.upload(memory_, values_.data(), bytes(), {});
        device_.synchronize({});
    }
    ~OnDevice() { device_.free(memory_); }
    OnDevice(const OnDevice &) = delete;
    OnDevice &operator=(const OnDevice &) = delete;
    Memory memory() const { return memory_; }
    void download() {
        device_.download(values_.data(), memory_, bytes(), {});
        device_.synchronize({});
    }

private:
    std::size_t bytes() const { return values_.size() * sizeof(T); }
    Device &device_;
    std::vector<T> &values_;
    Memory memory_;
};

// A crop that begins where its memory does, and whose strides vectors can have.
template <typename T>
Crop<T> crop_from_the_begin(const Shape &shape, Random &random, T fill) {
    Crop<T> crop(shape, random, fill);
    crop.start = {};
    for (int i = 0; i < 4; i++) crop.outer[i] = shape[i] + random.in(0, 3);
    crop.outer[3] = (crop.outer[3] + vector) / vector * vector;
    crop.values.assign(count(crop.outer), fill);
    return crop;
}

TEST_P(FusedRow, ReadsAndWritesCropsOnTheDeviceAndNothingAroundThem) {
    Device &device = device_of(name(row_.api));
    for (const int slices : {1, 2}) {
        if (slices > 1 && (params_.whole || only_whole_sums())) continue;
        for (const Activation &activation : some_activations(slices)) {
            LayerConfig config = plain();
            config.activation = activation;
            const RandomLayer one = layer_of(config, {2, 10, 18, 35, 22});
            SCOPED_TRACE(fmt::format("{} slices, input {}, {}", slices, fmt::join(one.input, " "), to_json(one.config)));
            in_type_of(one.config, [&](auto value) {
                using T = decltype(value);
                const T canary = static_cast<T>(12345.0F);
                const GpuLayer layer(one.config, one.weights(), row_.api, {row_.name, slices});
                Random random(slices);
                Crop<T> in = crop_from_the_begin(one.input, random, static_cast<T>(nan));
                Crop<T> out = crop_from_the_begin(one.output, random, canary);
                in.visit(one.input, [&](T &element, std::int64_t index) {
                    if (index >= 0) element = static_cast<T>(one.image[index]);
                });
                OnDevice<T> input(device, in.values), output(device, out.values);
                layer.launch(device, {}, {input.memory(), one.input, in.strides()}, {output.memory(), one.output, out.strides()});
                output.download();
                std::vector<T> found;
                std::int64_t touched = 0;
                out.visit(one.output, [&](T element, std::int64_t index) {
                    if (index >= 0) found.push_back(element);
                    if (index < 0 && !(element == canary)) touched++;
                });
                EXPECT_EQ(touched, 0) << "values around the output were written";
                EXPECT_TRUE(same_bits(found, run<T>(layer, one))) << "the crop's result is not the dense one";
            });
        }
    }
}

// ---- as the plan chooses

// The APIs for which a CPU does where there is no GPU.
std::vector<Api> apis() {
    std::vector<Api> found;
    for (const Api api : all_apis) {
        if (api != Api::cuda && is_built(api)) found.push_back(api);
    }
    return found;
}

class GpuLayers : public testing::TestWithParam<Api> {
protected:
    template <typename Check>
    void for_each_case(int usual_count, bool half, const Check &check) {
        const std::uint64_t seed = base_seed();
        for (int i = 0; i < case_count(usual_count) && !HasFailure(); i++) {
            RandomLayer one = random_layer(seed + i, {.work = 600'000});
            if (half) one = in_float16(std::move(one));
            SCOPED_TRACE(describe(one, seed + i));
            check(one, Layer(one.config, one.weights(), name(GetParam())));
        }
    }

    static bool has_float16() { return takes(GetParam(), Dtype::float16); }
};

INSTANTIATE_TEST_SUITE_P(Apis, GpuLayers, testing::ValuesIn(apis()), [](const auto &info) { return std::string(name(info.param)); });

TEST_P(GpuLayers, MatchTheReference) {
    for_each_case(60, false, [](const RandomLayer &one, const Layer &layer) {
        EXPECT_TRUE(is_right(one.run(layer), one)) << layer.explain(one.input);
    });
}

TEST_P(GpuLayers, OfHalfPrecisionMatchTheReference) {
    if (!has_float16()) GTEST_SKIP() << "this API has no functions in half precision";
    for_each_case(30, true, [](const RandomLayer &one, const Layer &layer) {
        EXPECT_TRUE(is_right(one.run_float16(layer), one)) << layer.explain(one.input);
    });
}

TEST_P(GpuLayers, EveryActivationMatchesTheReference) {
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        for (const Activation &activation : all_activations()) {
            LayerConfig config = plain();
            config.data_format = format;
            config.filters = 22;
            config.activation = activation;
            const RandomLayer one = filled(config, 2, 12, 14, 9), half = in_float16(one);
            EXPECT_TRUE(is_right(one.run(Layer(config, one.weights(), name(GetParam()))), one)) << to_json(config);
            if (!has_float16()) continue;
            EXPECT_TRUE(is_right(half.run_float16(Layer(half.config, half.weights(), name(GetParam()))), half)) << to_json(half.config);
        }
    }
}

TEST_P(GpuLayers, ReadAndWriteCropsOfTheHostAndNothingAroundThem) {
    constexpr float canary = 12345.5F;
    for_each_case(20, false, [](const RandomLayer &one, const Layer &layer) {
        Random random(one.image.size());
        Crop<float> in(one.input, random, nan), out(one.output, random, canary);
        in.visit(one.input, [&](float &value, std::int64_t index) {
            if (index >= 0) value = one.image[index];
        });
        layer.run({in.first(), one.input, in.strides()}, {out.first(), one.output, out.strides()});
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

TEST_P(GpuLayers, AnEmptyBatchWritesNothing) {
    const RandomLayer one = filled(plain(), 0, 5, 5, 3);
    const Layer layer(one.config, one.weights(), name(GetParam()));
    EXPECT_NO_THROW(layer.run(TensorView<const float>(nullptr, one.input), TensorView<float>(nullptr, one.output)));
}

TEST_P(GpuLayers, HaveMoreBlocksThanSomeDevicesStartInARow) {
    LayerConfig config = plain(1);
    config.filters = 1;
    config.activation = default_activation(ActivationKind::gelu);
    // A block of the second kernel has 128 elements: 65600 blocks, and of the first one more.
    const RandomLayer one = filled(config, 1, 2624, 3200, 1);
    EXPECT_TRUE(is_right(one.run(Layer(config, one.weights(), name(GetParam()))), one));
}

TEST(GpuLayersOfHalfPrecision, AreRefusedWhereTheApiHasNoneOfThem) {
    if (!is_built(Api::vulkan)) GTEST_SKIP() << "built without Vulkan";
    const RandomLayer one = in_float16(filled(plain(), 1, 5, 5, 3));
    try {
        Layer(one.config, one.weights(), "vulkan");
        FAIL() << "expected a TargetError";
    } catch (const TargetError &error) {
        EXPECT_STREQ(error.what(), "dtype: expected float32 on vulkan, found float16");
    }
}

TEST_P(GpuLayers, CopiesShareTheWeights) {
    const RandomLayer one = filled(plain(), 1, 9, 9, 10);
    std::vector<float> expected;
    const Layer copy = [&] {
        const Layer original(one.config, one.weights(), name(GetParam()));
        expected = one.run(original);
        return Layer(original);
    }();
    EXPECT_TRUE(same_bits(one.run(copy), expected));
}

}  // namespace
}  // namespace sepconv::gpu
