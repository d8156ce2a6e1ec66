// Where NVIDIA's driver is not installed: "cuda" is no target, and says so.
#include <dlfcn.h>

#include "gmock/gmock.h"
#include "gpu/device.h"
#include "gtest/gtest.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

class NoDriver : public testing::Test {
public:
    void SetUp() override {
        if (void *driver = dlopen("libcuda.so.1", RTLD_NOW)) {
            dlclose(driver);
            GTEST_SKIP() << "this machine has NVIDIA's driver";
        }
    }
};

TEST_F(NoDriver, MakesCudaNoTarget) {
    try {
        current_cuda_device();
        FAIL() << "expected a TargetError";
    } catch (const TargetError &error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("expected NVIDIA's driver, found none (libcuda.so.1: cannot open shared object file"));
    }
}

TEST_F(NoDriver, IsWhyCudaDoesNotRun) {
    EXPECT_THAT(why_not("cuda").value_or(""), testing::HasSubstr("expected NVIDIA's driver, found none"));
}

}  // namespace
}  // namespace sepconv::gpu
