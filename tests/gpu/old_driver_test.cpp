// The device layer on a driver of CUDA 11.0, which has neither memory pools nor ids of contexts: driver/ without those functions.
#include <dlfcn.h>

#include "driver.h"
#include "gpu/device.h"
#include "gtest/gtest.h"
#include "on_device.h"

extern "C" int cuda_softmax(const void *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);

namespace sepconv::gpu {
namespace {

driver::State &state() {
    return *reinterpret_cast<driver::State *(*)()>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), driver::state_function))();
}

TEST(OldDriver, RunsALayerWithAnIntermediate) {
    {
        LayerOnDevice layer(current_cuda_device(), {"softmax", &cuda_softmax, 2, 14, 15, 9, 11, "padding=same activation=softmax"});
        layer.run();
        layer.run();
        EXPECT_EQ(state().launches.size(), 4u);
        EXPECT_EQ(state().calls["cuModuleLoadDataEx"], 1);
        EXPECT_EQ(state().calls["cuStreamSynchronize"], 2);
    }
    EXPECT_TRUE(state().memory.empty());
}

}  // namespace
}  // namespace sepconv::gpu
