// How layers use CUDA: with a driver that stands in for NVIDIA's (driver/), records every call and runs nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gpu/device.h"
#include "gpu/layer.h"
#include "runtime/crop.h"
#include "runtime/random_layer.h"
#include "sepconv/layer.h"
#include "stand_in.h"

namespace sepconv::gpu {
namespace {

using namespace testing_layers;
using testing::Each;
using testing::HasSubstr;

// taps, panel, bias and zeros
constexpr int weights_of_a_layer = 4;

std::int64_t count(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }

RandomLayer layer_of(ActivationKind kind = ActivationKind::relu6, std::int64_t filters = 24) {
    LayerConfig config;
    config.kernel_size = {3, 3};
    config.filters = filters;
    config.padding = Padding::same;
    config.activation = default_activation(kind);
    return filled(config, 2, 9, 11, 16);
}

Layer on_cuda(const RandomLayer &one) { return {one.config, one.weights(), "cuda"}; }

// Memory of the device that is current, for a number of values.
class Values {
public:
    explicit Values(std::int64_t count) : device_(current_cuda_device()), memory_(device_.allocate(count * sizeof(float))) {}
    ~Values() { device_.free(memory_); }
    Values(const Values &) = delete;
    Values &operator=(const Values &) = delete;
    template <typename T = float>
    T *at(std::int64_t bytes = 0) const {
        return reinterpret_cast<T *>(memory_ + static_cast<Memory>(bytes));
    }

private:
    Device &device_;
    const Memory memory_;
};

// A layer's tensors on the device, with some room.
struct Tensors {
    explicit Tensors(const RandomLayer &one) : one(one), input(count(one.input) + 8), output(count(one.output) + 8) {}
    void enqueue(const Layer &layer, Stream stream = {}) const {
        layer.enqueue({input.at(), one.input}, {output.at(), one.output}, {stream.handle});
    }

