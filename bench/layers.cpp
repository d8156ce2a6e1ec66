// Times the precompiled functions on the layers of layers.json, each beside the machine's peak measured in the same moment: the clock of
// a shared machine drifts, so that only the share of the peak means anything.
//   sepconv_bench_layers [--target NAME] [--channels-first] [--seconds S] [part of a layer's name]
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "peak.h"
#include "sepconv/sepconv.h"

namespace sepconv::bench {
namespace {

struct Options {
    std::string target, name;
    bool channels_first = false;
    double seconds = 0.5;
};

double nanoseconds() { return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<float> random_values(std::int64_t count) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> values(count);
    for (float &value : values) value = uniform(random);
    return values;
}

void measure(const nlohmann::json &layer, const Options &options) {
    const std::int64_t h = layer["h"], w = layer["w"], c = layer["c"], k = layer["k"], s = layer["s"], d = layer["d"], m = layer["m"];
    LayerConfig config;
    config.filters = layer["f"];
    config.kernel_size = {k, k};
    config.strides = {s, s};
    config.dilation_rate = {d, d};
    config.depth_multiplier = m;
    config.padding = Padding::same;
    config.data_format = options.channels_first ? DataFormat::channels_first : DataFormat::channels_last;
    config.activation.kind = ActivationKind::relu;
    config.activation.a = std::numeric_limits<float>::infinity();
    const std::vector<float> depthwise = random_values(k * k * c * m), pointwise = random_values(c * m * config.filters);
    const std::vector<float> bias = random_values(config.filters);
    const Layer made(config, {depthwise.data(), {k, k, c, m}, pointwise.data(), {1, 1, c * m, config.filters}, bias.data(), config.filters},
                     options.target);
    const Shape input = options.channels_first ? Shape{1, c, h, w} : Shape{1, h, w, c}, output = made.output_shape(input);
    const std::vector<float> image = random_values(input[1] * input[2] * input[3]);
    std::vector<float> result(output[1] * output[2] * output[3]);
    const std::int64_t pixels = result.size() / config.filters;

    // The peak and both numbers of threads take turns.
    double limit = 0, least[2] = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
    for (const double end = nanoseconds() + options.seconds * 1e9; nanoseconds() < end;) {
        constexpr int few = 20;
        limit = std::max(limit, peak(made.target(), few));
        for (int threads = 1; threads <= 2; threads++) {
            Execution how;
            how.threads = threads;
            for (int i = 0; i < few; i++) {
                const double start = nanoseconds();
                made.run({image.data(), input}, {result.data(), output}, how);
                least[threads - 1] = std::min(least[threads - 1], nanoseconds() - start);
            }
        }
    }
    const double operations = 2.0 * static_cast<double>(pixels * c * m * (k * k + config.filters));
    fmt::print("{:<26} {:>8.1f} us {:>7.1f} GF/s {:>6.1f} % of {:.1f}   2 threads {:>7.1f} GF/s, {:.2f} x\n",
               layer["name"].get<std::string>(), least[0] / 1e3, operations / least[0], 100 * operations / least[0] / limit, limit,
               operations / least[1], least[0] / least[1]);
    std::fflush(stdout);
}

Options parse(int argc, char **argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        if (word == "--channels-first") {
            options.channels_first = true;
        } else if (word == "--target" && i + 1 < argc) {
            options.target = argv[++i];
        } else if (word == "--seconds" && i + 1 < argc) {
            options.seconds = std::stod(argv[++i]);
        } else if (word.rfind("--", 0) != 0) {
            options.name = word;
        } else {
            throw Error(fmt::format("{}: expected --target NAME, --channels-first, --seconds S or a part of a layer's name", word));
        }
    }
    return options;
}

}  // namespace
}  // namespace sepconv::bench

int main(int argc, char **argv) {
    try {
        const sepconv::bench::Options options = sepconv::bench::parse(argc, argv);
        std::ifstream file(SEPCONV_LAYERS);
        for (const nlohmann::json &layer : nlohmann::json::parse(file)) {
            if (layer["name"].get<std::string>().find(options.name) != std::string::npos) sepconv::bench::measure(layer, options);
        }
        return 0;
    } catch (const std::exception &error) {
        fmt::print(stderr, "sepconv_bench_layers: {}\n", error.what());
        return 2;
    }
}
