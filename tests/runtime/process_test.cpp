// The library leaves the process as it was: signal handlers, locale, the floating-point environment, the standard streams.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>
#ifndef __aarch64__
#include <xmmintrin.h>
#endif

#include <array>
#include <cfenv>
#include <clocale>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "random_layer.h"

namespace sepconv {
namespace {

using namespace testing_layers;

using Handlers = std::vector<void (*)(int)>;

Handlers signal_handlers() {
    Handlers handlers;
    for (int number = 1; number < SIGRTMIN; number++) {
        struct sigaction action = {};
        if (sigaction(number, nullptr, &action) == 0) handlers.push_back(action.sa_handler);
    }
    return handlers;
}

// A layer of each format and some activations, made and run on every target, with one thread and several; and what it refuses.
void use_the_library() {
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        for (const ActivationKind kind : {ActivationKind::linear, ActivationKind::gelu, ActivationKind::softmax}) {
            LayerConfig config;
            config.data_format = format;
            config.filters = 24;
            config.activation = default_activation(kind);
            const RandomLayer one = filled(config, 2, 40, 40, 20);
            for (const std::string &target : targets_here()) {
                const Layer layer(config, one.weights(), target);
                one.run(layer, {.threads = 1, .executor = nullptr});
                one.run(layer, {.threads = 3, .executor = nullptr});
                layer.explain(one.input);
                EXPECT_THROW(layer.output_shape({1, 1, 1, 1}), ShapeError);
            }
        }
    }
}

TEST(Process, SignalHandlersAreLeftAlone) {
    const Handlers before = signal_handlers();
    use_the_library();
    EXPECT_EQ(signal_handlers(), before);
}

TEST(Process, LocaleIsLeftAlone) {
    const std::string before = std::setlocale(LC_ALL, nullptr);  // NOLINT(concurrency-mt-unsafe)
    use_the_library();
    EXPECT_EQ(std::setlocale(LC_ALL, nullptr), before);  // NOLINT(concurrency-mt-unsafe)
}

// The rounding and what becomes of subnormals.
#ifdef __aarch64__
std::uint64_t float_control() {
    std::uint64_t control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}
#else
// MXCSR's lowest six bits only say what has happened.
std::uint64_t float_control() { return _mm_getcsr() & ~std::uint32_t(0x3F); }
#endif

TEST(Process, RoundingAndSubnormalsAreLeftAlone) {
    const std::uint64_t before = float_control();
    use_the_library();
    EXPECT_EQ(float_control(), before);
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
}

TEST(Process, TheCallersRoundingIsKept) {
    const int before = std::fegetround();
    ASSERT_EQ(std::fesetround(FE_UPWARD), 0);
    use_the_library();
    EXPECT_EQ(std::fegetround(), FE_UPWARD);
    std::fesetround(before);
}

// What a descriptor received while the library was used.
std::int64_t bytes_written_to(int descriptor) {
    std::fflush(nullptr);  // what this program has written so far
    std::FILE *const file = std::tmpfile();
    const int saved = dup(descriptor);
    dup2(fileno(file), descriptor);
    use_the_library();
    std::fflush(nullptr);
    dup2(saved, descriptor);
    close(saved);
    const std::int64_t size = lseek(fileno(file), 0, SEEK_END);
    std::fclose(file);
    return size;
}

TEST(Process, NothingIsPrinted) {
    EXPECT_EQ(bytes_written_to(STDOUT_FILENO), 0);
    EXPECT_EQ(bytes_written_to(STDERR_FILENO), 0);
}

}  // namespace
}  // namespace sepconv