    const RandomLayer &one;
    Values input, output;
};

struct Calls {
    int allocated = stand_in().calls("cuMemAlloc_v2"), freed = stand_in().calls("cuMemFree_v2");
    int in_order = stand_in().calls("cuMemAllocFromPoolAsync"), freed_in_order = stand_in().calls("cuMemFreeAsync");
    int up = stand_in().calls("cuMemcpyHtoDAsync_v2"), down = stand_in().calls("cuMemcpyDtoHAsync_v2");
    int waited = stand_in().calls("cuStreamSynchronize"), launched = stand_in().calls("cuLaunchKernel");
};

class CudaLayer : public testing::Test {
public:
    void SetUp() override {
        stand_in().set_current(nullptr);
        stand_in().state().launches.clear();
    }
    void TearDown() override {
        stand_in().state().capturing = false;
        EXPECT_TRUE(stand_in().state().memory.empty()) << "memory of the device was not given back";
        EXPECT_EQ(stand_in().current(), nullptr);
    }
};

// ---- weights

TEST_F(CudaLayer, TakesNothingOfTheDeviceBeforeItsFirstRun) {
    const RandomLayer one = layer_of();
    const Calls before;
    const Layer layer = on_cuda(one);
    EXPECT_EQ(Calls().allocated, before.allocated);
    EXPECT_TRUE(stand_in().state().memory.empty());
}

TEST_F(CudaLayer, TakesItsWeightsUpOnce) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    const Tensors tensors(one);
    const Calls before;
    tensors.enqueue(layer);
    EXPECT_EQ(Calls().allocated, before.allocated + weights_of_a_layer);
    EXPECT_EQ(Calls().up, before.up + weights_of_a_layer);
    tensors.enqueue(layer);
    tensors.enqueue(Layer(layer));
    EXPECT_EQ(Calls().allocated, before.allocated + weights_of_a_layer);
    EXPECT_EQ(Calls().up, before.up + weights_of_a_layer);
}

TEST_F(CudaLayer, TakesItsWeightsToEachContext) {
    const RandomLayer one = layer_of();
    driver::Context *const context = stand_in().make_context(1);
    stand_in().set_current(nullptr);
    {
        const Layer layer = on_cuda(one);
        const Tensors in_the_primary(one);
        in_the_primary.enqueue(layer);
        stand_in().set_current(context);
        {
            const Tensors in_another(one);
            const Calls before;
            in_another.enqueue(layer);
            EXPECT_EQ(Calls().allocated, before.allocated + weights_of_a_layer);
            in_another.enqueue(layer);
            EXPECT_EQ(Calls().allocated, before.allocated + weights_of_a_layer);
        }
        stand_in().set_current(nullptr);
        const Calls before;
        in_the_primary.enqueue(layer);
        EXPECT_EQ(Calls().allocated, before.allocated);
        const std::vector<driver::Launch> &launches = stand_in().state().launches;
        ASSERT_EQ(launches.size(), 4u);
        EXPECT_EQ(launches[1].context, context);
        EXPECT_EQ(launches[3].context, launches[0].context);
    }
    EXPECT_TRUE(stand_in().state().memory.empty()) << "the weights in a context that is not current were not given back";
    stand_in().destroy(context);
}

TEST_F(CudaLayer, TakesThePackedWeightsUp) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    const Tensors tensors(one);
    tensors.enqueue(layer);
    const std::int64_t width = padded_filters(24), depth = padded_depth(16);
    const auto has = [&](std::int64_t values, const std::function<float(std::int64_t)> &expected) {
        for (const auto &[address, allocation] : stand_in().state().memory) {
            if (allocation.bytes.size() != values * sizeof(float)) continue;
            std::vector<float> found(values);
            std::memcpy(found.data(), allocation.bytes.data(), allocation.bytes.size());
            bool same = true;
            for (std::int64_t i = 0; i < values; i++) same = same && found[i] == expected(i);
            if (same) return true;
        }
        return false;
    };
    EXPECT_TRUE(has(width * depth, [&](std::int64_t i) {
        const std::int64_t filter = i % width, channel = i / width;
        return filter < 24 && channel < 16 ? one.pointwise_kernel[channel * 24 + filter] : 0;
    })) << "the pointwise kernel, a filter beside the other, zeros beyond the last one and the last channel";
    EXPECT_TRUE(has(9 * depth, [&](std::int64_t i) {
        const std::int64_t channel = i % depth, tap = i / depth;
        return channel < 16 ? one.depthwise_kernel[tap * 16 + channel] : 0;
    })) << "the depthwise kernel, a channel beside the other, zeros beyond the last one";
    EXPECT_TRUE(has(width, [&](std::int64_t i) { return i < 24 ? one.bias[i] : 0; })) << "the bias";
}

TEST_F(CudaLayer, GivesItsWeightsBackWithTheLastCopy) {
    const RandomLayer one = layer_of();
    auto layer = std::make_unique<Layer>(on_cuda(one));
    {
        const Tensors tensors(one);
        tensors.enqueue(*layer);
    }
    const auto copy = std::make_unique<Layer>(*layer);
    layer.reset();
    EXPECT_EQ(stand_in().state().memory.size(), static_cast<std::size_t>(weights_of_a_layer));
}

TEST_F(CudaLayer, OutlivesAContextThatRanIt) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    driver::Context *const context = stand_in().make_context(0);
    {
        const Tensors tensors(one);
        tensors.enqueue(layer);
    }
    stand_in().destroy(context);
    const Tensors tensors(one);
    EXPECT_NO_THROW(tensors.enqueue(layer));
}

// ---- enqueue

