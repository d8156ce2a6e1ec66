// What a GPU's plan says of itself.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "gpu/layer.h"

namespace sepconv::gpu {
namespace {

std::string why_layer(const Plan &plan) {
    const RowParams &p = plan.layer->params;
    std::string why = p.whole ? fmt::format("the depthwise results of a tile, {} channels, fit shared memory", plan.depth())
                              : fmt::format("{} channels at a time in shared memory", p.chunk);
    if (plan.slices > 1) {
        why += fmt::format("; {} slices of the reduction, since the image alone has too few tiles for the multiprocessors", plan.slices);
    }
    return why + fmt::format("; {:.0f} cycles by the cost function, the least of all", plan.cycles);
}

}  // namespace

std::string explain(const Plan &plan, const LayerConfig &config, const std::string &where, const Shape &input, const Shape &output,
                    bool json) {
    const RowParams &p = plan.layer->params;
    const char *const format = plan.format == DataFormat::channels_first ? "channels_first" : "channels_last";
    const double operations = 2.0 * static_cast<double>(plan.batch * plan.y.output * plan.x.output) * static_cast<double>(plan.depth()) *
                              static_cast<double>(plan.x.kernel * plan.y.kernel + plan.filters);
    struct Function {
        const Row *row;
        std::string why;
    };
    std::vector<Function> functions = {{plan.layer, why_layer(plan)}};
    if (plan.finish != nullptr) {
        functions.push_back({plan.finish, plan.slices > 1 ? "adds the slices, the bias and applies the activation"
                                                          : "the activation is more than a clamp, and its input is kept in float32"});
    }
    if (plan.axes != nullptr) functions.push_back({plan.axes, "after the whole product"});
    if (json) {
        nlohmann::ordered_json all;
        all["target"] = name(plan.layer->api);
        if (!where.empty()) all["device"] = where;
        all["dtype"] = sepconv::name(config.dtype);
        all["arithmetic"] = "float32";
        all["data_format"] = format;
        all["input_shape"] = input;
        all["output_shape"] = output;
        all["operations"] = operations;
        for (const Function &function : functions) {
            all["functions"].push_back({{"stage", name(function.row->stage)},
                                        {"row", function.row->name},
                                        {"covers", function.row->covers},
                                        {"why", function.why}});
        }
        all["form"] = p.whole ? "whole" : "chunks";
        all["tile"] = {{"columns", p.columns}, {"rows", p.rows}, {"filters", p.filters}};
        all["slices"] = plan.slices;
        all["blocks"] = plan.blocks;
        all["threads"] = p.threads();
        all["shared_bytes"] = plan.shared_bytes;
        all["blocks_at_once"] = plan.blocks_at_once;
        all["depthwise_recomputed"] = plan.recomputed;
        all["bytes_read"] = plan.bytes_read;
        all["bytes_least"] = plan.bytes_least;
        return all.dump(2) + "\n";
    }
    const auto shape = [](const Shape &s) { return fmt::format("({}, {}, {}, {})", s[0], s[1], s[2], s[3]); };
    const std::string types = config.dtype == Dtype::float32 ? "" : fmt::format(", {} computed in float32", sepconv::name(config.dtype));
    std::string text =
        fmt::format("{}{} on {}{}\n", format, types, name(plan.layer->api), where.empty() ? "" : fmt::format(" ({})", where));
    text += fmt::format("input {} -> output {}, {:.3g} operations\n", shape(input), shape(output), operations);
    for (const Function &function : functions) {
        text += fmt::format("{:<10} {:<28} {}\n{:<39} because: {}\n", name(function.row->stage), function.row->name, function.row->covers,
                            "", function.why);
    }
    text += fmt::format("tile       {} rows x {} columns x {} filters for {} threads, {} pixels x {} filters each\n", p.rows, p.columns,
                        p.filters, p.threads(), p.thread_pixels, p.thread_filters);
    text += fmt::format("blocks     {}, {} of them at once on a multiprocessor, {} bytes of shared memory each\n", plan.blocks,
                        plan.blocks_at_once, plan.shared_bytes);
    text += fmt::format("depthwise  each result computed {:.3g} times, none of them in memory of the device\n", plan.recomputed);
    text +=
        fmt::format("memory     {} bytes read by the blocks; input, weights and output are {} bytes\n", plan.bytes_read, plan.bytes_least);
    return text;
}

}  // namespace sepconv::gpu
