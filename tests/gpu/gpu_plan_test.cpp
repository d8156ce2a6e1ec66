// What is chosen for a layer on a GPU: a row for every layer that is legal, tiles that fit every device, and what they read. No test needs
// a GPU.
#include "gpu/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "activation.h"
#include "gpu/layer.h"
#include "runtime/random_layer.h"
#include "sepconv/layer.h"

namespace sepconv::gpu {
namespace {

using namespace testing_layers;
using testing::HasSubstr;
using testing::Not;

// Of compute capability 8.6 and 8.9, which have the least: a multiprocessor's, and what is the driver's of it. And the least that a device
// of OpenCL has that is no embedded one.
std::int64_t shared_bytes_of_every_device(Api api) { return api == Api::cuda ? 99 * 1024 : 32 * 1024; }

std::vector<Api> apis() {
    std::vector<Api> found;
    for (const Api api : all_apis) {
        if (is_built(api)) found.push_back(api);
    }
    return found;
}

struct BenchLayer {
    std::string name;
    LayerConfig config;
    Shape input = {};
    std::int64_t channels = 0;
};

// The bench's layers, for both batches and formats and the types that the API takes.
std::vector<BenchLayer> bench_layers(Api api) {
    std::ifstream file(std::string(SEPCONV_BENCH) + "/layers.json");
    std::vector<BenchLayer> layers;
    for (const nlohmann::json &entry : nlohmann::json::parse(file)) {
        const auto number = [&](const char *key) { return entry.at(key).get<std::int64_t>(); };
        for (const std::int64_t batch : {1, 32}) {
            for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
                for (const Dtype dtype : {Dtype::float32, Dtype::float16}) {
                    if (!takes(api, dtype)) continue;
                    const bool first = format == DataFormat::channels_first;
                    BenchLayer layer;
                    layer.name = fmt::format("{} of {}, {}, {}", entry.at("name").get<std::string>(), batch,
                                             first ? "channels_first" : "channels_last", sepconv::name(dtype));
                    layer.channels = number("c");
                    layer.input =
                        first ? Shape{batch, number("c"), number("h"), number("w")} : Shape{batch, number("h"), number("w"), number("c")};
                    layer.config.filters = number("f");
                    layer.config.kernel_size = {number("k"), number("k")};
                    layer.config.strides = {number("s"), number("s")};
                    layer.config.dilation_rate = {number("d"), number("d")};
                    layer.config.depth_multiplier = number("m");
                    layer.config.padding = Padding::same;
                    layer.config.data_format = format;
                    layer.config.dtype = dtype;
                    layer.config.activation = default_activation(ActivationKind::relu6);
                    layers.push_back(layer);
                }
            }
        }
    }
    return layers;
}

Plan plan_of(const BenchLayer &layer, Api api, const Only &only = {}) {
    return make_plan(layer.config, layer.channels, api, machine_of(nullptr), layer.input, {}, only);
}

class PlanFor : public testing::TestWithParam<Api> {};
INSTANTIATE_TEST_SUITE_P(Api, PlanFor, testing::ValuesIn(apis()), [](const auto &info) { return name(info.param); });

// ---- the bench's layers

TEST_P(PlanFor, TheBenchsLayersFitTheSharedMemoryOfEveryDevice) {
    const std::vector<BenchLayer> layers = bench_layers(GetParam());
    ASSERT_FALSE(layers.empty());
    for (const BenchLayer &layer : layers) {
        SCOPED_TRACE(layer.name);
        const Plan plan = plan_of(layer, GetParam());
        ASSERT_NE(plan.layer, nullptr);
        EXPECT_LE(plan.shared_bytes, shared_bytes_of_every_device(GetParam()));
        EXPECT_GE(plan.blocks_at_once, 1);
    }
}

TEST_P(PlanFor, BlocksOfTheWholeDepthComputeEachDepthwiseResultOnce) {
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        const Plan plan = plan_of(layer, GetParam());
        EXPECT_TRUE(!plan.layer->params.whole || plan.recomputed == 1) << layer.name;
    }
}

