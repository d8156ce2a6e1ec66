// sepconv bench: what it times and how it says so. No time is expected to be any particular one; what a counter means is.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/spawned.h"

namespace sepconv::tools {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char *briefly = "--benchmark_min_time=0.001";

class Bench : public CommandTest {
protected:
    Bench() { write("layer.json", R"({"name": "blur", "filters": 16, "kernel_size": 3, "strides": 2})"); }

    // The benchmarks of a run that is short and prints JSON.
    json benchmarks(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), "bench");
        arguments.insert(arguments.end(), {"--json", briefly});
        const Result result = run(arguments);
        EXPECT_EQ(result.code, 0) << result.err;
        EXPECT_EQ(result.err, "");
        return json::parse(result.out)["benchmarks"];
    }

    void expect_error(std::vector<std::string> arguments, const std::vector<std::string> &parts) const {
        arguments.insert(arguments.begin(), {"bench", briefly});
        const Result result = run(arguments);
        EXPECT_EQ(result.code, 2);
        EXPECT_EQ(result.out, "");
        EXPECT_THAT(result.err, HasSubstr("sepconv bench: "));
        for (const std::string &part : parts) EXPECT_THAT(result.err, HasSubstr(part));
    }
};

// Operations of one call, from the figures of a benchmark.
double operations(const json &benchmark) { return benchmark["gflops"].get<double>() * benchmark["real_time"].get<double>() * 1e3; }

testing::Matcher<double> about(double expected) { return testing::DoubleNear(expected, 1e-6 * expected); }

TEST_F(Bench, HelpHasAnExampleThatWorks) {
    const std::string example = example_in(run({"bench", "--help"}).out);
    ASSERT_THAT(example, HasSubstr("sepconv bench "));
    const Result result = script(example);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\nfer-"));
}

TEST_F(Bench, BuiltInLayersAreThoseOfTheTable) {
    std::ifstream file(SEPCONV_LAYERS);
    std::string names;
    for (const json &layer : json::parse(file)) names += layer["name"].get<std::string>() + "\n";
    EXPECT_EQ(run({"bench", "--benchmark_list_tests=true"}).out, names);
}

TEST_F(Bench, CountersOfOneLayerAgreeWithItsTime) {
    const json found = benchmarks({"--benchmark_filter=fer"});
    ASSERT_EQ(found.size(), 1);
    const json &layer = found[0];
    EXPECT_EQ(layer["name"], "fer-64x64-8-16-s1");
    EXPECT_EQ(layer["time_unit"], "us");
    EXPECT_THAT(operations(layer), about(2.0 * 60 * 60 * 8 * (9 + 16)));
    EXPECT_THAT(layer["share_of_peak"].get<double>() * layer["peak_gflops"].get<double>(), about(layer["gflops"]));
    // Input, output and weights, once each.
    const double bytes = 4 * (60 * 60 * (8 + 16) + 9 * 8 + 8 * 16 + 16);
    EXPECT_THAT(layer["bytes_per_second"].get<double>() * layer["real_time"].get<double>() * 1e-6, about(bytes));
}

TEST_F(Bench, LayerOfOnesOwnHasItsName) {
    const json found = benchmarks({"--config", "layer.json", "--input-shape", "1,41,31,8"});
    ASSERT_EQ(found.size(), 1);
    EXPECT_EQ(found[0]["name"], "blur");
    EXPECT_THAT(operations(found[0]), about(2.0 * 20 * 15 * 8 * (9 + 16)));
}

TEST_F(Bench, TableOfOnesOwnReplacesTheBuiltInOne) {
    write("layers.json", R"([{"name": "a", "h": 9, "w": 7, "c": 8, "f": 4, "k": 5, "s": 1, "d": 1, "m": 2},
                             {"name": "b", "h": 9, "w": 7, "c": 8, "f": 4, "k": 3, "s": 1, "d": 2, "m": 1}])");
    const json found = benchmarks({"--layers", "layers.json"});
    ASSERT_EQ(found.size(), 2);
    EXPECT_EQ(found[0]["name"], "a");
    EXPECT_THAT(operations(found[0]), about(2.0 * 9 * 7 * 16 * (25 + 4)));
    EXPECT_EQ(found[1]["name"], "b");
}

TEST_F(Bench, BatchIsPartOfTheCall) {
    const json found = benchmarks({"--benchmark_filter=fer", "--batch", "3", "--data-format", "channels_first", "--threads", "2"});
    ASSERT_EQ(found.size(), 1);
    EXPECT_THAT(operations(found[0]), about(3 * 2.0 * 60 * 60 * 8 * (9 + 16)));
}

