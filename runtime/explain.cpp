// What a plan says of itself: the rows of the table that run, the tile, the split, and why.
#include "explain.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace sepconv {
namespace {

struct Function {
    std::string stage, row, covers, why;
};

std::string why_depthwise(const Plan &plan, const Row &row) {
    const RowParams &p = row.params;
    if (p.kernel == 0) return "no row promises this window; this one takes every size when called";
    if (plan.y.step > 1 && p.dilation == 1) return "rows of one phase of the dilation lie as without one";
    return "the most special row that covers the window, stride and dilation";
}

std::vector<Function> functions(const Plan &plan) {
    std::vector<Function> list;
    auto add = [&](const char *stage, const Row *row, std::string why) {
        if (row == nullptr) return;
        for (const Function &known : list) {
            if (known.row == row->name) return;
        }
        list.push_back({stage, row->name, row->covers, std::move(why)});
    };
    if (!plan.bordered) {
        add("padded", plan.padded_dense, "copies each tile with its border, where it may read a little further");
        add("padded", plan.padded,
            plan.padded_dense != nullptr ? "copies the last columns"
            : plan.direct                ? "copies the border; the inside is read where it lies"
                                         : "copies each tile with its border");
    }
    if (!plan.direct) add("copied", plan.copied, "copies each channel's rows into their border");
    add("transposed", plan.turned, "turns tiles to channels_last and back, which costs less than what planes of this size leave unused");
    add("transposed", plan.turned_single, "where fewer columns or channels are left than a block has");
    add("transposed", plan.turned_back, "turns the tile back, in the type of the sums");
    const bool first = plan.planes();
    const bool whole =
        (first ? plan.tile_height >= plan.depthwise->params.together : plan.tile_width >= plan.depthwise_strip->params.together);
    if (first ? whole : plan.direct || plan.bordered) add("depthwise", plan.depthwise, why_depthwise(plan, *plan.depthwise));
    if (!first && whole && !plan.bordered) {
        add("depthwise", plan.depthwise_strip, plan.direct ? "for rows at the border" : why_depthwise(plan, *plan.depthwise_strip));
    }
    if ((!whole || plan.direct) && !plan.bordered) {
        add("depthwise", plan.depthwise_single, whole ? "for edges that are narrower" : "the tile is smaller than the wide row needs");
    }
    for (const auto &cover : plan.covers) {
        for (int size = 0; size < Plan::sizes; size++) {
            for (const PixelPiece &piece : cover[size]) {
                add("pointwise", piece.row,
                    size == 0   ? fmt::format("covers {} pixels at least cost", plan.pixels[0])
                    : size == 1 ? "covers the last tile's pixels"
                                : "covers the rows that the tasks share");
            }
        }
    }
    if (plan.epilogue.kind == EpilogueKind::elementwise) add("activated", plan.epilogue.activated, "in place, while the tile is in cache");
    if (plan.epilogue.kind == EpilogueKind::rows)
        add("activated", plan.epilogue.activated, "along the innermost axis, while the tile is in cache");
    if (plan.epilogue.kind == EpilogueKind::image)
        add("activated", plan.epilogue.activated, "along an axis that crosses tiles: after the image");
    add("copied", plan.stored, "rounds each tile on its way to the output");
    add("copied", plan.stored_single, "where a row of the tile fills no vector");
    return list;
}

std::string epilogue_words(const Plan &plan, const LayerConfig &config) {
    const std::string_view activation = name(config.activation.kind);
    if (plan.epilogue.kind == EpilogueKind::clamp) {
        return config.activation.kind == ActivationKind::linear ? std::string("none")
                                                                : fmt::format("{}, a clamp before the product's store", activation);
    }
    return fmt::format("{}, in a function of its own", activation);
}

}  // namespace

std::string explain(const Plan &plan, const LayerConfig &config, const PackedWeights &packed, const BuiltTarget &target, const Shape &input,
                    const Shape &output, bool json) {
    const bool first = config.data_format == DataFormat::channels_first;
    const std::vector<Function> list = functions(plan);
    const std::string tile_why = plan.tiles_x > 1  ? "a row alone would outgrow the cache"
                                 : plan.tiles == 1 ? "everything fits"
                                                   : "as many rows as keep the scratch in a third of the cache, in equal parts";
    const double operations = 2.0 * static_cast<double>(plan.batch * plan.y.output * plan.x.output) *
                              static_cast<double>(plan.channels * plan.multiplier) *
                              static_cast<double>(plan.x.kernel * plan.y.kernel + plan.filters);
    const std::size_t scratch = plan.task_values() * (plan.type == Dtype::float16 ? 2 : 4);
    const std::size_t weights = packed.bytes();
    if (json) {
        nlohmann::ordered_json all;
        all["target"] = target.name;
        all["halide_target"] = target.halide;
        all["dtype"] = name(config.dtype);
        all["arithmetic"] = name(plan.type);
        all["data_format"] = first ? "channels_first" : "channels_last";
        all["input_shape"] = input;
        all["output_shape"] = output;
        all["operations"] = operations;
        for (const Function &function : list) {
            all["functions"].push_back(
                {{"stage", function.stage}, {"row", function.row}, {"covers", function.covers}, {"why", function.why}});
        }
        all["tile"] = {
            {"rows", plan.tile_height}, {"columns", plan.tile_width}, {"row_step", plan.y.step}, {"tiles", plan.tiles}, {"why", tile_why}};
        all["scratch_bytes"] = scratch;
        all["packed_weight_bytes"] = weights;
        all["tasks"] = plan.tasks;
        all["rows_by_filters"] = plan.rows_over;
        all["pixels_flattened"] = plan.flat;
        all["inside_read_in_place"] = plan.direct || plan.bordered;
        all["activation"] = epilogue_words(plan, config);
        return all.dump(2) + "\n";
    }
    auto shape = [](const Shape &s) { return fmt::format("({}, {}, {}, {})", s[0], s[1], s[2], s[3]); };
    const std::string types = config.dtype == Dtype::float32 ? "" : fmt::format(", {} computed in {}", name(config.dtype), name(plan.type));
    std::string text = fmt::format("{}{} on {} ({})\n", first ? "channels_first" : "channels_last", types, target.name, target.halide);
    text += fmt::format("input {} -> output {}, {:.3g} operations\n", shape(input), shape(output), operations);
    for (const Function &function : list) {
        text += fmt::format("{:<10} {:<28} {}\n{:<39} because: {}\n", function.stage, function.row, function.covers, "", function.why);
    }
    text += fmt::format("tile       {} rows x {} columns{}, {} in all: {}\n", plan.tile_height, plan.tile_width,
                        plan.y.step > 1 ? fmt::format(", rows {} apart", plan.y.step) : std::string(), plan.tiles, tile_why);
    if (plan.rows_over > 0) {
        const std::string rows = plan.rows_over == 1 ? "row is" : fmt::format("{} rows are", plan.rows_over);
        text += fmt::format("{:<10} the last {} over: each of the {} tasks computes some of the filters there\n", "", rows, plan.tasks);
    }
    text += fmt::format("product    over {}\n", plan.flat ? "the tile's pixels as one row" : "one row of the tile at a time");
    text += fmt::format("activation {}\n", epilogue_words(plan, config));
    text += fmt::format("memory     {} bytes of scratch for each of {} task{}, {} bytes of packed weights\n", scratch, plan.tasks,
                        plan.tasks == 1 ? "" : "s", weights);
    return text;
}

}  // namespace sepconv
