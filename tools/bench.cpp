// sepconv bench: times layers under Google Benchmark, each beside the machine's peak measured in the same moment.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "bench/layer_table.h"
#include "bench/peak.h"
#include "layer_options.h"
#include "sepconv/sepconv.h"
#include "subcommands.h"

namespace sepconv::tools {
namespace {

using bench::ShapedLayer;

constexpr const char *example = R"(Example:
  sepconv bench --benchmark_filter=fer --benchmark_min_time=0.1

A layer of one's own:
  echo '{"filters": 16, "kernel_size": 3, "padding": "same", "activation": "relu"}' > layer.json
  sepconv bench --config layer.json --input-shape 1,60,60,8 --json

Of Google Benchmark's flags these are taken, with --benchmark_ before them: filter=REGEX, min_time=SECONDS, repetitions=N,
report_aggregates_only=true, display_aggregates_only=true, enable_random_interleaving=true, list_tests=true, out=FILE (JSON).)";

constexpr int most_batch = 1 << 16;

struct Options {
    LayerOptions layer;
    std::string input_shape, layers, data_format, dtype;
    std::string threads = "1", batch = "1";
    bool json = false;
};

std::string given(const std::vector<std::pair<const char *, bool>> &options) {
    std::string names;
    for (const auto &[name, is_given] : options) {
        if (is_given) names += fmt::format("{}{}", names.empty() ? "" : " ", name);
    }
    return names;
}

// ---- what is timed

DataFormat parse_data_format(const std::string &text) {
    if (text.empty() || text == "channels_last") return DataFormat::channels_last;
    if (text == "channels_first") return DataFormat::channels_first;
    throw UsageError(fmt::format("--data-format: expected channels_last or channels_first, found \"{}\"", text));
}

Dtype parse_dtype(const std::string &text) {
    if (text.empty() || text == "float32") return Dtype::float32;
    if (text == "float16") return Dtype::float16;
    throw UsageError(fmt::format("--dtype: expected float32 or float16, found \"{}\"", text));
}

nlohmann::json read_rows(const std::string &file) {
    std::ifstream stream(file);
    if (!stream) throw FileError(fmt::format("{}: cannot be read: {}", file, std::generic_category().message(errno)));
    nlohmann::json rows = nlohmann::json::parse(stream, nullptr, false);
    if (!rows.is_array()) throw FileError(fmt::format("{}: expected a JSON array of layers such as bench/layers.json", file));
    return rows;
}

std::vector<ShapedLayer> from_table(const Options &options) {
    const std::string source = options.layers.empty() ? "the built-in table" : options.layers;
    const nlohmann::json rows = options.layers.empty() ? bench::built_in_layers() : read_rows(options.layers);
    const std::int64_t batch = parse_number("--batch", options.batch, 1, most_batch);
    const DataFormat format = parse_data_format(options.data_format);
    std::vector<ShapedLayer> layers;
    for (nlohmann::json row : rows) {
        try {
            row["n"] = batch;
            if (format == DataFormat::channels_first) row["data_format"] = "channels_first";
            layers.push_back(bench::table_layer(row));
            layers.back().config.dtype = parse_dtype(options.dtype);
            output_shape(layers.back().config, layers.back().input);
        } catch (const nlohmann::json::exception &error) {
            throw FileError(fmt::format("{}: layer {}: expected an object with the name and the numbers h, w, c, f, k, s, d and m: {}",
                                        source, layers.size() + 1, error.what()));
        } catch (const Error &error) {
            throw FileError(fmt::format("{}: {}: {}", source, layers.back().config.name, error.what()));
        }
    }
    return layers;
}

std::vector<ShapedLayer> from_options(const Options &options) {
    const std::string stray = given({{"--layers", !options.layers.empty()},
                                     {"--data-format", !options.data_format.empty()},
                                     {"--dtype", !options.dtype.empty()},
                                     {"--batch", options.batch != "1"}});
    if (!stray.empty()) {
        throw UsageError(fmt::format(
            "{}: expected for the table's layers only; --config or --model have a data_format and a dtype, and --input-shape has "
            "the batch",
            stray));
    }
    const Shape shape = parse_input_shape(options.input_shape);
    const NamedLayer named = read_layer(options.layer, false, read_options("bench"));
    const ShapedLayer layer = {named.config, shape};
    try {
        if (bench::elements(output_shape(layer.config, shape)) == 0) throw ShapeError("expected at least one image, found none");
        // Their size is checked, and that those which are stored have the shape's channels.
        if (!named.weights) zero_weights(layer.config, bench::channels(layer));
        if (named.weights && named.weights->depthwise_kernel.shape[2] != bench::channels(layer)) {
            throw ShapeError(fmt::format("expected {} channels, found {} in {} = {}", named.weights->depthwise_kernel.shape[2],
                                         bench::channels(layer), dimensions(layer.config.data_format),
                                         words({shape.begin(), shape.end()})));
        }
    } catch (const ShapeError &error) {
        throw ShapeError(fmt::format("--input-shape {}: {}", options.input_shape, error.what()));
    }
    return {layer};
}

// ---- timing

StoredWeights random_weights(const ShapedLayer &layer) {
    StoredWeights weights = zero_weights(layer.config, bench::channels(layer));
    for (Array *array : {&weights.depthwise_kernel, &weights.pointwise_kernel, &weights.bias}) {
        const bench::Values values = bench::random_values(static_cast<std::int64_t>(array->values.size()));
        array->values.assign(values.begin(), values.end());
    }
    return weights;
}

// A counter that every layer has and the reporters take out again.
constexpr const char *least_time = "least_time";

// What the benchmark asks of a Layer.
struct Way {
    std::string target;
    Arithmetic arithmetic;
    int threads;
};

bool is_gpu(const std::string &target) {
    const std::vector<Gpu> known = gpus();
    return std::any_of(known.begin(), known.end(), [&](const Gpu &gpu) { return gpu.target == target; });
}

template <typename T>
void time_layer(benchmark::State &state, const ShapedLayer &shaped, const Way &way) {
    const int threads = way.threads;
    const StoredWeights weights = random_weights(shaped);
    const Layer layer(shaped.config, weights.view(), way.target, way.arithmetic);
    const Shape output_extents = layer.output_shape(shaped.input);
    const bench::Values values = bench::random_values(bench::elements(shaped.input));
    bench::ValuesOf<T> input(values.size()), output(static_cast<std::size_t>(bench::elements(output_extents)));
    std::transform(values.begin(), values.end(), input.begin(), [](float value) { return T(value); });
    const auto run = [&] {
        layer.run(TensorView<const T>(input.data(), shaped.input), TensorView<T>(output.data(), output_extents), {.threads = threads});
    };

    run();  // allocates the scratch, or brings the weights to the device
    // A GPU's run contains copies, so that neither a peak nor the memory's bandwidth is its limit.
    const bool on_gpu = is_gpu(layer.target());
    const int peak_threads = threads == 0 ? static_cast<int>(std::max(1U, std::thread::hardware_concurrency())) : threads;
    constexpr int peak_repetitions = 200;  // a millisecond
    const auto measured_peak = [&] { return on_gpu ? 0 : bench::peak(layer.target(), peak_repetitions, peak_threads); };
    double peak = measured_peak();
    double least = std::numeric_limits<double>::infinity();
    for ([[maybe_unused]] auto _ : state) {
        const auto start = std::chrono::steady_clock::now();
        run();
        least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    peak = std::max(peak, measured_peak());

    const double gflops = bench::operations(shaped) / least / 1e9;
    state.counters[least_time] = least;
    state.counters["gflops"] = gflops;
    if (on_gpu) return;
    const std::size_t elements = input.size() + output.size() + weights.depthwise_kernel.values.size() +
                                 weights.pointwise_kernel.values.size() + weights.bias.values.size();
    state.counters["peak_gflops"] = peak;
    state.counters["share_of_peak"] = gflops / peak;
    state.counters["bytes_per_second"] = static_cast<double>(elements * sizeof(T)) / least;
}

class LayerBenchmark : public benchmark::Fixture {
public:
    LayerBenchmark(ShapedLayer layer, Way way) : layer_(std::move(layer)), way_(std::move(way)) {
        SetName(layer_.config.name.c_str());
        Unit(benchmark::kMicrosecond);
    }

protected:
    void BenchmarkCase(benchmark::State &state) override {
        layer_.config.dtype == Dtype::float16 ? time_layer<float16>(state, layer_, way_) : time_layer<float>(state, layer_, way_);
    }

private:
    ShapedLayer layer_;
    Way way_;
};

// A reporter that shows the least time of a call as the real time, where Google Benchmark has the mean: a shared machine's interruptions
// only ever add.
template <typename Reporter>
class Least : public Reporter {
    using Run = benchmark::BenchmarkReporter::Run;

public:
    using Reporter::Reporter;

    void ReportRuns(const std::vector<Run> &runs) override {
        std::vector<Run> shown = runs;
        for (Run &run : shown) {
            const auto least = run.counters.find(least_time);
            if (least == run.counters.end()) continue;
            const bool is_time = run.aggregate_unit == benchmark::StatisticUnit::kTime;
            run.real_accumulated_time = least->second * (is_time ? static_cast<double>(run.iterations) : 1);
            run.counters.erase(least);
        }
        Reporter::ReportRuns(shown);
    }
};

// The table alone: what Google Benchmark prints of the machine above it is in `sepconv info` and in the JSON.
class Table : public Least<benchmark::ConsoleReporter> {
public:
    Table() : Least(OO_Tabular) {}
    bool ReportContext(const Context &context) override {
        name_field_width_ = context.name_field_width;
        return true;
    }
};

// ---- Google Benchmark's flags

constexpr std::array flags = {
    "filter",     "min_time", "repetitions", "report_aggregates_only", "display_aggregates_only", "enable_random_interleaving",
    "list_tests", "out"};

// Gives the flags to Google Benchmark. Returns the value of --benchmark_out.
std::string pass_on(const std::vector<std::string> &words) {
    std::string out;
    std::vector<char *> arguments = {const_cast<char *>("sepconv bench")};
    const std::string prefix = "--benchmark_";
    for (const std::string &word : words) {
        const std::string flag = word.substr(0, word.find('='));
        const bool known = word.starts_with(prefix) && std::find(flags.begin(), flags.end(), flag.substr(prefix.size())) != flags.end();
        if (!known) throw UsageError(fmt::format("unknown argument {} (see sepconv bench --help)", word));
        if (flag == word) throw UsageError(fmt::format("{0}: expected a value after an equals sign, as {0}=VALUE", flag));
        if (flag == prefix + "out") out = word.substr(flag.size() + 1);
        arguments.push_back(const_cast<char *>(word.c_str()));
    }
    std::error_code error;
    const std::filesystem::path parent = std::filesystem::path(out).parent_path();
    if (!parent.empty() && !std::filesystem::is_directory(parent, error)) {
        throw UsageError(fmt::format("--benchmark_out: expected a file in a folder that exists, found {}", out));
    }
    int count = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    benchmark::Initialize(&count, arguments.data());  // takes out what it understands
    if (count > 1) throw UsageError(fmt::format("{}: expected another kind of value (see sepconv bench --help)", arguments[1]));
    return out;
}

void bench(const Options &options, const std::vector<std::string> &extras) {
    const std::string out = pass_on(extras);
    const int threads = parse_threads(options.threads);
    const Arithmetic arithmetic = parse_arithmetic(options.layer.arithmetic);
    const std::string target = checked_target(options.layer.target, arithmetic);
    const bool own = !options.layer.config.empty() || !options.layer.model.empty() || !options.layer.model_weights.empty() ||
                     !options.layer.layer.empty() || !options.input_shape.empty();
    const std::string taken = target.empty() ? default_target(arithmetic) : target;
    if (is_gpu(taken)) {
        std::fprintf(
            stderr,
            "sepconv bench: note: %s: a time is that of a call with tensors of the host, the copies to the device and back included; "
            "bench/gpu of the source tree measures what the device takes\n",
            taken.c_str());
    }
    for (const ShapedLayer &layer : own ? from_options(options) : from_table(options)) {
        // Belongs to Google Benchmark from here on. NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
        benchmark::internal::RegisterBenchmarkInternal(new LayerBenchmark(layer, {target, arithmetic, threads}));
    }
    benchmark::AddCustomContext("sepconv_version", version());
    benchmark::AddCustomContext("target", taken);
    benchmark::AddCustomContext("threads", options.threads);
    const std::unique_ptr<benchmark::BenchmarkReporter> display =
        options.json ? std::unique_ptr<benchmark::BenchmarkReporter>(std::make_unique<Least<benchmark::JSONReporter>>())
                     : std::make_unique<Table>();
    Least<benchmark::JSONReporter> file;
    if (benchmark::RunSpecifiedBenchmarks(display.get(), out.empty() ? nullptr : &file) == 0) {
        throw UsageError(fmt::format("--benchmark_filter: expected a regular expression that matches a layer's name, found \"{}\"",
                                     benchmark::GetBenchmarkFilter()));
    }
    std::cout.flush();
}

}  // namespace

void add_bench(CLI::App &program) {
    CLI::App *subcommand = program.add_subcommand("bench", "Time layers, beside the machine's own limit");
    const auto options = std::make_shared<Options>();
    add_layer_options(*subcommand, options->layer, false);
    add_input_shape(*subcommand, options->input_shape, "With --config or --model: the input's shape");
    subcommand->add_option("--layers", options->layers, "A table of layers with the fields of bench/layers.json, in place of that one")
        ->type_name("FILE");
    subcommand->add_option("--data-format", options->data_format, "For the table's layers")->type_name("channels_last|channels_first");
    subcommand->add_option("--dtype", options->dtype, "For the table's layers")->type_name("float32|float16");
    subcommand->add_option("--batch", options->batch, "For the table's layers: images in one call")->type_name("N")->capture_default_str();
    subcommand->add_option("--threads", options->threads, "Threads to use; 0: all that the machine has")
        ->type_name("N")
        ->capture_default_str();
    subcommand->add_flag("--json", options->json, "Print JSON, in Google Benchmark's form");
    subcommand->allow_extras();
    subcommand->footer(example);
    subcommand->callback([options, subcommand] { bench(*options, subcommand->remaining()); });
}

}  // namespace sepconv::tools
