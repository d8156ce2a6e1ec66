// This library's side of the comparison with its peers: one of its ways to compute a layer, driven line by line over standard input, as
// bench/peers/worker.py documents. Beyond that it measures the machine's limits:
//     {"limits": {"peak": seconds, "bandwidth": seconds}, "threads": n}
// and of a layer that `sepconv compile` made, it is told where that lies:
//     {"prepare": …, "compiled": {"library": file, "function": name, "workspace_bytes": n}}
//   sepconv_bench_worker         prints the names of the ways
//   sepconv_bench_worker WAY     serves it
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bandwidth.h"
#include "candidate.h"
#include "peak.h"
#include "together.h"

namespace sepconv::bench {
namespace {

using Json = nlohmann::json;

Values read_values(const std::string &file, std::int64_t count) {
    Values values(static_cast<std::size_t>(count));
    const auto bytes = static_cast<std::streamsize>(values.size() * sizeof(float));
    std::ifstream stream(file, std::ios::binary);
    if (!stream.read(reinterpret_cast<char *>(values.data()), bytes)) throw FileError(fmt::format("{}: expected {} bytes", file, bytes));
    return values;
}

// A layer with its tensors in place.
class Prepared {
public:
    Prepared(const Way &way, const Json &request) {
        const ShapedLayer layer = table_layer(request.at("prepare"));
        const LayerConfig &config = layer.config;
        const auto folder = request.at("weights").get<std::string>();
        const Shape taps = {config.kernel_size[0], config.kernel_size[1], channels(layer), config.depth_multiplier};
        const Shape matrix = {1, 1, channels(layer) * config.depth_multiplier, config.filters};
        const auto depthwise = read_values(folder + "/depthwise.f32", elements(taps));
        const auto pointwise = read_values(folder + "/pointwise.f32", elements(matrix));
        const auto bias = read_values(folder + "/bias.f32", config.filters);
        candidate_ = way.make(layer, {depthwise.data(), taps, pointwise.data(), matrix, bias.data(), config.filters},
                              request.at("threads").get<int>(), request);
        if (!candidate_) return;
        input_ = read_values(folder + "/input.f32", elements(layer.input));
        output_.resize(static_cast<std::size_t>(elements(output_shape(config, layer.input))));
        run();
        std::ofstream(request.at("output").get<std::string>(), std::ios::binary)
            .write(reinterpret_cast<const char *>(output_.data()), static_cast<std::streamsize>(output_.size() * sizeof(float)));
    }

    bool known() const { return candidate_ != nullptr; }
    void run() { candidate_->run(input_.data(), output_.data()); }

private:
    std::unique_ptr<Candidate> candidate_;
    Values input_, output_;
};

double least_seconds(Prepared &prepared, double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    double least = std::numeric_limits<double>::infinity();
    for (auto start = Clock::now();; start = Clock::now()) {
        prepared.run();
        const auto stop = Clock::now();
        least = std::min(least, std::chrono::duration<double>(stop - start).count());
        if (stop > end) return least;
    }
}

Json limits(const Json &request) {
    const int threads = request.at("threads");
    const double bandwidth_seconds = request.at("limits").value("bandwidth", 0.0), peak_seconds = request.at("limits").at("peak");
    const std::string target = default_target();
    // One repetition takes about five microseconds.
    const int repetitions = std::max(1, static_cast<int>(peak_seconds / 5e-6));
    Json found = {{"target", target},
                  {"peak", peak(target, repetitions, threads)},
                  {"peak_beside_loads", peak_beside_loads(target, repetitions, threads)}};
    if (bandwidth_seconds > 0) {
        const auto measure = [&](const std::string &level, std::size_t bytes) {
            found["read_" + level] = together(threads, [=] { return read_bandwidth(bytes, bandwidth_seconds); });
            found["copy_" + level] = together(threads, [=] { return copy_bandwidth(bytes, bandwidth_seconds); });
        };
        measure("l2", bytes_in_l2());
        measure("memory", bytes_beyond_caches());
    }
    return found;
}

void answer(const Json &value) { std::cout << value.dump() << '\n' << std::flush; }

void serve(const Way &way) {
    answer({{"version", version()}});
    std::unique_ptr<Prepared> prepared;
    for (std::string line; std::getline(std::cin, line);) {
        const Json request = Json::parse(line);
        if (request.contains("limits")) {
            answer(limits(request));
        } else if (request.contains("prepare")) {
            prepared.reset();
            prepared = std::make_unique<Prepared>(way, request);
            answer(prepared->known() ? Json::object() : Json{{"unknown", true}});
        } else if (request.contains("repeat")) {
            for (int left = request.at("repeat"); left > 0; left--) prepared->run();
            answer(Json::object());
        } else {
            answer({{"seconds", least_seconds(*prepared, request.at("measure"))}});
        }
    }
}

int serve(const std::string &name) {
    for (const Way &way : ways()) {
        if (way.name == name) {
            serve(way);
            return 0;
        }
    }
    throw Error(fmt::format("expected one of the names that it prints without an argument, found \"{}\"", name));
}

}  // namespace
}  // namespace sepconv::bench

int main(int argc, char **argv) {
    try {
        if (argc > 1) return sepconv::bench::serve(argv[1]);
        for (const sepconv::bench::Way &way : sepconv::bench::ways()) fmt::print("{}\n", way.name);
        return 0;
    } catch (const std::exception &error) {
        fmt::print(stderr, "sepconv_bench_worker: {}\n", error.what());
        return 2;
    }
}
