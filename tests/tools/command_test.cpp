// The command's good ways: what it prints and writes, what it leaves alone when it fails, and the examples in its help.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "sepconv/sepconv.h"
#include "tools/spawned.h"

namespace sepconv::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::StartsWith;

class Command : public CommandTest {
protected:
    // A layer of 8 channels and 16 filters, its weights and an image.
    void write_layer(const std::string &more = {}) const {
        write("layer.json", R"({"filters": 16, "kernel_size": 3)" + more + "}");
        write_weights("w.npz", {{"depthwise_kernel", {3, 3, 8, 1}}, {"pointwise_kernel", {1, 1, 8, 16}}, {"bias", {16}}});
        write_array("x.npy", {2, 9, 7, 8});
    }

    static std::vector<std::string> run_layer(const std::vector<std::string> &more = {}) {
        std::vector<std::string> words = {"run", "--config", "layer.json", "--weights", "w.npz", "--input", "x.npy", "--output", "y.npy"};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
};

TEST_F(Command, VersionIsOneLine) {
    const Result result = run({"--version"});
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out, "sepconv " + version() + "\n");
}

TEST_F(Command, HelpNamesEverySubcommand) {
    const Result result = run({"--help"});
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.err, "");
    for (const char *name : {"run", "info", "explain", "generate"}) EXPECT_THAT(result.out, HasSubstr(fmt::format("\n  {} ", name)));
}

TEST_F(Command, RunHelpHasAnExampleThatWorks) {
    const std::string example = example_in(run({"run", "--help"}).out);
    ASSERT_THAT(example, HasSubstr("sepconv run "));
    const Result result = script(example);
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(read_npy(path("y.npy")).shape, ElementsAre(1, 60, 60, 16));
}

TEST_F(Command, InfoHelpHasAnExampleThatWorks) {
    const std::string example = example_in(run({"info", "--help"}).out);
    ASSERT_THAT(example, HasSubstr("sepconv info"));
    EXPECT_EQ(script(example).code, 0);
}

TEST_F(Command, ExplainHelpHasAnExampleThatWorks) {
    const std::string example = example_in(run({"explain", "--help"}).out);
    ASSERT_THAT(example, HasSubstr("sepconv explain "));
    EXPECT_EQ(script(example).code, 0);
}

TEST_F(Command, GenerateHelpHasAnExampleThatWorks) {
    const std::string example = example_in(run({"generate", "--help"}).out);
    ASSERT_THAT(example, HasSubstr("sepconv generate "));
    const Result result = script(example);
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(files(), ElementsAre("layer.a", "layer.h"));
}

TEST_F(Command, GenerateLeavesEveryArgumentToTheGenerators) {
    // A name of another subcommand, an empty argument and one of the command's own options among them.
    const Result result = run({"generate", "run", "", "-g", "none", "--version"});
    EXPECT_NE(result.code, 0);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("-g GENERATOR_NAME"));
}

TEST_F(Command, GenerateFindsItsProgramThroughALinkToTheCommand) {
    const Result result = script("ln -s $(command -v sepconv) elsewhere; ./elsewhere generate -r runtime -e object -o . target=host");
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(files(), ElementsAre("elsewhere", "runtime.o"));
}

TEST_F(Command, RunWritesWhatTheLibraryComputes) {
    write_layer(R"(, "padding": "same", "activation": "relu")");
    const Result result = run(run_layer());
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "");

    const StoredWeights weights = read_weights_npz(path("w.npz"));
    const Layer layer(read_config(path("layer.json")), weights.view());
    const Array input = read_npy(path("x.npy"));
    std::vector<float> expected(2 * 9 * 7 * 16);
    layer.run({input.values.data(), {2, 9, 7, 8}}, {expected.data(), {2, 9, 7, 16}});
    const Array found = read_npy(path("y.npy"));
    EXPECT_THAT(found.shape, ElementsAre(2, 9, 7, 16));
    EXPECT_EQ(found.values, expected);
}

