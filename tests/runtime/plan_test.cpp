// The plan: every legal layer finds the functions that it needs, on every target that is built, and its tiles cover the output.
#include "plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "explain.h"
#include "gpu/rows.h"
#include "random_layer.h"

namespace sepconv {
namespace {

using namespace testing_layers;

std::vector<std::string> all_targets() {
    std::vector<std::string> names;
    for (const BuiltTarget &target : built_targets()) names.emplace_back(target.name);
    return names;
}

// A plan needs no CPU that runs it, so every target is tried.
class PlanOf : public testing::TestWithParam<std::string> {
protected:
    const BuiltTarget &target_ = *find_target(GetParam());

    // Calls check(layer, packed weights, plan) for every random layer, for one thread and several, dense and not.
    template <typename Check>
    void for_each_plan(const Check &check) {
        const std::uint64_t seed = base_seed();
        for (int i = 0; i < case_count(300) && !HasFailure(); i++) {
            RandomLayer one = random_layer(seed + i, {.work = 20'000'000});
            if (target_.type == Dtype::float16 || i % 3 == 0) one = in_float16(std::move(one));
            SCOPED_TRACE(describe(one, seed + i));
            const PackedWeights packed = pack(one.config, one.weights(), target_);
            for (const int concurrency : {1, 4, 64}) {
                for (const bool rows_contiguous : {true, false}) {
                    check(one, packed, make_plan(one.config, packed, target_, one.input, rows_contiguous, concurrency));
                }
            }
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Target, PlanOf, testing::ValuesIn(all_targets()), [](const auto &info) { return info.param; });

void expect_row(const Row *row, Stage stage, const BuiltTarget &target, const char *what) {
    ASSERT_NE(row, nullptr) << what;
    EXPECT_EQ(row->stage, stage) << what;
    EXPECT_EQ(std::string(row->target), target.name) << what;
    const bool there = (stage == Stage::padded && row->padded != nullptr) || (stage == Stage::depthwise && row->depthwise != nullptr) ||
                       (stage == Stage::pointwise && row->pointwise != nullptr) ||
                       (stage == Stage::activated && row->activated != nullptr) ||
                       ((stage == Stage::copied || stage == Stage::transposed) && row->moved != nullptr);
    EXPECT_TRUE(there) << what << " " << row->name << " has no function";
}

// Panel runs; of planes groups of filters, halves down to one.
std::size_t kinds_of_panels(const Plan &plan, const PackedWeights &packed) {
    if (!plan.planes()) return packed.runs.size();
    std::size_t count = 0;
    while (plan.groups[count] > 0) count++;
    return count;
}

bool keeps(int promised, std::int64_t value) { return promised == 0 || promised == value; }

TEST_P(PlanOf, EveryLegalConfigFindsARow) {
    for_each_plan([&](const RandomLayer &one, const PackedWeights &packed, const Plan &plan) {
        if (one.config.data_format == DataFormat::channels_last) expect_row(plan.padded, Stage::padded, target_, "padded");
        expect_row(plan.depthwise, Stage::depthwise, target_, "depthwise");
        if (one.config.data_format == DataFormat::channels_last) {
            expect_row(plan.depthwise_strip, Stage::depthwise, target_, "depthwise_strip");
        }
        expect_row(plan.depthwise_single, Stage::depthwise, target_, "depthwise_single");
        if (plan.transposed) {
            expect_row(plan.turned, Stage::transposed, target_, "turned");
            expect_row(plan.turned_single, Stage::transposed, target_, "turned_single");
            EXPECT_EQ(plan.turned_single->params.lanes, 1);
        }
        ASSERT_LE(packed.runs.size(), static_cast<std::size_t>(Plan::max_runs));
        for (std::size_t i = 0; i < kinds_of_panels(plan, packed); i++) {
            for (int size = 0; size < Plan::sizes; size++) {
                if (plan.pixels[size] > 0) expect_row(plan.covers[i][size][0].row, Stage::pointwise, target_, "pointwise");
            }
        }
        if (plan.epilogue.kind != EpilogueKind::clamp && one.config.activation.kind != ActivationKind::sparsemax) {
            expect_row(plan.epilogue.activated, Stage::activated, target_, "activated");
        }
    });
}

TEST_P(PlanOf, DepthwiseRowsAreOnlyTakenWhereTheirPromisesHold) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &packed, const Plan &plan) {
        for (const Row *row : {plan.depthwise, plan.depthwise_strip, plan.depthwise_single}) {
            if (plan.planes() && row == plan.depthwise_strip) continue;
            ASSERT_NE(row, nullptr);
            EXPECT_EQ(row->params.strip, !plan.planes() && row != plan.depthwise) << row->name;
            const RowParams &p = row->params;
            SCOPED_TRACE(row->name);
            EXPECT_EQ(p.channels_first, plan.planes());
            EXPECT_EQ(p.lanes, p.channels_first ? target_.lanes : packed.blocks.lanes);
            EXPECT_TRUE(keeps(p.kernel, plan.x.taps) && keeps(p.kernel, plan.y.taps));
            EXPECT_TRUE(keeps(p.kernel, plan.x.kernel)) << "the row expects the window's rows one after the other";
            EXPECT_TRUE(keeps(p.stride, plan.x.stride_in_phase()) && keeps(p.stride, plan.y.stride_in_phase()));
            EXPECT_TRUE(keeps(p.dilation, plan.x.dilation_in_phase()) && keeps(p.dilation, plan.y.dilation_in_phase()));
        }
        EXPECT_EQ(plan.depthwise_single->params.together, 1);
        if (plan.bordered) {
            EXPECT_TRUE(plan.depthwise->params.border);
            EXPECT_FALSE(packed.blocks.narrow) << "it would read beyond a pixel's channels";
            // No more of a window lies beside the image than the row has parts for, in the middle of which every window meets it.
            const int together = plan.depthwise->params.together;
            for (std::int64_t i = 0; i < plan.tiles_x; i++) {
                const Share columns(plan.x.output, i, plan.tiles_x);
                EXPECT_GE(columns.count, together);
            }
            for (const Axis &axis : {plan.x, plan.y}) {
                for (std::int64_t phase = 0; phase < axis.phases(); phase++) {
                    const std::int64_t first = axis.position(phase, 0), last = axis.position(phase, axis.outputs(phase) - 1);
                    const std::int64_t half = axis.taps / 2 * axis.dilation;
                    EXPECT_GE(first + half, 0);
                    EXPECT_LT(last + half, axis.input);
                }
            }
        }
    });
}

// Few channels with a multiplier become as many as it makes of them, where that takes fewer vectors and there is a function for it.
TEST(Depthwise, TakesRowsBeforeChannelsWhereAFewRowsOfAllChannelsAreMuch) {
    const BuiltTarget *target = find_target("avx512");
    if (target == nullptr) GTEST_SKIP() << "this build has no functions for both orders";
    const auto row = [&](std::int64_t channels, std::int64_t kernel, std::int64_t stride) {
        const std::vector<float> values(channels * std::max<std::int64_t>(kernel * kernel, 16));
        Weights weights;
        weights.depthwise_kernel = values.data();
        weights.depthwise_shape = {kernel, kernel, channels, 1};
        weights.pointwise_kernel = values.data();
        weights.pointwise_shape = {1, 1, channels, 16};
        LayerConfig config;
        config.filters = 16;
        config.use_bias = false;
        config.kernel_size = {kernel, kernel};
        config.strides = {stride, stride};
        config.padding = Padding::same;
        const PackedWeights packed = pack(config, weights, *target);
        return std::string(make_plan(config, packed, *target, {1, 28, 28, channels}, true, 1).depthwise->name);
    };
    EXPECT_EQ(row(64, 3, 1), "depthwise_3x3_border_x7");
    EXPECT_EQ(row(480, 3, 1), "depthwise_3x3_border_rows_x7");
    EXPECT_EQ(row(512, 3, 1), "depthwise_3x3_border_x7") << "the lines of a block fall into two sets of the cache";
    EXPECT_EQ(row(96, 3, 2), "depthwise_3x3_s2_border_x7");
    EXPECT_EQ(row(144, 3, 2), "depthwise_3x3_s2_border_rows_x7") << "a strip has more columns with a stride";
    EXPECT_EQ(row(16, 5, 1), "depthwise_5x5_border_x7") << "there is no other";
}

TEST(Channels, AreSpreadWhereThatTakesFewerVectors) {
    const BuiltTarget *target = find_target("avx512");
    if (target == nullptr) GTEST_SKIP() << "this build has no functions that spread channels";
    const auto spread = [&](std::int64_t channels, std::int64_t multiplier, DataFormat format = DataFormat::channels_last) {
        const std::vector<float> depthwise(9 * channels * multiplier), pointwise(channels * multiplier * 4);
        Weights weights;
        weights.depthwise_kernel = depthwise.data();
        weights.depthwise_shape = {3, 3, channels, multiplier};
        weights.pointwise_kernel = pointwise.data();
        weights.pointwise_shape = {1, 1, channels * multiplier, 4};
        LayerConfig config;
        config.filters = 4;
        config.use_bias = false;
        config.depth_multiplier = multiplier;
        config.data_format = format;
        return pack(config, weights, *target).spread;
    };
    EXPECT_EQ(spread(3, 8), 8);
    EXPECT_EQ(spread(3, 4), 4);
    EXPECT_EQ(spread(4, 2), 2);
    EXPECT_EQ(spread(1, 8), 8);
    EXPECT_EQ(spread(6, 2), 1) << "12 channels are two vectors, as many as there were";
    EXPECT_EQ(spread(3, 2), 1) << "6 channels still do not fill a vector";
    EXPECT_EQ(spread(3, 3), 1) << "no function spreads three";
    EXPECT_EQ(spread(8, 4), 1) << "eight channels fill a vector";
    EXPECT_EQ(spread(3, 8, DataFormat::channels_first), 1) << "vectors of pixels have no lanes to fill";
}

// 8 filters, 24 and 40 fill half of their last vector: pairs, unless these cost more than they save or cannot be read.
TEST(Panels, EndInPairsOnlyWhereThatIsCheaper) {
    const BuiltTarget *target = find_target("avx512");
    if (target == nullptr) GTEST_SKIP() << "this build has no functions for vectors with two lanes for a filter";
    const auto widths = [&](std::int64_t filters, std::int64_t channels, DataFormat format = DataFormat::channels_last) {
        const std::vector<float> depthwise(9 * channels), pointwise(channels * filters);
        Weights weights;
        weights.depthwise_kernel = depthwise.data();
        weights.depthwise_shape = {3, 3, channels, 1};
        weights.pointwise_kernel = pointwise.data();
        weights.pointwise_shape = {1, 1, channels, filters};
        LayerConfig config;
        config.filters = filters;
        config.use_bias = false;
        config.data_format = format;
        std::vector<std::string> found;
        for (const PanelRun &run : pack(config, weights, *target).runs) {
            found.insert(found.end(), run.panels, fmt::format("{}{}", run.width, run.paired ? " in pairs" : ""));
        }
        return found;
    };
    using testing::ElementsAre;
    EXPECT_THAT(widths(8, 64), ElementsAre("8 in pairs"));
    EXPECT_THAT(widths(24, 64), ElementsAre("24 in pairs"));
    EXPECT_THAT(widths(40, 64), ElementsAre("16", "24 in pairs"));
    EXPECT_THAT(widths(17, 72), ElementsAre("24 in pairs"));
    EXPECT_THAT(widths(25, 64), ElementsAre("32")) << "nine filters fill more than half";
    EXPECT_THAT(widths(24, 16), ElementsAre("32")) << "so few steps do not pay for the sum of both lanes";
    EXPECT_THAT(widths(24, 65), ElementsAre("32")) << "the last step has no other";
    EXPECT_THAT(widths(24, 64, DataFormat::channels_first), ElementsAre("32")) << "planes read panels without pairs";
}

TEST_P(PlanOf, RowsOfTheProductCoverThePixelsExactly) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &packed, const Plan &plan) {
        const bool planes = plan.planes();
        if (planes) {
            EXPECT_EQ(plan.groups[kinds_of_panels(plan, packed) - 1], 1) << "some filters are in no group";
        }
        for (std::size_t run = 0; run < kinds_of_panels(plan, packed); run++) {
            for (int size = 0; size < Plan::sizes; size++) {
                std::int64_t covered = 0;
                for (const PixelPiece &piece : plan.covers[run][size]) {
                    if (piece.row == nullptr) continue;
                    const RowParams &p = piece.row->params;
                    EXPECT_EQ(p.channels_first, planes);
                    EXPECT_EQ(p.lanes, planes ? target_.lanes : packed.runs[run].lanes);
                    EXPECT_LE(piece.first, covered) << "pixels are left out";
                    EXPECT_GT(piece.first + piece.count, covered);
                    covered = piece.first + piece.count;
                    if (planes) {
                        EXPECT_EQ(p.rows, plan.groups[run]);
                        EXPECT_EQ((piece.count + p.lanes - 1) / p.lanes % p.vectors, 0) << piece.row->name << " for " << piece.count;
                    } else {
                        EXPECT_EQ(p.vectors, packed.runs[run].vectors);
                        EXPECT_GE(piece.count, p.rows) << piece.row->name;
                    }
                }
                EXPECT_EQ(covered, plan.pixels[size]);
            }
        }
    });
}