TEST_F(CudaLayer, LaunchesOnTheStreamThatIsGiven) {
    const RandomLayer one = layer_of(ActivationKind::softmax);
    driver::Context *const context = stand_in().make_context(0);
    {
        const Layer layer = on_cuda(one);
        const Tensors tensors(one);
        const Stream first = stand_in().make_stream(), second = stand_in().make_stream();
        for (const Stream stream : {first, second, Stream{}}) {
            stand_in().state().launches.clear();
            tensors.enqueue(layer, stream);
            std::vector<const void *> streams;
            for (const driver::Launch &launch : stand_in().state().launches) streams.push_back(launch.stream);
            EXPECT_EQ(streams.size(), 3u);  // the product, its activation's input, the activation
            EXPECT_THAT(streams, Each(stream.handle));
        }
    }
    stand_in().destroy(context);
}

struct InOrderMemory {
    ActivationKind kind;
    int allocations, launches;
};

class Enqueued : public CudaLayer, public testing::WithParamInterface<InOrderMemory> {};

TEST_P(Enqueued, NeitherCopiesNorWaitsNorAllocatesBesideTheStream) {
    const RandomLayer one = layer_of(GetParam().kind);
    const Layer layer = on_cuda(one);
    const Tensors tensors(one);
    tensors.enqueue(layer);
    const Calls before;
    // What would wait or allocate is refused while a graph is captured.
    stand_in().state().capturing = true;
    EXPECT_NO_THROW(tensors.enqueue(layer));
    stand_in().state().capturing = false;
    const Calls after;
    EXPECT_EQ(after.launched, before.launched + GetParam().launches);
    EXPECT_EQ(after.in_order, before.in_order + GetParam().allocations);
    EXPECT_EQ(after.freed_in_order, before.freed_in_order + GetParam().allocations);
    EXPECT_EQ(after.allocated, before.allocated);
    EXPECT_EQ(after.freed, before.freed);
    EXPECT_EQ(after.up, before.up);
    EXPECT_EQ(after.down, before.down);
    EXPECT_EQ(after.waited, before.waited);
}

// A clamp is one kernel; others keep the product, and those along an axis their input, in the stream's memory.
INSTANTIATE_TEST_SUITE_P(Activations, Enqueued,
                         testing::Values(InOrderMemory{ActivationKind::linear, 0, 1}, InOrderMemory{ActivationKind::relu6, 0, 1},
                                         InOrderMemory{ActivationKind::gelu, 1, 2}, InOrderMemory{ActivationKind::softmax, 2, 3}),
                         [](const auto &info) { return std::string(sepconv::name(info.param.kind)); });

TEST_F(CudaLayer, ReadsAndWritesWhereItIsTold) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    const Tensors tensors(one);
    tensors.enqueue(layer);
    const std::vector<std::uint64_t> &arguments = stand_in().state().launches.at(0).arguments;
    EXPECT_THAT(arguments, testing::Contains(reinterpret_cast<std::uint64_t>(tensors.input.at())));
    EXPECT_THAT(arguments, testing::Contains(reinterpret_cast<std::uint64_t>(tensors.output.at())));
}

std::string program_of(const RandomLayer &one, const std::function<void(const GpuLayer &)> &launch, const Only &only = {}) {
    const GpuLayer layer(one.config, one.weights(), Api::cuda, only);
    stand_in().state().launches.clear();
    launch(layer);
    return stand_in().state().launches.at(0).program;
}

std::string row_that_is_not_of_vectors(Dtype dtype) {
    for (const Row &row : rows()) {
        if (row.api == Api::cuda && row.stage == Stage::gpu_layer && row.image_type == dtype && row.type == dtype &&
            !row.params.channels_first && !row.params.vectors) {
            return row.name;
        }
    }
    return "";
}

TEST_F(CudaLayer, TakesARowWithoutVectorsWhereATensorDoesNotBeginAtOne) {
    const RandomLayer one = layer_of();
    const Tensors tensors(one);
    const auto enqueue = [&](std::int64_t input, std::int64_t output) {
        return [&tensors, input, output](const GpuLayer &layer) {
            layer.enqueue<float>({tensors.input.at(input), tensors.one.input}, {tensors.output.at(output), tensors.one.output}, {});
        };
    };
    const std::string single = program_of(one, enqueue(0, 0), {row_that_is_not_of_vectors(Dtype::float32), 0});
    EXPECT_NE(program_of(one, enqueue(0, 0)), single);
    EXPECT_NE(program_of(one, enqueue(16, 16)), single);
    EXPECT_EQ(program_of(one, enqueue(4, 0)), single);
    EXPECT_EQ(program_of(one, enqueue(0, 12)), single);
}