TEST_F(Bench, ContextNamesTheTarget) {
    const Result result = run({"bench", "--benchmark_filter=fer", briefly, "--target", "sse41", "--json"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(json::parse(result.out)["context"]["target"], "sse41");
}

TEST_F(Bench, GpuIsHeldAgainstNoLimitOfTheCpuAndItsCopiesAreTold) {
    const Result result = run({"bench", "--benchmark_filter=fer", briefly, "--target", "opencl", "--json"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("note: opencl: a time is that of a call with tensors of the host, the copies"));
    const json found = json::parse(result.out);
    EXPECT_EQ(found["context"]["target"], "opencl");
    const json layer = found["benchmarks"][0];
    EXPECT_THAT(operations(layer), about(2.0 * 60 * 60 * 8 * (9 + 16)));
    for (const char *of_a_cpu : {"peak_gflops", "share_of_peak", "bytes_per_second"}) EXPECT_FALSE(layer.contains(of_a_cpu)) << of_a_cpu;
}

TEST_F(Bench, OutFileHoldsTheSameFigures) {
    const json found = benchmarks({"--benchmark_filter=fer", "--benchmark_out=figures.json"});
    EXPECT_EQ(json::parse(read("figures.json"))["benchmarks"], found);
}

TEST_F(Bench, AggregatesAreOfTheLeastTimes) {
    const json found = benchmarks({"--benchmark_filter=fer", "--benchmark_repetitions=3"});
    std::vector<double> times;
    for (const json &each : found) {
        if (each["run_type"] == "iteration") times.push_back(2.0 * 60 * 60 * 8 * (9 + 16) / each["gflops"].get<double>() / 1e3);
        if (each["run_type"] == "aggregate" && each["aggregate_name"] == "mean") {
            EXPECT_THAT(each["real_time"].get<double>(), about((times[0] + times[1] + times[2]) / 3));
        }
    }
    EXPECT_EQ(times.size(), 3);
}

TEST_F(Bench, FilterThatMatchesNothing) { expect_error({"--benchmark_filter=none"}, {"--benchmark_filter", "matches", "\"none\""}); }

TEST_F(Bench, FlagWithAValueOfAnotherKind) { expect_error({"--benchmark_repetitions=many"}, {"--benchmark_repetitions=many: expected"}); }

TEST_F(Bench, FlagWithoutItsValue) { expect_error({"--benchmark_filter"}, {"--benchmark_filter: expected a value"}); }

TEST_F(Bench, UnknownArgument) { expect_error({"--benchmark_format=csv"}, {"unknown argument --benchmark_format=csv", "--help"}); }

TEST_F(Bench, OutFileInAFolderThatDoesNotExist) {
    expect_error({"--benchmark_out=none/figures.json"}, {"--benchmark_out", "none/figures.json"});
}

TEST_F(Bench, ShapeWithoutALayer) { expect_error({"--input-shape", "1,9,7,8"}, {"expected --config", "found none"}); }

TEST_F(Bench, LayerWithoutAShape) { expect_error({"--config", "layer.json"}, {"--input-shape: expected four whole numbers"}); }

TEST_F(Bench, ShapeThatTheWindowDoesNotFit) {
    expect_error({"--config", "layer.json", "--input-shape", "1,2,7,8"}, {"--input-shape 1,2,7,8: ", "expected", "3", "found", "2"});
}

TEST_F(Bench, EmptyBatch) {
    expect_error({"--config", "layer.json", "--input-shape", "0,9,7,8"}, {"--input-shape 0,9,7,8: ", "one image"});
}

TEST_F(Bench, BatchBesideAnInputShape) {
    expect_error({"--config", "layer.json", "--input-shape", "1,9,7,8", "--batch", "2"}, {"--batch: expected for the table's layers only"});
}

TEST_F(Bench, BatchOfNone) { expect_error({"--batch", "0"}, {"--batch: expected a whole number from 1", "\"0\""}); }

TEST_F(Bench, UnknownDataFormat) { expect_error({"--data-format", "NCHW"}, {"--data-format: expected channels_last", "\"NCHW\""}); }

TEST_F(Bench, TableThatDoesNotExist) { expect_error({"--layers", "none.json"}, {"none.json: ", "No such file"}); }

TEST_F(Bench, TableThatIsNoArray) {
    write("layers.json", "{}");
    expect_error({"--layers", "layers.json"}, {"layers.json: expected a JSON array"});
}

TEST_F(Bench, TableWithAFieldMissing) {
    write("layers.json", R"([{"name": "a", "h": 9}])");
    expect_error({"--layers", "layers.json"}, {"layers.json: layer 1: expected", "'f'"});
}

TEST_F(Bench, TableWithAnImpossibleLayer) {
    write("layers.json", R"([{"name": "a", "h": 9, "w": 7, "c": 8, "f": 0, "k": 5, "s": 1, "d": 1, "m": 2}])");
    expect_error({"--layers", "layers.json"}, {"layers.json: a: filters: expected"});
}

}  // namespace
}  // namespace sepconv::tools