// Those of every task, one after the other.
std::vector<Tile> all_tiles(const Plan &plan) {
    std::vector<Tile> tiles;
    EXPECT_EQ(plan.first_tile(0), 0);
    EXPECT_EQ(plan.first_tile(plan.tasks), plan.tiles);
    for (int task = 0; task < plan.tasks; task++) {
        for (std::int64_t tile = plan.first_tile(task); tile < plan.first_tile(task + 1); tile++) tiles.push_back(plan.tile_at(tile));
        if (plan.rows_over > 0) tiles.push_back(plan.tile_at(plan.tiles + task));
    }
    return tiles;
}

TEST_P(PlanOf, TilesCoverTheOutputExactly) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &packed, const Plan &plan) {
        ASSERT_GE(plan.tile_width, 1);
        ASSERT_GE(plan.tile_height, 1);
        // Panels of each output.
        const std::int64_t panels = std::accumulate(packed.runs.begin(), packed.runs.end(), std::int64_t(0),
                                                    [](std::int64_t sum, const PanelRun &run) { return sum + run.panels; });
        const std::int64_t pixels = plan.y.output * plan.x.output;
        std::vector<std::int64_t> computed(static_cast<std::size_t>(plan.batch * pixels));
        for (const Tile &tile : all_tiles(plan)) {
            ASSERT_GE(tile.width, 1) << "an empty tile";
            ASSERT_LE(tile.width, plan.tile_width);
            ASSERT_LE(tile.height, plan.tile_height);
            std::int64_t of_tile = 0;
            for (const PanelRun &run : packed.runs) of_tile += packed.panels_of(run, tile.part, tile.parts).count;
            for (std::int64_t y = tile.y; y < tile.y + tile.height; y++) {
                const std::int64_t first = (tile.image * plan.y.output + tile.phase + plan.y.step * y) * plan.x.output;
                for (std::int64_t x = tile.x; x < tile.x + tile.width; x++) computed.at(static_cast<std::size_t>(first + x)) += of_tile;
            }
        }
        EXPECT_TRUE(std::all_of(computed.begin(), computed.end(), [&](std::int64_t count) { return count == panels; }));
    });
}