TEST_F(CudaLayer, TakesARowWithoutVectorsWhereStridesAreNoWholeOnes) {
    const RandomLayer one = layer_of();
    const Tensors tensors(one);
    const auto enqueue = [&](std::int64_t stride) {
        // One row of pixels, so that the strides reach no further than the tensors.
        return [&tensors, stride](const GpuLayer &layer) {
            layer.enqueue<float>({tensors.input.at(), {1, 1, 9, 16}, {stride * 9, stride * 9, stride, 1}},
                                 {tensors.output.at(), {1, 1, 9, 24}}, {});
        };
    };
    const std::string single = program_of(one, enqueue(16), {row_that_is_not_of_vectors(Dtype::float32), 0});
    EXPECT_NE(program_of(one, enqueue(20)), single);
    EXPECT_EQ(program_of(one, enqueue(17)), single);
}

TEST_F(CudaLayer, OfHalfPrecisionBeginsAtEveryFourthValue) {
    const RandomLayer one = in_float16(layer_of());
    const Tensors tensors(one);
    const auto enqueue = [&](std::int64_t input) {
        return [&tensors, input](const GpuLayer &layer) {
            layer.enqueue<float16>({tensors.input.at<float16>(input), tensors.one.input},
                                   {tensors.output.at<float16>(), tensors.one.output}, {});
        };
    };
    const std::string single = program_of(one, enqueue(0), {row_that_is_not_of_vectors(Dtype::float16), 0});
    EXPECT_NE(program_of(one, enqueue(8)), single);
    EXPECT_EQ(program_of(one, enqueue(4)), single);
}

TEST_F(CudaLayer, RefusesANullPointer) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    const Tensors tensors(one);
    EXPECT_THROW(layer.enqueue({nullptr, one.input}, {tensors.output.at(), one.output}), ShapeError);
    EXPECT_THROW(layer.enqueue({tensors.input.at(), one.input}, {nullptr, one.output}), ShapeError);
    EXPECT_TRUE(stand_in().state().launches.empty());
}

TEST_F(CudaLayer, EnqueuesNothingForAnEmptyBatch) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    EXPECT_NO_THROW(layer.enqueue(TensorView<const float>(nullptr, {0, 9, 11, 16}), TensorView<float>(nullptr, {0, 9, 11, 24})));
    EXPECT_TRUE(stand_in().state().launches.empty());
}

TEST_F(CudaLayer, EnqueueOfALayerOfAnotherTargetIsATargetError) {
    const RandomLayer one = layer_of();
    const Layer layer(one.config, one.weights(), targets_here().front());
    try {
        layer.enqueue({one.image.data(), one.input}, {nullptr, one.output});
        FAIL() << "expected a TargetError";
    } catch (const TargetError &error) {
        EXPECT_THAT(error.what(), HasSubstr("expected a layer for cuda"));
        EXPECT_THAT(error.what(), HasSubstr(targets_here().front()));
    }
}

// Memory that the driver takes for a device's, and that is nowhere.
class Addresses {
public:
    Addresses(std::uint64_t first, std::uint64_t bytes_apart, int number) {
        for (int i = 0; i < number; i++) {
            addresses_.push_back(first + i * bytes_apart);
            driver::Allocation allocation;
            allocation.bytes.resize(1);
            allocation.context = stand_in().state().primary.at(0);
            stand_in().state().memory.emplace(addresses_.back(), allocation);
        }
    }
    ~Addresses() {
        for (const std::uint64_t address : addresses_) stand_in().state().memory.erase(address);
    }
    Addresses(const Addresses &) = delete;
    Addresses &operator=(const Addresses &) = delete;
    float *at(int i) const { return reinterpret_cast<float *>(addresses_[i]); }

private:
    std::vector<std::uint64_t> addresses_;
};

