// What the library has built in for Vulkan, as a driver gets it: every module is valid by the specification's own validator.
#include "gpu/spirv.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gpu/rows.h"
#include "gtest/gtest.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

using testing::HasSubstr;

// Takes a function's program, and runs nothing.
class Recorder final : public Device {
public:
    Recorder() : Device("recorder", 1) {}
    std::string_view api() const override { return "vulkan"; }
    Memory allocate(std::size_t) override { return 1; }
    void free(Memory) noexcept override {}
    Memory allocate_in_order(std::size_t, Stream) override { return 1; }
    void free_in_order(Memory, Stream) override {}
    void upload(Memory, const void *, std::size_t, Stream) override {}
    void download(void *, Memory, std::size_t, Stream) override {}
    void synchronize(Stream) override {}
    void load(const char *text, std::size_t bytes, const Compilation &) override { program.assign(text, bytes); }
    void launch(const Launch &, Stream) override {}

    std::string program;

private:
    bool enter() const override { return false; }
    void leave() const noexcept override {}
};

// A tensor of one element.
struct One {
    One(int dimensions) : extents(dimensions, halide_dimension_t(0, 1, 1)) {
        buffer.device = 1;
        buffer.type = halide_type_t(halide_type_float, 32);
        buffer.dimensions = dimensions;
        buffer.dim = extents.data();
    }
    One(const One &) = delete;
    One &operator=(const One &) = delete;
    operator halide_buffer_t *() { return &buffer; }

    std::vector<halide_dimension_t> extents;
    halide_buffer_t buffer = {};
};

std::string program_of(const Row &row) {
    Recorder device;
    GpuCall call{&device, {}, {}, 0, {}};
    One input(row.stage == Stage::gpu_finish ? 5 : 4), taps(3), panel(2), bias(row.stage == Stage::gpu_layer ? 1 : 4), output(4);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    if (row.stage == Stage::gpu_layer) {
        row.layer(&call, input, taps, panel, bias, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -infinity, infinity, output);
    } else if (row.stage == Stage::gpu_finish) {
        row.finish(&call, input, bias, 0, 0, 0, output);
    } else {
        row.axes(&call, input, 1, 0, 0, 0, output);
    }
    call.check();
    return device.program;
}

std::vector<const Row *> vulkan_rows() {
    std::vector<const Row *> found;
    for (const Row &row : rows()) {
        if (row.api == Api::vulkan) found.push_back(&row);
    }
    return found;
}

class Spirv : public testing::TestWithParam<const Row *> {
public:
    // What the validator says of a module; nothing where it is valid.
    static std::string said_of(const std::vector<std::uint32_t> &code) {
        const std::string file = std::filesystem::temp_directory_path() / ("sepconv_spirv_test_" + std::to_string(getpid()));
        std::ofstream(file, std::ios::binary)
            .write(reinterpret_cast<const char *>(code.data()), static_cast<std::streamsize>(code.size() * 4));
        const std::string command = std::string(SEPCONV_SPIRV_VAL) + " --target-env vulkan1.1 " + file + " 2>&1";
        std::string text;
        FILE *const output = popen(command.c_str(), "r");
        for (int letter = std::fgetc(output); letter != EOF; letter = std::fgetc(output)) text += static_cast<char>(letter);
        const int status = pclose(output);
        std::filesystem::remove(file);
        return status == 0 ? "" : text + " (status " + std::to_string(status) + ")";
    }
};

TEST_P(Spirv, IsValidAsItIsBuiltInAndAsADriverGetsIt) {
    const std::string program = program_of(*GetParam());
    const std::vector<SpirvKernel> kernels = spirv_kernels(program.data(), program.size());
    ASSERT_FALSE(kernels.empty());
    for (const SpirvKernel &kernel : kernels) {
        SCOPED_TRACE(kernel.name);
        EXPECT_EQ(kernel.uniform_buffers, 1u);
        EXPECT_GE(kernel.storage_buffers, 2u);
        EXPECT_EQ(said_of(kernel.code), "");
        for (const SpirvChanges changes :
             {SpirvChanges{true, false, false}, SpirvChanges{true, true, false}, SpirvChanges{false, true, true}}) {
            EXPECT_EQ(said_of(prepared_spirv(kernel.code, changes)), "");
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Rows, Spirv, testing::ValuesIn(vulkan_rows()), [](const auto &info) { return std::string(info.param->name); });

// A list that is cut off anywhere, and words that are none.
TEST(SpirvKernels, AreRefusedWhereTheyAreNotWhatHalideWrites) {
    const std::string program = program_of(*vulkan_rows().front());
    for (std::size_t bytes = 0; bytes < std::min<std::size_t>(program.size(), 400); bytes += 4) {
        EXPECT_THROW(spirv_kernels(program.data(), bytes), ExecutionError) << bytes << " bytes";
    }
    EXPECT_THROW(spirv_kernels(program.data(), program.size() - 4), ExecutionError);
    std::string other = program;
    const std::uint32_t magic = 0x07230203, wrong = 0x07230204;
    const std::size_t at = other.find(std::string(reinterpret_cast<const char *>(&magic), sizeof magic));
    ASSERT_NE(at, std::string::npos);
    std::memcpy(other.data() + at, &wrong, sizeof wrong);
    try {
        spirv_kernels(other.data(), other.size());
        FAIL() << "expected an ExecutionError";
    } catch (const ExecutionError &error) {
        EXPECT_THAT(error.what(), HasSubstr("expected SPIR-V kernels as Halide writes them, found a module that is no SPIR-V"));
    }
}

// OpDecorate … NoContraction.
TEST(PreparedSpirv, IsDecoratedWhereItIsExact) {
    for (const Row *row : vulkan_rows()) {
        if (std::string(row->name) != "gpu_finish_gelu") continue;
        const std::string program = program_of(*row);
        const SpirvKernel kernel = spirv_kernels(program.data(), program.size()).front();
        const auto decorations = [&](bool is_exact) {
            const std::vector<std::uint32_t> code = prepared_spirv(kernel.code, {false, false, is_exact});
            int count = 0;
            for (std::size_t at = 5; at < code.size(); at += code[at] >> 16) count += code[at] == (3u << 16 | 71) && code[at + 2] == 42;
            return count;
        };
        EXPECT_EQ(decorations(false), 0);
        EXPECT_GT(decorations(true), 10);
        return;
    }
    FAIL() << "expected gpu_finish_gelu for Vulkan, found none";
}

}  // namespace
}  // namespace sepconv::gpu