// ---- any layer

void expect_row(const Row *row, Stage stage, Api api) {
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->stage, stage);
    EXPECT_EQ(row->api, api);
    const bool there = (stage == Stage::gpu_layer && row->layer != nullptr) || (stage == Stage::gpu_finish && row->finish != nullptr) ||
                       (stage == Stage::gpu_axes && row->axes != nullptr);
    EXPECT_TRUE(there) << row->name << " has no function";
}

bool keeps(int promised, const Axis &x, const Axis &y, std::int64_t Axis::*what) {
    return promised == 0 || (promised == x.*what && promised == y.*what);
}

template <typename Check>
void for_each_layer(Api api, int usual_count, const Check &check) {
    const std::uint64_t seed = base_seed();
    for (int i = 0; i < case_count(usual_count) && !testing::Test::HasFailure(); i++) {
        RandomLayer one = random_layer(seed + i, {.work = 20'000'000});
        if (i % 2 == 1 && takes(api, Dtype::float16)) one = in_float16(std::move(one));
        SCOPED_TRACE(describe(one, seed + i));
        for (const bool vectors_in : {true, false}) {
            for (const bool vectors_out : {true, false}) check(one, Access{vectors_in, vectors_out});
        }
    }
}

TEST_P(PlanFor, EveryLegalLayerFindsRowsWhosePromisesItKeeps) {
    for_each_layer(GetParam(), 1000, [&](const RandomLayer &one, const Access &access) {
        const Plan plan = make_plan(one.config, one.channels(), GetParam(), machine_of(nullptr), one.input, access);
        ASSERT_NO_FATAL_FAILURE(expect_row(plan.layer, Stage::gpu_layer, GetParam()));
        const RowParams &p = plan.layer->params;
        SCOPED_TRACE(plan.layer->name);
        EXPECT_EQ(p.channels_first, one.config.data_format == DataFormat::channels_first);
        EXPECT_TRUE(keeps(p.kernel, plan.x, plan.y, &Axis::kernel));
        EXPECT_TRUE(keeps(p.stride, plan.x, plan.y, &Axis::stride));
        EXPECT_TRUE(keeps(p.dilation, plan.x, plan.y, &Axis::dilation));
        EXPECT_EQ(plan.layer->image_type, one.config.dtype);
        EXPECT_EQ(plan.layer->type, plan.is_partial() ? Dtype::float32 : one.config.dtype);
        if (p.vectors) {
            EXPECT_TRUE(access.vectors_in && (access.vectors_out || plan.is_partial()));
            EXPECT_EQ(one.channels() % 4, 0);
            EXPECT_EQ(one.config.filters % 4, 0);
            EXPECT_EQ(one.config.depth_multiplier, 1);
        }
        EXPECT_LE(plan.shared_bytes, shared_bytes_of_every_device(GetParam()));
    });
}

TEST_P(PlanFor, PartialSumsAreFinishedByTheActivation) {
    for_each_layer(GetParam(), 500, [&](const RandomLayer &one, const Access &access) {
        const Plan plan = make_plan(one.config, one.channels(), GetParam(), machine_of(nullptr), one.input, access);
        const Activation &activation = one.config.activation;
        EXPECT_EQ(plan.is_partial(), plan.slices > 1 || !as_clamp(activation));
        EXPECT_EQ(plan.axes != nullptr, !is_elementwise(activation.kind));
        if (plan.is_partial()) {
            ASSERT_NO_FATAL_FAILURE(expect_row(plan.finish, Stage::gpu_finish, GetParam()));
            EXPECT_STREQ(plan.finish->params.activation, plan.axes != nullptr ? "linear" : row_name(activation.kind));
            EXPECT_EQ(plan.finish->type, plan.axes != nullptr ? Dtype::float32 : one.config.dtype);
        }
        if (plan.axes != nullptr) {
            ASSERT_NO_FATAL_FAILURE(expect_row(plan.axes, Stage::gpu_axes, GetParam()));
            EXPECT_EQ(plan.axes->params.activation, sepconv::name(activation.kind));
            EXPECT_EQ(plan.axes->type, one.config.dtype);
        }
    });
}

