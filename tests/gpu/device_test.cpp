// The device layer with the generated code that it is for, on whatever OpenCL and Vulkan find (PoCL and lavapipe on a CPU) and, where there
// is one, a GPU of CUDA.
#include "gpu/device.h"

#include <cmath>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "on_device.h"
#include "reference.h"

extern "C" {
#define SEPCONV_DEVICE_LAYER(layer, ...)                                                                                             \
    int opencl_##layer(const void *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *); \
    int cuda_##layer(const void *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);   \
    int vulkan_##layer(const void *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
#include "device_layers.inc"
#undef SEPCONV_DEVICE_LAYER
}

namespace sepconv::gpu {
namespace {

using testing::HasSubstr;

std::vector<GpuLayer> layers_of(const std::string &api) {
    const bool opencl = api == "opencl", cuda = api == "cuda";
    return {
#define SEPCONV_DEVICE_LAYER(layer, batch, height, width, channels, filters, params) \
    {#layer, opencl ? &opencl_##layer : cuda ? &cuda_##layer : &vulkan_##layer, batch, height, width, channels, filters, params},
#include "device_layers.inc"
#undef SEPCONV_DEVICE_LAYER
    };
}

GpuLayer layer_of(const std::string &api, const std::string &name) {
    for (const GpuLayer &layer : layers_of(api)) {
        if (layer.name == name) return layer;
    }
    throw Error("expected a layer of CMakeLists.txt, found " + name);
}

void expect_equal_to_the_reference(LayerOnDevice &layer) {
    const std::vector<double> expected =
        reference::activated(reference::product(layer.config, layer.weights(), layer.input.values().data(), layer.shape),
                             layer.config.activation)
            .values;
    const std::vector<float> &found = layer.result();
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0;
    for (const double value : expected) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); i++) ASSERT_NEAR(found[i], expected[i], 1e-5 * largest) << "at " << i;
}

class DeviceOf : public testing::TestWithParam<const char *> {
public:
    void SetUp() override {
        const std::optional<std::string> reason = why_not(GetParam());
        // CUDA needs a GPU; OpenCL and Vulkan are set up wherever the tests are.
        if (reason && GetParam() == std::string("cuda")) GTEST_SKIP() << *reason;
        ASSERT_FALSE(reason) << *reason;
    }
    Device &device() { return device_of(GetParam()); }
};

TEST_P(DeviceOf, SaysWhatItIs) {
    EXPECT_EQ(device().api(), GetParam());
    EXPECT_NE(device().name(), "");
    EXPECT_GT(device().multiprocessors(), 0);
    EXPECT_EQ(&device(), &device());
}

TEST_P(DeviceOf, GivesBackWhatWasUploaded) {
    const std::vector<float> sent = {1, 2, 3};
    std::vector<float> received(sent.size());
    const Memory memory = device().allocate(sizeof(float) * sent.size());
    device().upload(memory, sent.data(), sizeof(float) * sent.size(), {});
    device().download(received.data(), memory, sizeof(float) * sent.size(), {});
    device().synchronize({});
    EXPECT_EQ(received, sent);
    device().free(memory);
}

TEST_P(DeviceOf, HasNoMemoryOfNoBytes) {
    EXPECT_EQ(device().allocate(0), 0u);
    EXPECT_EQ(device().allocate_in_order(0, {}), 0u);
    device().free(0);
    device().free_in_order(0, {});
}

TEST_P(DeviceOf, RunsEveryGeneratedLayer) {
    for (const GpuLayer &layer : layers_of(GetParam())) {
        SCOPED_TRACE(layer.name);
        LayerOnDevice on_device(device(), layer);
        on_device.run();
        expect_equal_to_the_reference(on_device);
    }
}

TEST_P(DeviceOf, RunsAnEmptyBatch) {
    for (GpuLayer layer : layers_of(GetParam())) {
        SCOPED_TRACE(layer.name);
        layer.batch = 0;
        LayerOnDevice(device(), layer).run();
    }
}

TEST_P(DeviceOf, IsUsedByManyThreads) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 3; i++) {
                const GpuLayer layer = layer_of(GetParam(), (t + i) % 2 == 0 ? "softmax" : "open");
                LayerOnDevice on_device(device(), layer, {}, static_cast<unsigned>(t));
                on_device.run();
                expect_equal_to_the_reference(on_device);
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
}

TEST_P(DeviceOf, SaysWhatItsCompilerSaysOfAProgram) {
    static const char text[] = "this is no program";
    try {
        device().load(text, sizeof text);
        FAIL() << "expected an ExecutionError";
    } catch (const ExecutionError &error) {
        EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("clBuildProgram: CL_BUILD_PROGRAM_FAILURE"), HasSubstr("CUDA_ERROR_INVALID_PTX"),
                                                 HasSubstr("expected SPIR-V kernels as Halide writes them")));
        EXPECT_THAT(error.what(),
                    testing::AnyOf(HasSubstr("unknown type name 'this'"), HasSubstr("ptxas"), HasSubstr("found an end in the middle")));
    }
}

