// Times the layers of layers.json compiled for their shape, each beside the precompiled functions and the machine's peak in the same run.
//   sepconv_bench_fused [--target NAME] [--channels-first] [--seconds S] [part of a layer's name]
#include "fused.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "peak.h"
#include "sepconv/sepconv.h"

namespace sepconv::bench {
namespace {

double nanoseconds() { return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<float> random_values(std::int64_t count) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> values(count);
    for (float &value : values) value = uniform(random);
    return values;
}

// One line: for each number of threads the fused form and the precompiled functions. False where their results differ.
bool measure(const nlohmann::json &entry, const std::string &target, bool channels_first, double seconds) {
    const std::string name = entry["name"];
    const std::int64_t h = entry["h"], w = entry["w"], c = entry["c"], k = entry["k"], s = entry["s"], d = entry["d"], m = entry["m"];
    LayerConfig config;
    config.filters = entry["f"];
    config.kernel_size = {k, k};
    config.strides = {s, s};
    config.dilation_rate = {d, d};
    config.depth_multiplier = m;
    config.padding = Padding::same;
    config.data_format = channels_first ? DataFormat::channels_first : DataFormat::channels_last;
    config.activation.kind = ActivationKind::relu;
    config.activation.a = std::numeric_limits<float>::infinity();
    const std::vector<float> depthwise = random_values(k * k * c * m), pointwise = random_values(c * m * config.filters);
    const std::vector<float> bias = random_values(config.filters);
    const Layer precompiled(
        config, {depthwise.data(), {k, k, c, m}, pointwise.data(), {1, 1, c * m, config.filters}, bias.data(), config.filters}, target);
    const Shape input = channels_first ? Shape{1, c, h, w} : Shape{1, h, w, c}, output = precompiled.output_shape(input);
    const std::vector<float> image = random_values(h * w * c);
    std::vector<float> expected(output[1] * output[2] * output[3]), found(expected.size());
    const std::int64_t pixels = expected.size() / config.filters;
    precompiled.run({image.data(), input}, {expected.data(), output});

    std::map<int, PackedLayer> fused;
    for (const CompiledLayer &layer : compiled_layers()) {
        if (layer.name != name || layer.target != target || layer.channels_first != channels_first) continue;
        fused.try_emplace(layer.threads, layer, depthwise.data(), pointwise.data(), bias.data(), k, c, m, config.filters);
    }
    const double largest = *std::max_element(expected.begin(), expected.end());
    for (auto &[threads, layer] : fused) {
        std::fill(found.begin(), found.end(), std::numeric_limits<float>::quiet_NaN());
        if (layer.run(image.data(), found.data(), h, w, pixels, 1) != 0) return false;
        for (std::size_t i = 0; i < found.size(); i++) {
            if (!(std::abs(found[i] - expected[i]) <= 1e-4 * largest)) {
                fmt::print(stderr, "{}: expected {} at {}, found {}\n", name, expected[i], i, found[i]);
                return false;
            }
        }
    }

    double limit = 0;
    std::map<int, double> fused_least, precompiled_least;
    auto time = [](double &least, auto call) {
        constexpr int few = 10;
        for (int i = 0; i < few; i++) {
            const double start = nanoseconds();
            call();
            const double taken = nanoseconds() - start;
            if (least == 0 || taken < least) least = taken;
        }
    };
    for (const double end = nanoseconds() + seconds * 1e9; nanoseconds() < end;) {
        limit = std::max(limit, peak(target, 10));
        for (auto &[threads, layer] : fused) {
            time(fused_least[threads], [&, &layer = layer] { layer.run(image.data(), found.data(), h, w, pixels, 1); });
            Execution how;
            how.threads = threads;
            time(precompiled_least[threads], [&] { precompiled.run({image.data(), input}, {found.data(), output}, how); });
        }
    }
    const double operations = 2.0 * static_cast<double>(pixels * c * m * (k * k + config.filters));
    fmt::print("{:<26}", name);
    for (const auto &[threads, least] : fused_least) {
        const double other = precompiled_least[threads], percent = 100 * operations / (limit * threads);
        fmt::print("  {} thread{}: fused {:>8.1f} us {:>5.1f} %, precompiled {:>8.1f} us {:>5.1f} %", threads, threads > 1 ? "s" : "",
                   least / 1e3, percent / least, other / 1e3, percent / other);
    }
    fmt::print("  of {:.1f} GF/s\n", limit);
    std::fflush(stdout);
    return true;
}

}  // namespace
}  // namespace sepconv::bench

int main(int argc, char **argv) {
    try {
        std::string target = "avx2", part;
        bool channels_first = false, right = true;
        double seconds = 0.5;
        for (int i = 1; i < argc; i++) {
            const std::string word = argv[i];
            if (word == "--channels-first") {
                channels_first = true;
            } else if (word == "--target" && i + 1 < argc) {
                target = argv[++i];
            } else if (word == "--seconds" && i + 1 < argc) {
                seconds = std::stod(argv[++i]);
            } else {
                part = word;
            }
        }
        std::ifstream file(SEPCONV_LAYERS);
        for (const nlohmann::json &layer : nlohmann::json::parse(file)) {
            const std::string name = layer["name"];
            if (name.find(part) != std::string::npos) right &= sepconv::bench::measure(layer, target, channels_first, seconds);
        }
        return right ? 0 : 1;
    } catch (const std::exception &error) {
        fmt::print(stderr, "sepconv_bench_fused: {}\n", error.what());
        return 2;
    }
}