TEST_P(PlanFor, SlicesCoverTheDepthAndStayWithinThePaddedWeights) {
    for_each_layer(GetParam(), 300, [&](const RandomLayer &one, const Access &access) {
        for (const int slices : {0, 1, 2, 4, 8, 16}) {
            Plan plan;
            try {
                plan = make_plan(one.config, one.channels(), GetParam(), machine_of(nullptr), one.input, access, {"", slices});
            } catch (const TargetError &) {
                EXPECT_GT(slices, 1) << "a layer whose reduction is not cut finds no row";
                continue;
            }
            EXPECT_TRUE(slices == 0 || plan.slices == slices);
            const std::int64_t summed = std::int64_t{plan.slices} * plan.chunks * plan.layer->params.chunk;
            EXPECT_GE(summed, plan.depth());
            EXPECT_LE(summed, padded_depth(plan.depth()));
        }
    });
}

TEST_P(PlanFor, TilesFitThePaddedFilters) {
    for (const Row &row : rows()) {
        if (row.api != GetParam() || row.stage != Stage::gpu_layer) continue;
        for (const std::int64_t filters : {1, 63, 64, 65, 1030}) {
            const std::int64_t tiles = (filters + row.params.filters - 1) / row.params.filters;
            EXPECT_LE(tiles * row.params.filters, padded_filters(filters)) << row.name;
        }
    }
}

TEST_P(PlanFor, HeldToARowTakesItOrNone) {
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        for (const Row &row : rows()) {
            if (row.api != GetParam() || row.stage != Stage::gpu_layer) continue;
            try {
                EXPECT_STREQ(plan_of(layer, GetParam(), {row.name, 0}).layer->name, row.name);
            } catch (const TargetError &) {
                // the row does not cover the layer
            }
        }
    }
}

// With all channels of a tile at once only the border between tiles is read more than once, as long as the cache keeps the weights.
bool moves_too_much(const Plan &plan) { return static_cast<double>(plan.bytes_uncached) > 1.5 * static_cast<double>(plan.bytes_least); }

TEST_P(PlanFor, TheWholeFormMovesAtMostHalfAgainOfWhatItMust) {
    int found = 0;
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        const Plan plan = plan_of(layer, GetParam());
        if (!plan.layer->params.whole) continue;
        found++;
        EXPECT_FALSE(moves_too_much(plan)) << layer.name << ": " << plan.bytes_uncached << " for " << plan.bytes_least;
        EXPECT_LE(plan.bytes_least, plan.bytes_uncached) << layer.name;
        EXPECT_LE(plan.bytes_uncached, plan.bytes_moved + plan.bytes_least) << layer.name;
    }
    EXPECT_GT(found, 0);
}

TEST_P(PlanFor, ChoosesTheCheapestOfWhatItMayTake) {
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        const Plan chosen = plan_of(layer, GetParam());
        for (const Row &row : rows()) {
            if (row.api != GetParam() || row.stage != Stage::gpu_layer) continue;
            for (const int slices : {1, 2, 4, 8, 16}) {
                try {
                    const Plan other = plan_of(layer, GetParam(), {row.name, slices});
                    if (row.params.whole && moves_too_much(other)) continue;
                    EXPECT_GE(other.cycles, chosen.cycles) << layer.name << ", " << row.name;
                } catch (const TargetError &) {
                    // the row does not cover the layer
                }
            }
        }
    }
}

// A tile and a chunk are read whole, so that nothing may lie beyond them.
TEST(Padding, HoldsWholeTilesAndChunksOfEveryRow) {
    for (const Row &row : rows()) {
        if (row.stage != Stage::gpu_layer) continue;
        for (const std::int64_t size : {1, 33, 128, 700}) {
            EXPECT_GE(padded_filters(size), size);
            EXPECT_EQ(padded_filters(size) % row.params.filters, 0) << row.name;
            EXPECT_GE(padded_depth(size), size + row.params.chunk) << row.name;
            EXPECT_EQ(padded_depth(size) % row.params.chunk, 0) << row.name;
        }
    }
}