TEST_F(Command, RunTakesImagesInTheOrderOfTheDataFormat) {
    write_layer(R"(, "data_format": "channels_first")");
    write_array("x.npy", {2, 8, 9, 7});
    ASSERT_EQ(run(run_layer()).code, 0);
    EXPECT_THAT(read_npy(path("y.npy")).shape, ElementsAre(2, 16, 7, 5));
}

TEST_F(Command, RunGivesTheSameBytesForEveryThreadCount) {
    write_layer();
    ASSERT_EQ(run(run_layer()).code, 0);
    const std::string all = read("y.npy");
    for (const char *threads : {"1", "2", "5"}) {
        ASSERT_EQ(run(run_layer({"--threads", threads})).code, 0);
        EXPECT_EQ(read("y.npy"), all) << threads;
    }
}

TEST_F(Command, RunTakesEveryTargetThatRunsHere) {
    write_layer();
    ASSERT_EQ(run(run_layer({"--target", "host"})).code, 0);
    const Array expected = read_npy(path("y.npy"));
    std::vector<std::string> names;
    for (const Target &target : targets()) {
        if (target.runs_here && target.arithmetic == Arithmetic::float32) names.push_back(target.name);
    }
    for (const Gpu &gpu : gpus()) {
        if (gpu.why_not.empty()) names.push_back(gpu.target);
    }
    for (const std::string &name : names) {
        SCOPED_TRACE(name);
        ASSERT_EQ(run(run_layer({"--target", name})).code, 0);
        EXPECT_THAT(read_npy(path("y.npy")).values, testing::Pointwise(testing::FloatNear(1e-4F), expected.values));
    }
}

TEST_F(Command, RunMayReplaceItsOwnInput) {
    write_layer();
    ASSERT_EQ(run(run_layer()).code, 0);
    std::vector<std::string> arguments = run_layer();
    arguments.back() = "x.npy";
    ASSERT_EQ(run(arguments).code, 0);
    EXPECT_EQ(read("x.npy"), read("y.npy"));
}

TEST_F(Command, RunOnAnEmptyBatchWritesAnEmptyArray) {
    write_layer();
    write_array("x.npy", {0, 9, 7, 8});
    ASSERT_EQ(run(run_layer()).code, 0);
    EXPECT_THAT(read_npy(path("y.npy")).shape, ElementsAre(0, 7, 5, 16));
}

TEST_F(Command, RunRemarksOnAConvertedInputOnStandardError) {
    write_layer();
    ASSERT_EQ(script("python3 -c 'import numpy as np; np.save(\"x.npy\", np.ones((1, 9, 7, 8)))'").code, 0);
    const Result result = run(run_layer());
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "sepconv run: note: x.npy: converted from float64 to float32\n");
}

TEST_F(Command, RunOfALayerInHalfPrecisionReadsAndWritesFloat16) {
    write_layer(R"(, "dtype": "mixed_float16", "activation": "gelu")");
    Float16Array input{{2, 9, 7, 8}, {}};
    for (const float value : few_values(input.shape).values) input.values.emplace_back(value);
    write_npy(path("x.npy"), input);
    const Result result = run(run_layer());
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");

    const StoredWeights weights = read_weights_npz(path("w.npz"));
    const Layer layer(read_config(path("layer.json")), weights.view());
    std::vector<float16> expected(2 * 7 * 5 * 16);
    layer.run({input.values.data(), {2, 9, 7, 8}}, {expected.data(), {2, 7, 5, 16}});
    EXPECT_THAT(read("y.npy"), HasSubstr("'descr': '<f2'"));
    const Float16Array found = read_npy_float16(path("y.npy"));
    EXPECT_THAT(found.shape, ElementsAre(2, 7, 5, 16));
    EXPECT_EQ(found.values, expected);
}