TEST_P(PlanOf, EveryTileHasANumberOfPixelsThatTheProductCovers) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &, const Plan &plan) {
        for (const Tile &tile : all_tiles(plan)) {
            if (tile.height == 0) continue;
            EXPECT_EQ(plan.pixels[plan.size_of(tile)], plan.flat ? tile.width * tile.height : tile.width);
        }
    });
}

TEST_P(PlanOf, RowsThatAreOverAreSharedByFiltersWhereThatIsCheaper) {
    struct Case {
        std::int64_t size, channels, filters;
        int kernel, concurrency;
        std::int64_t over;
    };
    const Case cases[] = {
        {19, 728, 728, 3, 1, 0},  // one task
        {19, 728, 728, 3, 2, 1},  // 9 rows each, and half of the filters of the last
        {19, 192, 728, 3, 4, 3},  // the scratch has room for three rows even where the cache is small
        {18, 728, 728, 3, 2, 0},  // evenly dealt
        {19, 728, 16, 7, 2, 0},   // the depthwise results of the last row, twice, are more than half of its filters
    };
    for (const Case &one : cases) {
        SCOPED_TRACE(fmt::format("{}x{} {} -> {}, {} tasks", one.size, one.size, one.channels, one.filters, one.concurrency));
        LayerConfig config;
        config.filters = one.filters;
        config.dtype = target_.type;
        config.kernel_size = {one.kernel, one.kernel};
        config.padding = Padding::same;
        config.use_bias = false;
        const std::vector<float> values(one.channels * std::max<std::int64_t>(one.filters, 49));
        Weights weights;
        weights.depthwise_kernel = values.data();
        weights.depthwise_shape = {one.kernel, one.kernel, one.channels, 1};
        weights.pointwise_kernel = values.data();
        weights.pointwise_shape = {1, 1, one.channels, one.filters};
        const PackedWeights packed = pack(config, weights, target_);
        const Plan plan = make_plan(config, packed, target_, {1, one.size, one.size, one.channels}, true, one.concurrency);
        EXPECT_EQ(plan.tasks, one.concurrency);
        EXPECT_EQ(plan.rows_over, one.over);
        const Shape output = {1, one.size, one.size, one.filters};
        const std::string words = explain(plan, config, packed, target_, {1, one.size, one.size, one.channels}, output, false);
        const std::string said = one.over == 1 ? "the last row is over" : fmt::format("the last {} rows are over", one.over);
        EXPECT_EQ(words.find(said) != std::string::npos, one.over > 0) << words;
        // Of the whole rows every task has as many.
        if (one.over == 0) continue;
        for (int task = 0; task < plan.tasks; task++) {
            std::int64_t rows = 0;
            for (std::int64_t tile = plan.first_tile(task); tile < plan.first_tile(task + 1); tile++) rows += plan.tile_at(tile).height;
            EXPECT_EQ(rows, one.size / one.concurrency) << task;
        }
    }
}

