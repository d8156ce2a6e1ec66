// How the device layer uses NVIDIA's driver: with one that stands in for it (driver/), records every call and fails where it is told to.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <latch>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gpu/device.h"
#include "gtest/gtest.h"
#include "on_device.h"
#include "stand_in.h"

extern "C" {
#define SEPCONV_DEVICE_LAYER(layer, ...) \
    int cuda_##layer(const void *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
#include "device_layers.inc"
#undef SEPCONV_DEVICE_LAYER
}

namespace sepconv::gpu {
namespace {

using testing::HasSubstr;

GpuLayer layer_of(const std::string &name) {
    const std::vector<GpuLayer> layers = {
#define SEPCONV_DEVICE_LAYER(layer, batch, height, width, channels, filters, params) \
    {#layer, &cuda_##layer, batch, height, width, channels, filters, params},
#include "device_layers.inc"
#undef SEPCONV_DEVICE_LAYER
    };
    for (const GpuLayer &layer : layers) {
        if (layer.name == name) return layer;
    }
    throw Error("expected a layer of CMakeLists.txt, found " + name);
}

class Cuda : public testing::Test {
public:
    void SetUp() override {
        stand_in().set_current(nullptr);
        stand_in().state().launches.clear();
    }
    void TearDown() override {
        stand_in().state().capturing = false;
        EXPECT_TRUE(stand_in().state().memory.empty());
    }
};

TEST_F(Cuda, RunsHere) { EXPECT_EQ(why_not("cuda"), std::nullopt); }

TEST_F(Cuda, AskingWhetherItRunsMakesNoContext) {
    const std::size_t before = stand_in().state().contexts.size();
    why_not("cuda");
    EXPECT_EQ(stand_in().state().contexts.size(), before);
}

TEST_F(Cuda, SaysWhatTheDeviceIs) {
    EXPECT_EQ(current_cuda_device().api(), "cuda");
    EXPECT_EQ(current_cuda_device().name(), "Stand-in 0");
    EXPECT_EQ(current_cuda_device().multiprocessors(), 132);
}

TEST_F(Cuda, TakesThePrimaryContextOfTheFirstDeviceWhereNoneIsCurrent) {
    LayerOnDevice layer(current_cuda_device(), layer_of("relu"));
    layer.run();
    EXPECT_EQ(stand_in().state().launches.at(0).context, stand_in().state().primary[0]);
    EXPECT_EQ(stand_in().current(), nullptr);
}

TEST_F(Cuda, HoldsThePrimaryContextOnce) {
    current_cuda_device();
    current_cuda_device();
    EXPECT_EQ(stand_in().state().primary_uses[0], 1);
}

TEST_F(Cuda, TakesTheContextThatIsCurrentAndLeavesItSo) {
    driver::Context *const context = stand_in().make_context(1);
    {
        LayerOnDevice layer(current_cuda_device(), layer_of("softmax"));
        layer.run();
        layer.result();
        EXPECT_EQ(current_cuda_device().name(), "Stand-in 1");
        EXPECT_EQ(stand_in().state().launches.at(0).context, context);
        EXPECT_EQ(stand_in().current(), context);
    }
    stand_in().destroy(context);
}

TEST_F(Cuda, WorksInADevicesContextWhereAnotherOneIsCurrent) {
    Device &device = current_cuda_device();
    driver::Context *const other = stand_in().make_context(1);
    {
        LayerOnDevice layer(device, layer_of("softmax"));
        layer.run();
        layer.result();
        EXPECT_EQ(stand_in().state().launches.at(0).context, stand_in().state().primary[0]);
        EXPECT_EQ(stand_in().current(), other);
    }
    EXPECT_EQ(stand_in().current(), other);
    stand_in().destroy(other);
}

TEST_F(Cuda, IsCurrentForACallAndNotBeyond) {
    Device &device = current_cuda_device();
    {
        const Device::Current current(device);
        EXPECT_EQ(stand_in().current(), stand_in().state().primary[0]);
        const int pushed = stand_in().calls("cuCtxPushCurrent_v2");
        device.synchronize({});
        EXPECT_EQ(stand_in().calls("cuCtxPushCurrent_v2"), pushed);
    }
    EXPECT_EQ(stand_in().current(), nullptr);
}

TEST_F(Cuda, LoadsAModuleOnceInAContext) {
    driver::Context *const first = stand_in().make_context(0);
    Device &of_first = current_cuda_device();
    driver::Context *const second = stand_in().make_context(1);
    Device &of_second = current_cuda_device();
    EXPECT_NE(of_first.id(), of_second.id());
    const int before = stand_in().calls("cuModuleLoadDataEx");
    for (Device *device : {&of_first, &of_second, &of_first, &of_second}) LayerOnDevice(*device, layer_of("relu")).run();
    EXPECT_EQ(stand_in().calls("cuModuleLoadDataEx"), before + 2);
    stand_in().destroy(second);
    stand_in().destroy(first);
}

TEST_F(Cuda, KnowsAContextThatIsDestroyedFromOneAtItsPlace) {
    driver::Context *const context = stand_in().make_context(0);
    const std::uint64_t id = current_cuda_device().id();
    LayerOnDevice(current_cuda_device(), layer_of("relu")).run();
    // What the driver does with a new context in the old one's memory.
    std::erase_if(stand_in().state().modules, [&](const driver::Module *module) { return module->context == context; });
    context->id += 1000000;
    EXPECT_NE(current_cuda_device().id(), id);
    LayerOnDevice(current_cuda_device(), layer_of("relu")).run();
    stand_in().destroy(context);
}

TEST_F(Cuda, LaunchesOnTheStreamThatIsGiven) {
    driver::Context *const context = stand_in().make_context(0);
    const Stream first = stand_in().make_stream(), second = stand_in().make_stream();
    for (const Stream stream : {first, second, Stream{}}) LayerOnDevice(current_cuda_device(), layer_of("softmax"), stream).run();
    std::vector<const void *> streams;
    for (const driver::Launch &launch : stand_in().state().launches) streams.push_back(launch.stream);
    EXPECT_THAT(streams, testing::ElementsAre(first.handle, first.handle, second.handle, second.handle, nullptr, nullptr));
    stand_in().destroy(context);
}

TEST_F(Cuda, RefusesAStreamOfAnotherContext) {
    driver::Context *const other = stand_in().make_context(0);
    const Stream stream = stand_in().make_stream();
    stand_in().set_current(nullptr);
    try {
        current_cuda_device().synchronize(stream);
        FAIL() << "expected an ExecutionError";
    } catch (const ExecutionError &error) {
        EXPECT_THAT(error.what(), HasSubstr("cuStreamSynchronize: CUDA_ERROR_INVALID_HANDLE (as the stand-in has it)"));
    }
    stand_in().destroy(other);
}

TEST_F(Cuda, IsUsedByManyThreadsWithContextsAndStreamsOfTheirOwn) {
    current_cuda_device();
    std::vector<std::thread> threads;
    std::latch all_here(8);
    for (int t = 0; t < 8; t++) {
        threads.emplace_back([&all_here, t] {
            all_here.arrive_and_wait();
            driver::Context *const context = t % 2 == 0 ? nullptr : stand_in().make_context(t % 4 / 2);
            const Stream stream = context == nullptr ? Stream{} : stand_in().make_stream();
            for (int i = 0; i < 10; i++) LayerOnDevice(current_cuda_device(), layer_of(i % 2 == 0 ? "softmax" : "open"), stream).run();
            EXPECT_EQ(stand_in().current(), context);
            if (context != nullptr) stand_in().destroy(context);
        });
    }
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(stand_in().state().launches.size(), 8u * (5 * 2 + 5));
}

TEST_F(Cuda, AllocatesIntermediatesInTheStreamsOrder) {
    LayerOnDevice layer(current_cuda_device(), layer_of("softmax"));
    const int allocated = stand_in().calls("cuMemAlloc_v2"), waited = stand_in().calls("cuStreamSynchronize");
    const int of_pools = stand_in().calls("cuMemAllocFromPoolAsync"), freed = stand_in().calls("cuMemFreeAsync");
    layer.run();
    EXPECT_EQ(stand_in().calls("cuMemAlloc_v2"), allocated);
    EXPECT_EQ(stand_in().calls("cuStreamSynchronize"), waited);
    EXPECT_EQ(stand_in().calls("cuMemAllocFromPoolAsync"), of_pools + 1);
    EXPECT_EQ(stand_in().calls("cuMemFreeAsync"), freed + 1);
}

TEST_F(Cuda, WithoutPoolsWaitsBeforeItFreesAnIntermediate) {
    const Setting no_pools("SEPCONV_DRIVER_POOLS", "0");
    driver::Context *const context = stand_in().make_context(0);
    {
        LayerOnDevice layer(current_cuda_device(), layer_of("softmax"));
        const int allocated = stand_in().calls("cuMemAlloc_v2"), waited = stand_in().calls("cuStreamSynchronize");
        const int of_pools = stand_in().calls("cuMemAllocFromPoolAsync");
        layer.run();
        EXPECT_EQ(stand_in().calls("cuMemAlloc_v2"), allocated + 1);
        EXPECT_EQ(stand_in().calls("cuStreamSynchronize"), waited + 1);
        EXPECT_EQ(stand_in().calls("cuMemAllocFromPoolAsync"), of_pools);
        EXPECT_EQ(stand_in().state().launches.size(), 2u);
    }
    stand_in().destroy(context);
}

TEST_F(Cuda, BreaksNoCaptureAfterTheFirstLaunch) {
    LayerOnDevice layer(current_cuda_device(), layer_of("softmax"));
    layer.run();
    stand_in().state().capturing = true;
    EXPECT_NO_THROW(layer.run());
    stand_in().state().capturing = false;
    EXPECT_EQ(stand_in().state().launches.size(), 4u);
}

TEST_F(Cuda, AsksForMoreSharedMemoryThanAKernelHasByItself) {
    static const char text[] = ".version 7.0\n.visible .entry large()";
    Device &device = current_cuda_device();
    device.load(text, sizeof text);
    for (const unsigned bytes : {100u << 10, 40u << 10, 100u << 10, 200u << 10}) {
        device.launch(
            {.program = text, .kernel = "large", .grid = {}, .block = {}, .shared_bytes = bytes, .arguments = {}, .sizes = nullptr}, {});
    }
    EXPECT_EQ(stand_in().calls("cuFuncSetAttribute"), 2);
    EXPECT_EQ(stand_in().state().launches.back().shared_bytes, 200u << 10);
}

TEST_F(Cuda, ShowsTheLogOfTextThatTheDriverRefuses) {
    static const char text[] = "no PTX";
    try {
        current_cuda_device().load(text, sizeof text);
        FAIL() << "expected an ExecutionError";
    } catch (const ExecutionError &error) {
        EXPECT_STREQ(error.what(),
                     "cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX (as the stand-in has it): Stand-in 0 says: ptxas: line 1: no .version");
    }
}

// The arguments of every launch, by the lowered statement.

std::vector<std::string> split(const std::string &text) {
    std::vector<std::string> parts(1);
    int depth = 0;
    for (const char c : text) {
        depth += (c == '(') - (c == ')');
        if (c == ',' && depth == 0) {
            parts.emplace_back();
        } else if (c != ' ' || !parts.back().empty()) {
            parts.back() += c;
        }
    }
    return parts;
}

// What a call of `halide_cuda_run` in a statement hands over, an expression for each.
std::vector<std::vector<std::string>> launches_of(const std::string &layer) {
    std::ifstream file(std::string(SEPCONV_GPU_LAYERS) + "/cuda_" + layer + ".stmt", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::string call = " = halide_cuda_run(";
    std::vector<std::vector<std::string>> launches;
    for (std::size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
        const std::string line = text.substr(at + call.size(), text.find('\n', at) - at - call.size());
        launches.push_back(split(line.substr(0, line.rfind(')'))));
    }
    return launches;
}

std::vector<std::string> of_struct(const std::string &expression) {
    const std::string begin = "make_struct(";
    return split(expression.substr(expression.find(begin) + begin.size(), expression.rfind(')') - expression.find(begin) - begin.size()));
}

// A sum of products of numbers, with a bracket around a product.
unsigned value_of(std::string expression) {
    std::erase_if(expression, [](char c) { return c == ' ' || c == '(' || c == ')'; });
    unsigned sum = 0;
    std::istringstream terms(expression);
    for (std::string term; std::getline(terms, term, '+');) {
        unsigned product = 1;
        std::istringstream factors(term);
        for (std::string factor; std::getline(factors, factor, '*');) product *= static_cast<unsigned>(std::stoul(factor));
        sum += product;
    }
    return sum;
}

class Arguments {
public:
    explicit Arguments(LayerOnDevice &layer)
        : buffers_{{"input", layer.input.buffer()},
                   {"depthwise_kernel", layer.taps.buffer()},
                   {"pointwise_kernel", layer.matrix.buffer()},
                   {"bias", layer.bias.buffer()},
                   {"output", layer.output.buffer()}} {}

    // What an expression has to be, where it is a part of a buffer of the caller's, such as `(void *)make_struct(input.stride.1)`.
    bool find(const std::string &expression, std::uint64_t &value) const {
        const std::string cast = expression.substr(0, expression.find_last_not_of(')') + 1);
        std::istringstream words(cast.substr(cast.find_last_of(" ()") + 1));
        std::vector<std::string> parts;
        for (std::string word; std::getline(words, word, '.');) parts.push_back(word);
        if (parts.size() < 2 || buffers_.count(parts[0]) == 0) return false;
        const halide_buffer_t &buffer = *buffers_.at(parts[0]);
        if (parts[1] == "buffer") {
            value = buffer.device;
            return true;
        }
        if (parts[1] != "extent" && parts[1] != "stride") return false;
        const halide_dimension_t &dimension = buffer.dim[std::stoi(parts.at(2))];
        value = static_cast<std::uint32_t>(parts[1] == "extent" ? dimension.extent : dimension.stride);
        return true;
    }

private:
    const std::map<std::string, const halide_buffer_t *> buffers_;
};

void expect_launches_of_the_statement(const std::string &name, std::size_t checked_at_least) {
    LayerOnDevice layer(current_cuda_device(), layer_of(name));
    layer.run();
    const Arguments known(layer);
    const std::vector<std::vector<std::string>> expected = launches_of(name);
    const std::vector<driver::Launch> &found = stand_in().state().launches;
    ASSERT_EQ(found.size(), expected.size());
    std::size_t checked = 0;
    for (std::size_t i = 0; i < found.size(); i++) {
        SCOPED_TRACE(found[i].kernel);
        ASSERT_EQ(expected[i].size(), 12u);
        EXPECT_EQ('"' + found[i].kernel + '"', expected[i][1]);
        for (std::size_t d = 0; d < 3; d++) {
            const std::string &grid = expected[i][2 + d];
            std::uint64_t blocks = found[i].grid[d];
            if (!known.find(grid, blocks) && std::isdigit(grid[0])) blocks = value_of(grid);
            EXPECT_EQ(found[i].grid[d], blocks);
            EXPECT_EQ(found[i].block[d], value_of(expected[i][5 + d]));
        }
        EXPECT_EQ(found[i].shared_bytes, value_of(expected[i][8]));
        const std::vector<std::string> sizes = of_struct(expected[i][9]), values = of_struct(expected[i][10]);
        ASSERT_EQ(found[i].arguments.size() + 1, values.size());
        for (std::size_t a = 0; a < found[i].arguments.size(); a++) {
            EXPECT_EQ("(int64)" + std::to_string(found[i].sizes[a]), sizes[a]);
            std::uint64_t value = 0;
            if (!known.find(values[a], value)) continue;
            EXPECT_EQ(found[i].arguments[a], value) << values[a];
            checked++;
        }
    }
    EXPECT_GE(checked, checked_at_least);
}

TEST_F(Cuda, LaunchesAsTheStatementOfAKnownShapeSays) { expect_launches_of_the_statement("relu", 5); }
TEST_F(Cuda, LaunchesAsTheStatementWithAnIntermediateSays) { expect_launches_of_the_statement("softmax", 5); }
TEST_F(Cuda, LaunchesAsTheStatementOfOpenSizesSays) { expect_launches_of_the_statement("open", 20); }

// Each in a process of its own, as the driver is set up once in one.
class Failure : public testing::TestWithParam<const char *> {
public:
    static void use() {
        LayerOnDevice layer(current_cuda_device(), layer_of("softmax"));
        layer.run();
        layer.result();
    }
    // Ends with 0 where an exception of that kind comes and everything that was taken is given back.
    template <typename Kind>
    [[noreturn]] static void fail(const Setting &, bool frees) {
        try {
            use();
        } catch (const Kind &error) {
            std::fprintf(stderr, "%s\n", error.what());
            const driver::State &state = stand_in().state();
            const bool device_there = !state.primary_uses.empty() && state.primary_uses.at(0) > 0;
            if (frees && !state.memory.empty()) std::_Exit(3);
            if (state.pools.size() != (device_there ? 1 : 0)) std::_Exit(4);
            if (stand_in().current() != nullptr) std::_Exit(5);
            std::exit(0);
        }
        std::exit(2);
    }
};

TEST_P(Failure, OfACallIsAnExceptionThatNamesIt) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const std::string call = GetParam();
    const auto run = [&] {
        const Setting failing("SEPCONV_DRIVER_FAIL", call + "=2");
        if (call == "cuInit") fail<TargetError>(failing, true);
        fail<ExecutionError>(failing, call != "cuMemFreeAsync");
    };
    EXPECT_EXIT(run(), testing::ExitedWithCode(0), call + ": CUDA_ERROR_OUT_OF_MEMORY");
}

INSTANTIATE_TEST_SUITE_P(Calls, Failure,
                         testing::Values("cuInit", "cuDeviceGetCount", "cuDeviceGetName", "cuDeviceGetAttribute",
                                         "cuDevicePrimaryCtxRetain", "cuCtxGetCurrent", "cuCtxPushCurrent_v2", "cuCtxGetDevice",
                                         "cuCtxGetId", "cuMemAlloc_v2", "cuMemPoolCreate", "cuMemPoolSetAttribute",
                                         "cuMemAllocFromPoolAsync", "cuMemFreeAsync", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2",
                                         "cuStreamSynchronize", "cuModuleLoadDataEx", "cuModuleGetFunction", "cuLaunchKernel"),
                         [](const auto &info) { return std::string(info.param); });

TEST(NoDevice, IsNoTarget) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto run = [] { Failure::fail<TargetError>(Setting("SEPCONV_DRIVER_DEVICES", "0"), true); };
    EXPECT_EXIT(run(), testing::ExitedWithCode(0), "cuInit: CUDA_ERROR_NO_DEVICE");
}

TEST(OldDevice, IsNoTarget) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto run = [] { Failure::fail<TargetError>(Setting("SEPCONV_DRIVER_CAPABILITY", "75"), true); };
    EXPECT_EXIT(run(), testing::ExitedWithCode(0), "Stand-in 0: expected a device of compute capability 8.0 or later, found 7.5");
}

TEST(OldDevice, InACurrentContextIsNoTarget) {
    const Setting old("SEPCONV_DRIVER_CAPABILITY", "75");
    driver::Context *const context = stand_in().make_context(1);
    EXPECT_THROW(current_cuda_device(), TargetError);
    EXPECT_EQ(stand_in().current(), context);
    stand_in().destroy(context);
}

TEST_F(Cuda, ReportsTheFirstFailureOfACall) {
    driver::Context *const context = stand_in().make_context(0);
    {
        const Setting failing("SEPCONV_DRIVER_FAIL", "cuLaunchKernel=700,cuMemFreeAsync=2");
        try {
            Failure::use();
            FAIL() << "expected an ExecutionError";
        } catch (const ExecutionError &error) {
            EXPECT_THAT(error.what(), HasSubstr("cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS"));
        }
    }
    stand_in().destroy(context);
}

TEST_F(Cuda, StartsNothingAfterAFailure) {
    const Setting failing("SEPCONV_DRIVER_FAIL", "cuMemAllocFromPoolAsync=2");
    const int before = stand_in().calls("cuLaunchKernel");
    EXPECT_THROW(Failure::use(), ExecutionError);
    EXPECT_EQ(stand_in().calls("cuLaunchKernel"), before);
}

TEST_F(Cuda, StartsAnewAfterAFailure) {
    driver::Context *const context = stand_in().make_context(0);
    {
        const Setting failing("SEPCONV_DRIVER_FAIL", "cuModuleLoadDataEx=2");
        EXPECT_THROW(Failure::use(), ExecutionError);
    }
    EXPECT_NO_THROW(Failure::use());
    stand_in().destroy(context);
}

}  // namespace
}  // namespace sepconv::gpu