TEST_F(Command, RunOfALayerInHalfPrecisionRemarksOnAFloat32Input) {
    write_layer(R"(, "dtype": "float16")");
    const Result result = run(run_layer());
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.err, "sepconv run: note: x.npy: converted from float32 to float16\n");
}

TEST_F(Command, ForcedTargetIsTheDefaultOne) {
    const Result result = run({"info", "--json"}, [] { setenv("SEPCONV_TARGET", "sse41", 1); });
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(nlohmann::json::parse(result.out)["default_target"], "sse41");
}

TEST_F(Command, InfoListsEveryTargetAndPipeline) {
    const Result result = run({"info", "--json"});
    ASSERT_EQ(result.code, 0) << result.err;
    const auto all = nlohmann::json::parse(result.out);
    EXPECT_EQ(all["version"], version());
    EXPECT_EQ(all["default_target"], default_target());
    EXPECT_EQ(all["targets"].size(), targets().size());
    ASSERT_EQ(all["gpus"].size(), gpus().size());
    for (std::size_t i = 0; i < gpus().size(); ++i) {
        EXPECT_EQ(all["gpus"][i]["target"], gpus()[i].target);
        EXPECT_EQ(all["gpus"][i]["runs_here"], gpus()[i].why_not.empty());
        EXPECT_EQ(all["gpus"][i]["device"].is_null(), !gpus()[i].why_not.empty());
        EXPECT_EQ(all["gpus"][i]["why_not"].is_null(), gpus()[i].why_not.empty());
    }
    ASSERT_EQ(all["pipelines"].size(), pipelines().size());
    for (std::size_t i = 0; i < pipelines().size(); ++i) EXPECT_EQ(all["pipelines"][i]["name"], pipelines()[i].name);
}

TEST_F(Command, InfoInWordsShowsEveryRowOfTheTable) {
    const Result result = run({"info"});
    ASSERT_EQ(result.code, 0) << result.err;
    for (const Pipeline &row : pipelines()) EXPECT_THAT(result.out, HasSubstr(fmt::format("{:<10} {} ", row.stage, row.name)));
}

TEST_F(Command, InfoInWordsShowsEveryGpuAndWhyItDoesNotRun) {
    const Result result = run({"info"});
    ASSERT_EQ(result.code, 0) << result.err;
    for (const Gpu &gpu : gpus()) {
        const std::string state = gpu.why_not.empty() ? "runs on " + gpu.device : "does not run here: " + gpu.why_not;
        EXPECT_THAT(result.out, HasSubstr(fmt::format("\n{:<10} {:<9} {}\n", "", gpu.target, state)));
    }
}