TEST_P(PlanOf, TheTapsThatAreLeftOutMeetZerosOnly) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &, const Plan &plan) {
        for (const Axis *axis : {&plan.x, &plan.y}) {
            EXPECT_GE(axis->first_tap, 0);
            EXPECT_GE(axis->taps, 1);
            EXPECT_LE(axis->first_tap + axis->taps, axis->kernel);
            for (std::int64_t tap = 0; tap < axis->kernel; tap++) {
                if (tap >= axis->first_tap && tap < axis->first_tap + axis->taps) continue;
                for (std::int64_t output = 0; output < axis->output; output++) {
                    const std::int64_t position = output * axis->stride + tap * axis->dilation - axis->before;
                    ASSERT_TRUE(position < 0 || position >= axis->input) << "tap " << tap << " of output " << output;
                }
            }
        }
    });
}

TEST_P(PlanOf, PartsOfASharedTileTakeEveryPanelOnce) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &packed, const Plan &) {
        for (const int parts : {1, 2, 3, 7, 64}) {
            for (const PanelRun &run : packed.runs) {
                std::int64_t next = 0;
                for (int part = 0; part < parts; part++) {
                    const PackedWeights::Panels panels = packed.panels_of(run, part, parts);
                    EXPECT_EQ(panels.first, next);
                    EXPECT_GE(panels.count, 0);
                    next += panels.count;
                }
                EXPECT_EQ(next, run.panels) << parts << " parts";
            }
        }
    });
}