// ---- sizes that 32 bits do not count

TEST_P(PlanFor, WeightsBeyond2To31ElementsAreRefused) {
    LayerConfig config;
    config.kernel_size = {3, 3};
    config.filters = std::int64_t{1} << 20;
    const std::int64_t channels = 1 << 12;
    // None of them is read before they are refused.
    const float value = 0;
    const Weights weights = {&value, {3, 3, channels, 1}, &value, {1, 1, channels, config.filters}, nullptr, 0};
    try {
        const GpuLayer layer(config, weights, GetParam());
        FAIL() << "expected a ShapeError";
    } catch (const ShapeError &error) {
        EXPECT_THAT(error.what(), HasSubstr("2^31"));
        EXPECT_THAT(error.what(), HasSubstr("4096 depthwise channels and 1048576 filters"));
    }
}

// ---- what it says

nlohmann::json explained(const std::string &target, const BenchLayer &layer) {
    return nlohmann::json::parse(explain_for(target, layer.config, layer.input, Arithmetic::float32, true));
}

TEST_P(PlanFor, ExplainsItsRowFormTileAndSlicesAsJson) {
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        SCOPED_TRACE(layer.name);
        const Plan plan = plan_of(layer, GetParam());
        const nlohmann::json all = explained(name(GetParam()), layer);
        EXPECT_EQ(all.at("target"), name(GetParam()));
        EXPECT_EQ(all.at("functions").at(0).at("stage"), "gpu_layer");
        EXPECT_EQ(all.at("functions").at(0).at("row"), plan.layer->name);
        EXPECT_EQ(all.at("functions").size(), 1u + (plan.finish != nullptr) + (plan.axes != nullptr));
        EXPECT_EQ(all.at("form"), plan.layer->params.whole ? "whole" : "chunks");
        EXPECT_EQ(all.at("tile").at("columns"), plan.layer->params.columns);
        EXPECT_EQ(all.at("tile").at("rows"), plan.layer->params.rows);
        EXPECT_EQ(all.at("tile").at("filters"), plan.layer->params.filters);
        EXPECT_EQ(all.at("slices"), plan.slices);
        EXPECT_EQ(all.at("shared_bytes"), plan.shared_bytes);
    }
}

TEST_P(PlanFor, ExplainsItsRowFormTileAndSlicesInWords) {
    int sliced = 0;
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        SCOPED_TRACE(layer.name);
        const Plan plan = plan_of(layer, GetParam());
        const RowParams &p = plan.layer->params;
        const std::string text = explain_for(name(GetParam()), layer.config, layer.input);
        EXPECT_THAT(text, HasSubstr(fmt::format(" on {}\n", name(GetParam()))));
        EXPECT_THAT(text, HasSubstr(plan.layer->name));
        EXPECT_THAT(text, HasSubstr(p.whole ? "the depthwise results of a tile" : fmt::format("{} channels at a time", p.chunk)));
        EXPECT_THAT(text, HasSubstr(fmt::format("{} rows x {} columns x {} filters", p.rows, p.columns, p.filters)));
        if (plan.slices > 1) {
            sliced++;
            EXPECT_THAT(text, HasSubstr(fmt::format("{} slices of the reduction", plan.slices)));
        } else {
            EXPECT_THAT(text, Not(HasSubstr("slices")));
        }
    }
    EXPECT_GT(sliced, 0) << "no layer of the bench has too few tiles";
}

TEST_P(PlanFor, IsExplainedForAMachineAsHalideWritesIt) {
    const std::string api = name(GetParam());
    const std::string machine = "x86-64-linux-" + api + (GetParam() == Api::cuda ? "-cuda_capability_80" : "");
    for (const BenchLayer &layer : bench_layers(GetParam())) {
        EXPECT_EQ(explain_for(machine, layer.config, layer.input), explain_for(api, layer.config, layer.input));
    }
}

}  // namespace
}  // namespace sepconv::gpu