TEST_P(DeviceOf, NamesTheKernelThatAProgramLacks) {
    LayerOnDevice(device(), layer_of(GetParam(), "relu")).run();
    static const char opencl[] = "kernel void present() {}",
                      cuda[] = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry present() { ret; }";
    static const char no_kernels[] = {0, 0, 0, 0};
    const std::string api = GetParam();
    const char *const program = api == "cuda" ? cuda : api == "opencl" ? opencl : no_kernels;
    device().load(program, api == "cuda" ? sizeof cuda : api == "opencl" ? sizeof opencl : sizeof no_kernels);
    try {
        device().launch({.program = program, .kernel = "absent", .grid = {}, .block = {}, .arguments = {}, .sizes = nullptr}, {});
        FAIL() << "expected an ExecutionError";
    } catch (const ExecutionError &error) {
        EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("CL_INVALID_KERNEL_NAME: absent"), HasSubstr("CUDA_ERROR_NOT_FOUND"),
                                                 HasSubstr("absent: its program on " + device().name() + " has no such kernel")));
    }
}

TEST_P(DeviceOf, LaunchesNoProgramThatWasNotLoaded) {
    EXPECT_THROW(device().launch({.program = "", .kernel = "any", .grid = {}, .block = {}, .arguments = {}, .sizes = nullptr}, {}),
                 ExecutionError);
}

// The generated function goes on after it.
TEST_P(DeviceOf, KeepsTheFirstFailureOfACall) {
    LayerOnDevice layer(device(), layer_of(GetParam(), "softmax"));
    const Memory kept = std::exchange(layer.input.buffer()->device, 0);
    try {
        layer.run();
        FAIL() << "expected an ExecutionError";
    } catch (const ExecutionError &error) {
        EXPECT_EQ(error.what(), "expected every tensor in the memory of " + device().name() + ", found one that is not");
    }
    layer.input.buffer()->device = kept;
}

constexpr const char *apis[] = {"opencl",
#ifdef SEPCONV_VULKAN
                                "vulkan",
#endif
                                "cuda"};
INSTANTIATE_TEST_SUITE_P(Api, DeviceOf, testing::ValuesIn(apis), [](const auto &info) { return std::string(info.param); });

TEST(WhyNot, KnowsNoOtherApi) {
    EXPECT_THAT(why_not("metal").value_or(""), testing::MatchesRegex("expected one of cuda, opencl.*, found metal"));
}

// The loader of OpenCL reads its list of drivers once in a process.
TEST(OpenCL, WithoutADriverIsNoTarget) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto ask = [] {
        setenv("OCL_ICD_VENDORS", "/nowhere", 1);
        try {
            opencl_device();
        } catch (const TargetError &error) {
            std::fprintf(stderr, "%s\n", error.what());
            std::exit(why_not("opencl") == error.what() ? 0 : 1);
        }
        std::exit(2);
    };
    EXPECT_EXIT(ask(), testing::ExitedWithCode(0), "expected a device of OpenCL, found none");
}

#ifdef SEPCONV_VULKAN
TEST(Vulkan, WithoutADriverIsNoTarget) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto ask = [] {
        setenv("VK_ICD_FILENAMES", "/nowhere", 1);
        try {
            device_of("vulkan");
        } catch (const TargetError &error) {
            std::fprintf(stderr, "%s\n", error.what());
            std::exit(why_not("vulkan") == error.what() ? 0 : 1);
        }
        std::exit(2);
    };
    EXPECT_EXIT(ask(), testing::ExitedWithCode(0), "expected a d.* of Vulkan, found none");
}
#endif

// The end of a tensor is where drivers and runtimes differ: bytes that are no multiple of anything.
TEST_P(DeviceOf, KeepsTheEndOfAnyNumberOfBytes) {
    for (const std::size_t bytes : {1, 4, 63, 65, 288, 4097, 20'000}) {
        std::vector<unsigned char> sent(bytes), received(bytes);
        for (std::size_t i = 0; i < bytes; i++) sent[i] = static_cast<unsigned char>(i * 7 + 1);
        const Memory memory = device().allocate_in_order(bytes, {});
        device().upload(memory, sent.data(), bytes, {});
        device().download(received.data(), memory, bytes, {});
        device().synchronize({});
        EXPECT_EQ(received, sent) << bytes << " bytes";
        device().free_in_order(memory, {});
    }
}

}  // namespace
}  // namespace sepconv::gpu