TEST_F(CudaLayer, LaunchesABatchBeyond2To31ElementsInParts) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    current_cuda_device();
    constexpr std::int64_t apart = std::int64_t{1} << 29;
    const Addresses input(std::uint64_t{1} << 50, apart * 4, 5), output(std::uint64_t{1} << 51, apart * 4, 5);
    layer.enqueue({input.at(0), {5, 9, 11, 16}, {apart, 11 * 16, 16, 1}}, {output.at(0), {5, 9, 11, 24}, {apart, 11 * 24, 24, 1}});
    const std::vector<driver::Launch> &launches = stand_in().state().launches;
    ASSERT_EQ(launches.size(), 2u);
    for (const int i : {0, 1}) {
        EXPECT_THAT(launches[i].arguments, testing::Contains(reinterpret_cast<std::uint64_t>(input.at(3 * i))));
        EXPECT_THAT(launches[i].arguments, testing::Contains(reinterpret_cast<std::uint64_t>(output.at(3 * i))));
    }
    EXPECT_EQ(launches[0].grid.at(0) * 2, launches[1].grid.at(0) * 3);
}

TEST_F(CudaLayer, HasAWholeBatchAtOnceForAnActivationAlongIt) {
    RandomLayer one = layer_of(ActivationKind::softmax);
    one.config.activation.axes = {0};
    const Layer layer = on_cuda(one);
    current_cuda_device();
    const auto enqueue = [&](std::int64_t apart) {
        const Addresses input(std::uint64_t{1} << 50, apart * 4, 5), output(std::uint64_t{1} << 51, apart * 4, 5);
        layer.enqueue({input.at(0), {5, 9, 11, 16}, {apart, 11 * 16, 16, 1}}, {output.at(0), {5, 9, 11, 24}, {apart, 11 * 24, 24, 1}});
    };
    EXPECT_NO_THROW(enqueue(std::int64_t{1} << 28));
    EXPECT_EQ(stand_in().state().launches.size(), 3u);
    EXPECT_THROW(enqueue(std::int64_t{1} << 29), ShapeError);
}

TEST_F(CudaLayer, RefusesAnImageBeyond2To31Elements) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    current_cuda_device();
    constexpr std::int64_t apart = std::int64_t{1} << 28;
    const Addresses input(std::uint64_t{1} << 50, 4, 1), output(std::uint64_t{1} << 51, 4, 1);
    EXPECT_THROW(layer.enqueue({input.at(0), {1, 9, 11, 16}, {9 * apart, apart, 16, 1}}, {output.at(0), {1, 9, 11, 24}}), ShapeError);
    EXPECT_NO_THROW(layer.enqueue({input.at(0), {1, 7, 11, 16}, {9 * apart, apart, 16, 1}}, {output.at(0), {1, 7, 11, 24}}));
}

// ---- run

TEST_F(CudaLayer, RunsOnTheHostsArraysByCopyingThemThereAndBack) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    one.run(layer);
    const Calls before;
    const std::vector<float> output = one.run(layer);
    const Calls after;
    EXPECT_EQ(after.up, before.up + 1);
    EXPECT_EQ(after.down, before.down + 1);
    EXPECT_GE(after.waited, before.waited + 1);
    EXPECT_EQ(after.launched, before.launched + 1);
    EXPECT_EQ(after.allocated, before.allocated);
    EXPECT_THAT(output, Each(0.0F)) << "what the driver's memory has where nothing was computed";
}

TEST_F(CudaLayer, RunsInTheContextThatIsCurrent) {
    const RandomLayer one = layer_of();
    driver::Context *const context = stand_in().make_context(1);
    {
        const Layer layer = on_cuda(one);
        one.run(layer);
        EXPECT_EQ(stand_in().current(), context);
        EXPECT_EQ(stand_in().state().launches.at(0).context, context);
    }
    EXPECT_TRUE(stand_in().state().memory.empty());
    stand_in().destroy(context);
}