TEST_P(PlanOf, ScratchHoldsATile) {
    for_each_plan([&](const RandomLayer &, const PackedWeights &packed, const Plan &plan) {
        const std::int64_t pixels = plan.tile_width * plan.tile_height;
        const std::int64_t channels = plan.format == DataFormat::channels_first ? plan.channels : packed.blocks.count * packed.blocks.lanes;
        EXPECT_GE(plan.scratch_values, static_cast<std::size_t>(pixels * channels * plan.multiplier));
    });
}

TEST(Registry, NoTwoRowsOfATargetHaveOneName) {
    std::vector<std::string> names;
    for (const Row &row : all_rows()) names.push_back(fmt::format("{} for {}", row.name, row.target));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(Registry, EveryPipelineNamesItsStage) {
    const std::vector<Pipeline> list = pipelines();
    const std::size_t of_cpus = all_rows().size();
    ASSERT_EQ(list.size(), of_cpus + gpu::rows().size());
    for (std::size_t i = 0; i < of_cpus; i++) {
        const Row &row = all_rows()[i];
        EXPECT_EQ(list[i].stage, name(row.stage));
        EXPECT_THAT(row.name, testing::HasSubstr(list[i].stage.substr(0, 4)));  // rows are called after their stages
    }
    for (std::size_t i = of_cpus; i < list.size(); i++) {
        const gpu::Row &row = gpu::rows()[i - of_cpus];
        EXPECT_EQ(list[i].name, row.name);
        EXPECT_EQ(list[i].stage, gpu::name(row.stage));
        EXPECT_EQ(list[i].target, gpu::name(row.api));
    }
}

TEST(Registry, TheRowsOfATargetAndStageAreTheTablesInItsOrder) {
    for (const Row &some : all_rows()) {
        std::vector<std::string> expected, found;
        for (const Row &row : all_rows()) {
            if (row.stage == some.stage && row.target == std::string_view(some.target)) expected.emplace_back(row.name);
        }
        for (const Row &row : rows_of(*find_target(some.target), some.stage)) found.emplace_back(row.name);
        ASSERT_EQ(found, expected) << some.target;
    }
}

}  // namespace
}  // namespace sepconv
