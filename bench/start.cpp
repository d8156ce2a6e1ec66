// What a layer costs before it is at speed: making it, beside a copy of its weights, and its first run with a shape, beside the second.
//   sepconv_bench_start [part of a layer's name]
// Times are the least of many. Each first run is a new layer's on a new thread, in a process that has run others: the first run of all
// also brings the library's code into memory.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/layer_table.h"

namespace sepconv::bench {
namespace {

template <typename Work>
double microseconds(Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

constexpr int repetitions = 15;

void measure(const std::string &name, const ShapedLayer &layer) {
    const LayerConfig &config = layer.config;
    const std::int64_t c = channels(layer), m = config.depth_multiplier, f = config.filters;
    const Shape depthwise_shape = {config.kernel_size[0], config.kernel_size[1], c, m}, pointwise_shape = {1, 1, c * m, f};
    const Values depthwise = random_values(elements(depthwise_shape)), pointwise = random_values(elements(pointwise_shape));
    const Values bias = random_values(f), image = random_values(elements(layer.input));
    const Weights weights = {depthwise.data(), depthwise_shape, pointwise.data(), pointwise_shape, bias.data(), f};
    const Shape output_shape = sepconv::output_shape(config, layer.input);
    std::vector<float> output(static_cast<std::size_t>(elements(output_shape)));
    Execution one_thread;
    one_thread.threads = 1;

    double copy = std::numeric_limits<double>::infinity(), make = copy, first = copy, second = copy;
    for (int i = 0; i < repetitions; i++) {
        // The copy pays for new memory too, as the layer does.
        std::unique_ptr<float[]> copied;
        copy = std::min(copy, microseconds([&] {
                            copied.reset(new float[depthwise.size() + pointwise.size()]);  // NOLINT(modernize-avoid-c-arrays): not cleared
                            std::memcpy(copied.get(), depthwise.data(), depthwise.size() * sizeof(float));
                            std::memcpy(copied.get() + depthwise.size(), pointwise.data(), pointwise.size() * sizeof(float));
                            asm volatile("" : : "r"(copied.get()) : "memory");
                        }));
        copied.reset();
        std::unique_ptr<Layer> made;
        make = std::min(make, microseconds([&] { made = std::make_unique<Layer>(config, weights); }));
        std::thread([&] {
            const auto run = [&] { made->run({image.data(), layer.input}, {output.data(), output_shape}, one_thread); };
            first = std::min(first, microseconds(run));
            second = std::min(second, microseconds(run));
        }).join();
    }
    fmt::print("{:<28} {:>14} {:9.1f} {:9.1f} {:6.2f} {:10.1f} {:10.1f} {:6.2f}\n", name,
               config.data_format == DataFormat::channels_first ? "channels_first" : "channels_last", copy, make, make / copy, first,
               second, first / second);
}

}  // namespace
}  // namespace sepconv::bench

int main(int count, char **arguments) {
    using namespace sepconv::bench;
    try {
        const std::string part = count > 1 ? arguments[1] : "";
        fmt::print("{:<28} {:>14} {:>9} {:>9} {:>6} {:>10} {:>10} {:>6}\n", "microseconds", "", "copy", "make", "", "first", "second", "");
        for (const char *format : {"channels_last", "channels_first"}) {
            for (nlohmann::json row : built_in_layers()) {
                const std::string name = row.at("name");
                if (name.find(part) == std::string::npos) continue;
                row["data_format"] = format;
                measure(name, table_layer(row));
            }
        }
        return 0;
    } catch (const std::exception &error) {
        fmt::print(stderr, "sepconv_bench_start: {}\n", error.what());
        return 2;
    }
}