TEST_F(Command, InfoInWordsShowsTheShapeThatReachesALayerOrWhyItIsNotKnown) {
    const std::string layer = R"({"class_name": "SeparableConv2D", "config": {"filters": 4, "kernel_size": 1, "name": )";
    write("m.json", R"({"class_name": "Sequential", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [null, 8, 9, 3]}},
        )" + layer + R"("a"}}, {"class_name": "Lambda", "config": {"name": "crop"}}, )" +
                        layer + R"("b"}}]}})");
    const Result result = run({"info", "--model", "m.json"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\n  input shape       (?, 8, 9, 3)\n"));
    EXPECT_THAT(result.out, HasSubstr("\n  input shape       not known: Lambda 'crop' is no stock layer whose output shape is known\n"));
}

TEST_F(Command, ExplainInWordsNamesTheFunctions) {
    write_layer();
    const Result result = run({"explain", "--config", "layer.json", "--input-shape", "1,60,60,8"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    for (const char *stage : {"\ndepthwise ", "\npointwise ", "\ntile "}) EXPECT_THAT(result.out, HasSubstr(stage));
}

TEST_F(Command, ExplainTakesTheShapeInTheOrderOfTheDataFormat) {
    write_layer(R"(, "data_format": "channels_first")");
    const Result result = run({"explain", "--config", "layer.json", "--input-shape", "1,8,60,50", "--json"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(nlohmann::json::parse(result.out)["output_shape"], ElementsAre(1, 16, 58, 48));
}

// The rows of one stage that explain names for a config.
std::vector<std::string> rows_of(const std::string &json, const std::string &stage) {
    const nlohmann::json all = nlohmann::json::parse(json);
    std::vector<std::string> rows;
    for (const auto &function : all["functions"]) {
        if (function["stage"] == stage) rows.push_back(function["row"]);
    }
    return rows;
}

TEST_F(Command, ExplainKnowsTheFunctionsOfGpusThatAreNotHere) {
    const std::string half = R"(, "padding": "same", "dtype": "float16")";
    for (const Gpu &gpu : gpus()) {
        for (const std::string &target : {gpu.target, "x86-64-linux-" + gpu.target}) {
            write_layer(half);
            if (gpu.target == "vulkan") {
                EXPECT_THAT(run({"explain", "--config", "layer.json", "--input-shape", "1,60,60,8", "--target", target}).err,
                            HasSubstr("dtype: expected float32 on vulkan, found float16"));
                write_layer(R"(, "padding": "same")");
            }
            const Result result = run({"explain", "--config", "layer.json", "--input-shape", "1,60,60,8", "--target", target, "--json"});
            ASSERT_EQ(result.code, 0) << result.err;
            EXPECT_EQ(nlohmann::json::parse(result.out)["target"], gpu.target);
            EXPECT_EQ(rows_of(result.out, "gpu_layer").size(), 1u);
        }
        write_layer(half);
        const Result halves =
            run({"explain", "--config", "layer.json", "--input-shape", "1,60,60,8", "--target", gpu.target, "--arithmetic", "float16"});
        EXPECT_EQ(halves.code, 2);
        EXPECT_THAT(halves.err, HasSubstr(fmt::format("--arithmetic: expected float32 on {}, found float16", gpu.target)));
    }
}

TEST_F(Command, ExplainKnowsTheFunctionsOfOtherMachines) {
    write("layer.json", R"({"filters": 64, "kernel_size": 3, "padding": "same", "dtype": "float16"})");
    const auto explain = [&](std::vector<std::string> more) {
        std::vector<std::string> words = {"explain", "--config", "layer.json", "--input-shape", "1,40,40,64"};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    for (const char *target : {"neon", "arm-64-linux", "arm-64-android-arm_dot_prod", "arm-64-ios-arm_fp16"}) {
        const Result result = explain({"--target", target});
        EXPECT_EQ(result.code, 0) << result.err;
        // How many pixels the product takes depends on the tile, and so on this machine's cache.
        EXPECT_THAT(result.out,
                    AllOf(HasSubstr("float16 computed in float32 on neon "), HasSubstr("pointwise_2x"), HasSubstr("padded_f16")));
    }
    const Result halves = explain({"--target", "arm-64-linux-arm_fp16", "--arithmetic", "float16"});
    EXPECT_EQ(halves.code, 0) << halves.err;
    EXPECT_THAT(halves.out, HasSubstr("float16 computed in float16 on neon_fp16 "));
    EXPECT_THAT(explain({"--target", "x86-64-windows-avx2-fma"}).out, HasSubstr(" on avx2 "));
    EXPECT_THAT(explain({"--target", "x86-64-osx-sse41"}).out, HasSubstr(" on sse41 "));
    // No half-precision arithmetic there; nothing for such a machine; vectors that are not safe.
    for (const char *target : {"arm-64-linux", "riscv-64-linux", "arm-64-linux-sve2"}) {
        const Result result = explain({"--target", target, "--arithmetic", "float16"});
        EXPECT_EQ(result.code, 2);
        EXPECT_THAT(result.err, AllOf(HasSubstr("--target: expected "), HasSubstr(target)));
    }
}

TEST_F(Command, ExplainNamesDifferentRowsForDifferentLayers) {
    const std::pair<const char *, const char *> cases[] = {
        {R"("kernel_size": 3)", "1,40,40,64"},
        {R"("kernel_size": 5)", "1,40,40,64"},
        {R"("kernel_size": 3, "strides": 2)", "1,40,40,64"},
        {R"("kernel_size": 3, "data_format": "channels_first")", "1,64,40,40"},
    };
    std::vector<std::vector<std::string>> all;
    for (const auto &[arguments, shape] : cases) {
        SCOPED_TRACE(arguments);
        write("layer.json", fmt::format(R"({{"filters": 32, {}}})", arguments));
        const Result result = run({"explain", "--config", "layer.json", "--input-shape", shape, "--json"});
        ASSERT_EQ(result.code, 0) << result.err;
        const std::vector<std::string> rows = rows_of(result.out, "depthwise");
        EXPECT_THAT(rows, testing::Not(IsEmpty()));
        EXPECT_THAT(all, testing::Not(testing::Contains(rows)));
        all.push_back(rows);
    }
}

TEST_F(Command, ExplainForATargetThatWasAskedFor) {
    write_layer();
    const Result result = run({"explain", "--config", "layer.json", "--input-shape", "1,60,60,8", "--target", "sse41", "--json"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(nlohmann::json::parse(result.out)["target"], "sse41");
}

TEST_F(Command, FullDiskUnderStandardOutputIsAFailure) {
    const Result result = run({"info"}, [] { dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO); });
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, MatchesRegex("sepconv info: standard output: cannot be written: .*\n"));
}

TEST_F(Command, FullDiskLeavesNoTraceAndTheOldOutput) {
    write_layer();
    write("y.npy", "as it was");
    const std::vector<std::string> before = files();
    const Result result = run(run_layer(), [] {
        const rlimit small = {1024, 1024};
        setrlimit(RLIMIT_FSIZE, &small);
    });
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, StartsWith("sepconv run: y.npy: cannot be written: "));
    EXPECT_EQ(read("y.npy"), "as it was");
    EXPECT_EQ(files(), before);
}

TEST_F(Command, TooLittleMemoryIsAFailureWithAMessage) {
    write("layer.json", R"({"filters": 4096, "kernel_size": 1, "use_bias": false})");
    write_weights("w.npz", {{"depthwise_kernel", {1, 1, 1, 1}}, {"pointwise_kernel", {1, 1, 1, 4096}}});
    write_array("x.npy", {1, 512, 512, 1});
    const Result result = run(run_layer({"--threads", "1"}), [] {
        const rlimit small = {1 << 30, 1 << 30};
        setrlimit(RLIMIT_AS, &small);
    });
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, MatchesRegex("sepconv run: y.npy: there is not enough memory for the output's 4294967296 bytes\n"));
}

TEST_F(Command, KilledInTheMiddleLeavesTheOldOutputOrAWholeNewOne) {
    write("layer.json", R"({"filters": 64, "kernel_size": 1, "use_bias": false})");
    write_weights("w.npz", {{"depthwise_kernel", {1, 1, 1, 1}}, {"pointwise_kernel", {1, 1, 1, 64}}});
    write_array("x.npy", {1, 512, 512, 1});
    write("y.npy", "as it was");
    const std::size_t files_before = files().size();
    const int process = start(run_layer());
    // Killed as soon as anything of the output is there.
    int status = 0;
    const auto untouched = [&] { return files().size() == files_before && std::filesystem::file_size(path("y.npy")) == 9; };
    while (untouched() && waitpid(process, &status, WNOHANG) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    kill(process, SIGKILL);
    waitpid(process, &status, 0);
    if (read("y.npy") != "as it was") {
        EXPECT_THAT(read_npy(path("y.npy")).shape, ElementsAre(1, 512, 512, 64));
    }
}

}  // namespace
}  // namespace sepconv::tools