TEST_F(CudaLayer, WritesNothingAroundACropOfTheHost) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    Random random(1);
    Crop<float> in(one.input, random, 1.0F), out(one.output, random, 7.0F);
    layer.run({in.first(), one.input, in.strides()}, {out.first(), one.output, out.strides()});
    out.visit(one.output, [](float value, std::int64_t index) { EXPECT_EQ(value, index < 0 ? 7.0F : 0.0F); });
}

// ---- failures

class FailingCall : public CudaLayer, public testing::WithParamInterface<const char *> {
protected:
    // What an action says where this call fails; the first time that a context runs a layer, for later most of these are not made.
    std::string failure(const std::function<void()> &action) {
        const Setting failing("SEPCONV_DRIVER_FAIL", std::string(GetParam()) + "=2");
        try {
            action();
        } catch (const ExecutionError &error) {
            return error.what();
        }
        return "no failure";
    }
};

INSTANTIATE_TEST_SUITE_P(Calls, FailingCall,
                         testing::Values("cuMemAlloc_v2", "cuMemAllocFromPoolAsync", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2",
                                         "cuStreamSynchronize", "cuModuleLoadDataEx", "cuModuleGetFunction", "cuLaunchKernel"),
                         [](const auto &info) { return std::string(info.param); });

TEST_P(FailingCall, OfARunLeavesTheOutputAndGivesEverythingBack) {
    const RandomLayer one = layer_of(ActivationKind::softmax);
    driver::Context *const context = stand_in().make_context(0);
    {
        const Layer layer = on_cuda(one);
        std::vector<float> output(count(one.output), 7.0F);
        EXPECT_THAT(failure([&] { layer.run({one.image.data(), one.input}, {output.data(), one.output}); }),
                    HasSubstr(std::string(GetParam()) + ": CUDA_ERROR_OUT_OF_MEMORY (as the stand-in has it)"));
        EXPECT_THAT(output, Each(7.0F));
        EXPECT_EQ(stand_in().current(), context);
        EXPECT_LE(stand_in().state().memory.size(), static_cast<std::size_t>(weights_of_a_layer));
        // The next one has to do all that is not done yet.
        EXPECT_NO_THROW(layer.run({one.image.data(), one.input}, {output.data(), one.output}));
        EXPECT_THAT(output, Each(0.0F));
    }
    EXPECT_TRUE(stand_in().state().memory.empty());
    stand_in().destroy(context);
}

TEST_P(FailingCall, OfAnEnqueueGivesEverythingBack) {
    if (GetParam() == std::string("cuMemcpyDtoHAsync_v2")) GTEST_SKIP() << "nothing is copied back";
    const RandomLayer one = layer_of(ActivationKind::softmax);
    driver::Context *const context = stand_in().make_context(0);
    {
        const Layer layer = on_cuda(one);
        const Tensors tensors(one);
        EXPECT_THAT(failure([&] { tensors.enqueue(layer); }), HasSubstr(std::string(GetParam()) + ": CUDA_ERROR_OUT_OF_MEMORY"));
        EXPECT_LE(stand_in().state().memory.size(), static_cast<std::size_t>(2 + weights_of_a_layer));
        EXPECT_NO_THROW(tensors.enqueue(layer));
    }
    EXPECT_TRUE(stand_in().state().memory.empty());
    stand_in().destroy(context);
}

TEST_F(CudaLayer, WaitsForTheCopyOfItsInputWhereALaunchFails) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    one.run(layer);
    const Calls before;
    const Setting failing("SEPCONV_DRIVER_FAIL", "cuLaunchKernel=2");
    EXPECT_THROW(one.run(layer), ExecutionError);
    EXPECT_EQ(Calls().up, before.up + 1);
    EXPECT_EQ(Calls().waited, before.waited + 1);
}

