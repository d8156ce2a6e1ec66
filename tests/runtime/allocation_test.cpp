// A run allocates nothing after the first one with its shape on a thread. Every way to get memory is counted, in this program only.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "random_layer.h"

namespace {

std::atomic<bool> counting = false;
std::atomic<std::int64_t> allocations = 0;

void count() {
    if (counting.load(std::memory_order_relaxed)) allocations++;
}

}  // namespace

// glibc lets a program define these; operator new, strdup and the rest come through them.
extern "C" {
void *__libc_malloc(std::size_t size);
void *__libc_calloc(std::size_t count, std::size_t size);
void *__libc_realloc(void *memory, std::size_t size);
void *__libc_memalign(std::size_t alignment, std::size_t size);

void *malloc(std::size_t size) noexcept {
    count();
    return __libc_malloc(size);
}
void *calloc(std::size_t number, std::size_t size) noexcept {
    count();
    return __libc_calloc(number, size);
}
void *realloc(void *memory, std::size_t size) noexcept {
    count();
    return __libc_realloc(memory, size);
}
void *memalign(std::size_t alignment, std::size_t size) noexcept {
    count();
    return __libc_memalign(alignment, size);
}
void *aligned_alloc(std::size_t alignment, std::size_t size) noexcept { return memalign(alignment, size); }
int posix_memalign(void **memory, std::size_t alignment, std::size_t size) noexcept {
    *memory = memalign(alignment, size);
    return *memory == nullptr ? ENOMEM : 0;
}
}

namespace sepconv {
namespace {

using namespace testing_layers;

class Allocations : public testing::TestWithParam<Activation> {
protected:
    static std::int64_t in_a_run(const RandomLayer &one, const Layer &layer, std::vector<float> &values, const Execution &how) {
        allocations = 0;
        counting = true;
        layer.run({one.image.data(), one.input}, {values.data(), one.output}, how);
        counting = false;
        return allocations;
    }

    static LayerConfig config(DataFormat format, const Activation &activation) {
        LayerConfig config;
        config.data_format = format;
        config.filters = 32;
        config.padding = Padding::same;
        config.activation = activation;
        return config;
    }
};

std::vector<Activation> activations_without_parameters() {
    std::vector<Activation> list;
    for (const Activation &activation : all_activations()) {
        if (list.empty() || list.back().kind != activation.kind || list.back().axes != activation.axes) list.push_back(activation);
    }
    return list;
}

std::string name_of(const testing::TestParamInfo<Activation> &info) {
    std::string text = fmt::format("kind_{}_{}", static_cast<int>(info.param.kind), name(info.param.kind));
    for (const int axis : info.param.axes) text += fmt::format("_{}{}", axis < 0 ? "minus" : "", std::abs(axis));
    return text;
}

INSTANTIATE_TEST_SUITE_P(Activation, Allocations, testing::ValuesIn(activations_without_parameters()), name_of);

TEST_P(Allocations, NoneInASecondRunWithOneThreadOrSeveral) {
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        const RandomLayer one = filled(config(format, GetParam()), 2, 36, 36, 24);
        const Layer layer(one.config, one.weights());
        std::vector<float> values = one.run(layer);
        for (const int threads : {1, 4}) {
            const Execution how = {.threads = threads, .executor = nullptr};
            in_a_run(one, layer, values, how);
            EXPECT_EQ(in_a_run(one, layer, values, how), 0) << threads << " threads, " << to_json(one.config);
        }
    }
}

TEST_P(Allocations, NoneWhenManyShapesTakeTurns) {
    const LayerConfig layer_config = config(DataFormat::channels_last, GetParam());
    std::vector<RandomLayer> images;
    for (int i = 0; i < 40; i++) images.push_back(filled(layer_config, 2 + 2 * (i % 2), 2 + 2 * (i % 7), 2 + 2 * (i % 5), 8));
    const Layer layer(layer_config, images[0].weights());
    std::vector<float> values(100'000);
    const Execution one_thread = {.threads = 1, .executor = nullptr};
    for (const RandomLayer &image : images) in_a_run(image, layer, values, one_thread);
    std::int64_t total = 0;
    for (const RandomLayer &image : images) total += in_a_run(image, layer, values, one_thread);
    EXPECT_EQ(total, 0) << to_json(layer_config);
}

TEST(Counting, SeesWhatItShould) {
    allocations = 0;
    counting = true;
    const std::vector<int> one(10);
    void *const two = std::aligned_alloc(64, 128);
    void *const three = ::operator new(64, std::align_val_t(64));
    counting = false;
    EXPECT_EQ(allocations, 3);
    std::free(two);
    ::operator delete(three, std::align_val_t(64));
}

}  // namespace
}  // namespace sepconv