// ---- threads

TEST_F(CudaLayer, IsEnqueuedByManyThreadsOnStreamsOfTheirOwn) {
    const RandomLayer one = layer_of(ActivationKind::softmax);
    constexpr int threads = 8, times = 10;
    {
        const Layer layer = on_cuda(one);
        driver::Context *const context = stand_in().make_context(0);
        stand_in().set_current(nullptr);
        std::latch all_here(threads);
        std::vector<std::thread> running;
        std::vector<Stream> streams(threads);
        const Calls before;
        for (Stream &stream : streams) {
            running.emplace_back([&] {
                stand_in().set_current(context);
                stream = stand_in().make_stream();
                {
                    const Tensors tensors(one);
                    all_here.arrive_and_wait();
                    for (int i = 0; i < times; i++) tensors.enqueue(layer, stream);
                }
                stand_in().set_current(nullptr);
            });
        }
        for (std::thread &thread : running) thread.join();
        EXPECT_EQ(Calls().up, before.up + weights_of_a_layer) << "one thread takes the weights up, and the others wait for it";
        std::map<const void *, int> launches;
        for (const driver::Launch &launch : stand_in().state().launches) launches[launch.stream]++;
        for (const Stream &stream : streams) EXPECT_EQ(launches[stream.handle], 3 * times);
    }
    EXPECT_TRUE(stand_in().state().memory.empty());
}

// ---- the target

TEST_F(CudaLayer, TellsItsTargetAndDevice) {
    const RandomLayer one = layer_of();
    const Layer layer = on_cuda(one);
    EXPECT_EQ(layer.target(), "cuda");
    EXPECT_EQ(layer.arithmetic(), Arithmetic::float32);
    EXPECT_THAT(layer.explain(one.input), HasSubstr("on cuda (Stand-in 0)"));
}

TEST_F(CudaLayer, IsListedWithTheDeviceThatWouldBeTakenWithoutAContextForIt) {
    const std::size_t contexts = stand_in().state().contexts.size();
    ASSERT_EQ(gpus().at(0).target, "cuda");
    EXPECT_EQ(gpus().at(0).device, "Stand-in 0");
    EXPECT_EQ(gpus().at(0).why_not, "");
    EXPECT_EQ(stand_in().state().contexts.size(), contexts);
    driver::Context *const context = stand_in().make_context(1);
    EXPECT_EQ(gpus().at(0).device, "Stand-in 1");
    stand_in().destroy(context);
}

TEST_F(CudaLayer, IsListedWithWhatTheDeviceLacks) {
    const Setting old("SEPCONV_DRIVER_CAPABILITY", "75");
    EXPECT_EQ(gpus().at(0).device, "");
    EXPECT_EQ(gpus().at(0).why_not, "Stand-in 0: expected a device of compute capability 8.0 or later, found 7.5");
}

TEST_F(CudaLayer, RefusesSumsInHalfPrecision) {
    const RandomLayer one = in_float16(layer_of());
    EXPECT_THROW(Layer(one.config, one.weights(), "cuda", Arithmetic::float16), TargetError);
}

TEST_F(CudaLayer, IsTakenByItsNameInTheEnvironment) {
    const RandomLayer one = layer_of();
    const Setting named("SEPCONV_TARGET", "cuda");
    EXPECT_EQ(Layer(one.config, one.weights()).target(), "cuda");
    EXPECT_EQ(default_target(), "cuda");
}

TEST_F(CudaLayer, IsMadeWhereTheCurrentContextsDeviceRunsItAndTheFirstOneIsTooOld) {
    const RandomLayer one = layer_of();
    const Setting old("SEPCONV_DRIVER_CAPABILITY", "75,80");
    EXPECT_THROW(on_cuda(one), TargetError);
    driver::Context *const context = stand_in().make_context(1);
    EXPECT_NO_THROW(one.run(on_cuda(one)));
    stand_in().destroy(context);
}

}  // namespace
}  // namespace sepconv::gpu
