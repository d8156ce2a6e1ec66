// A model is either a chain of layers (Sequential) or a graph of their calls (Functional), and its layers may be models again. A shape
// that is not known goes on as the reason why, so that each separable convolution behind it can say where the walk stopped.
#include "model_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "message.h"
#include "sepconv/error.h"

namespace sepconv::io {

namespace {

// Calls of layers and inputs to them, in all. A model that is called twice by each model around it would take 2^depth of them. The
// largest published models have some thousand.
constexpr std::size_t most_calls = 100000;
// Shapes that one shared layer is shown to be called with.
constexpr std::size_t most_shown = 4;

const Json nothing;

// A tensor of which the shape is known, or the reason why it is not.
struct Tensor {
    Extents shape;
    std::shared_ptr<const std::string> reason;

    bool known() const { return reason == nullptr; }
};

Tensor unknown(std::string reason) { return {{}, std::make_shared<const std::string>(std::move(reason))}; }

// The layer, and the models and wrappers that it is in.
struct Place {
    const Json &layer;
    const Place *around;
};

// For example Lambda 'crop' in 'inner/deep'.
std::string in_words(const Place &place) {
    std::string around;
    // The outermost model is not among the names of the listing either.
    for (const Place *each = place.around; each != nullptr && each->around != nullptr; each = each->around) {
        const std::string name(layer_name(each->layer).substr(0, 60));
        around = around.empty() ? name : fmt::format("{}/{}", name, around);
    }
    std::string text = fmt::format("{} {}", string_member(place.layer, "class_name").substr(0, 60), in_quotes(layer_name(place.layer)));
    return around.empty() ? text : fmt::format("{} in {}", text, in_quotes(around));
}

// Output `tensor` of call `node` of a layer, as a graph's JSON names it.
struct Reference {
    std::size_t layer = 0;
    std::int64_t node = 0;
    std::int64_t tensor = 0;
    const Json *recorded = nullptr;  // the shape that Keras 3 writes beside it
};

// An input of a call: another call's output, or a constant's shape.
struct Operand {
    std::optional<Reference> from;
    Extents constant;
};

// One call of a layer.
struct Node {
    std::size_t layer = 0;
    std::vector<Operand> operands;
    const Json *arguments = &nothing;  // what it is given by name
    std::string fault;                 // what its JSON has wrong; empty where nothing
};

struct GraphLayer {
    const Json *layer = nullptr;
    std::size_t first_node = 0;  // in Graph::nodes
    std::size_t nodes = 0;
    std::int64_t first_number = 0;  // of its first node, where the JSON names one
    bool is_input = false;
};

struct Graph {
    std::vector<GraphLayer> layers;
    std::vector<Node> nodes;
    std::vector<Reference> inputs, outputs;
    std::vector<std::size_t> order;   // of nodes, each behind those whose outputs it takes
    std::vector<std::size_t> looped;  // the nodes that have no such place
    std::string fault;

    // The node that a reference names.
    std::optional<std::size_t> find(const Reference &reference) const {
        const GraphLayer &layer = layers[reference.layer];
        if (reference.node < layer.first_number) return std::nullopt;
        const std::int64_t number = reference.node - layer.first_number;
        if (number >= static_cast<std::int64_t>(layer.nodes)) return std::nullopt;
        return layer.first_node + static_cast<std::size_t>(number);
    }
};

bool is_list_reference(const Json &value) {
    return value.is_array() && (value.size() == 3 || value.size() == 4) && value[0].is_string() && value[1].is_number_integer() &&
           value[2].is_number_integer();
}

// The shape of a number or of lists in lists, by the first item of each.
Extents constant_shape(const Json &value) {
    Extents shape;
    for (const Json *each = &value; each->is_array() && shape.size() < most_dimensions; each = &each->front()) {
        shape.push_back(static_cast<std::int64_t>(each->size()));
        if (each->empty()) break;
    }
    return shape;
}

// Reads the config of a Functional model.
class GraphReader {
public:
    explicit GraphReader(const Json &config) {
        for (const Json &layer : config.at("layers")) {
            // Nodes name a layer by the name beside its config, which is the one in it.
            const auto [entry, added] = by_name_.emplace(node_name(layer), graph_.layers.size());
            if (!added && graph_.fault.empty()) {
                graph_.fault = fmt::format("has two layers that are called {}", in_quotes(entry->first));
            }
            add_layer(layer);
        }
        read_nodes();
        collect(config.at("input_layers"), graph_.inputs);
        if (const Json *outputs = member(config, "output_layers")) collect(*outputs, graph_.outputs);
        number_nodes();
        sort();
    }

    Graph take() { return std::move(graph_); }

private:
    static std::string_view node_name(const Json &layer) {
        const std::string_view name = string_member(layer, "name");
        return name.empty() ? layer_name(layer) : name;
    }

    void add_layer(const Json &layer) {
        GraphLayer added;
        added.layer = &layer;
        added.is_input = string_member(layer, "class_name") == "InputLayer";
        graph_.layers.push_back(added);
    }

    void read_nodes() {
        for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
            GraphLayer &layer = graph_.layers[i];
            layer.first_node = graph_.nodes.size();
            const Json *calls = member(*layer.layer, "inbound_nodes");
            if (calls != nullptr && calls->is_array() && !layer.is_input) {
                for (const Json &call : *calls) graph_.nodes.push_back(read_node(call, i));
            }
            if (layer.is_input) {
                graph_.nodes.emplace_back();
                graph_.nodes.back().layer = i;
            }
            layer.nodes = graph_.nodes.size() - layer.first_node;
        }
    }

    Node read_node(const Json &call, std::size_t layer) {
        Node node;
        node.layer = layer;
        with_constants_ = is_operation(*graph_.layers[layer].layer);
        if (call.is_object()) {
            read_keras3(call, node);
        } else {
            read_keras2(call, node, true);
        }
        return node;
    }

    // {"args": …, "kwargs": …}, anywhere in which a tensor may be.
    void read_keras3(const Json &call, Node &node) {
        const Json *by_name = member(call, "kwargs");
        if (by_name != nullptr) node.arguments = by_name;
        if (const Json *by_place = member(call, "args"); by_place != nullptr && by_place->is_array()) {
            for (const Json &each : *by_place) {
                if (!add_keras3_constant(each, node)) add_tensors(each, node);
            }
        }
        if (by_name == nullptr || !by_name->is_object()) return;
        for (const Json &each : *by_name) {
            if (!add_keras3_constant(each, node)) add_tensors(each, node);
        }
    }

    bool add_keras3_constant(const Json &value, Node &node) const {
        const std::string_view class_name = string_member(value, "class_name");
        if (!with_constants_ || (class_name != "__numpy__" && class_name != "__tensor__")) return false;
        const Json *config = member(value, "config");
        const Json *items = config == nullptr ? nullptr : member(*config, "value");
        if (items == nullptr) return false;
        node.operands.push_back({std::nullopt, constant_shape(*items)});
        return true;
    }

    void add_tensors(const Json &value, Node &node) {
        if (string_member(value, "class_name") == "__keras_tensor__") {
            const Json *config = member(value, "config");
            const Json *history = config == nullptr ? nullptr : member(*config, "keras_history");
            if (history == nullptr || !is_list_reference(*history)) {
                node.fault = "has a tensor without its history";
                return;
            }
            add_reference(*history, member(*config, "shape"), node);
        } else if (value.is_structured()) {
            for (const Json &each : value) add_tensors(each, node);
        }
    }

    // [name, node, tensor, arguments] for a tensor, in lists of any form. Each tensor of a call repeats its arguments, in which tensors
    // are [name, node, tensor].
    void read_keras2(const Json &value, Node &node, bool with_arguments) {
        const bool is_constant = value.is_array() && value.size() >= 3 && value[0] == "_CONSTANT_VALUE" && value[1] == -1;
        if (is_constant) {
            node.operands.push_back({std::nullopt, constant_shape(value[2])});
        } else if (is_list_reference(value)) {
            add_reference(value, nullptr, node);
        } else {
            if (value.is_structured()) {
                for (const Json &each : value) read_keras2(each, node, with_arguments);
            }
            return;
        }
        if (!with_arguments || value.size() < 4 || !value[3].is_object() || node.arguments != &nothing) return;
        node.arguments = &value[3];
        for (const auto &[key, argument] : value[3].items()) {
            const bool operand = with_constants_ && (key == "x" || key == "y") && argument.is_array() && !is_list_reference(argument);
            if (operand) {
                node.operands.push_back({std::nullopt, constant_shape(argument)});
            } else {
                read_keras2(argument, node, false);
            }
        }
    }

    void add_reference(const Json &list, const Json *recorded, Node &node) {
        std::optional<Reference> reference = read_reference(list);
        if (!reference) {
            node.fault =
                fmt::format("takes an output of {}, which the model does not have", in_quotes(list[0].get_ref<const std::string &>()));
            return;
        }
        reference->recorded = recorded;
        node.operands.push_back({reference, {}});
    }

    std::optional<Reference> read_reference(const Json &list) const {
        const auto found = by_name_.find(list[0].get_ref<const std::string &>());
        if (found == by_name_.end()) return std::nullopt;
        return Reference{found->second, list[1].get<std::int64_t>(), list[2].get<std::int64_t>(), nullptr};
    }

    // The inputs or outputs of the model.
    void collect(const Json &value, std::vector<Reference> &into) {
        if (is_list_reference(value)) {
            if (const auto reference = read_reference(value)) {
                into.push_back(*reference);
            } else if (graph_.fault.empty()) {
                graph_.fault = fmt::format("has {} for an input or output, which is none of its layers",
                                           in_quotes(value[0].get_ref<const std::string &>()));
            }
        } else if (value.is_structured()) {
            for (const Json &each : value) collect(each, into);
        }
    }

    // Keras counts the calls of a model inside a model from 1, since it counts the one that made it, but not in every version for a
    // Sequential. Where the last one is named, its number tells.
    void number_nodes() {
        std::vector<std::int64_t> least(graph_.layers.size(), std::numeric_limits<std::int64_t>::max()), greatest(graph_.layers.size(), -1);
        const auto see = [&](const Reference &reference) {
            least[reference.layer] = std::min(least[reference.layer], reference.node);
            greatest[reference.layer] = std::max(greatest[reference.layer], reference.node);
        };
        for (const Node &node : graph_.nodes) {
            for (const Operand &operand : node.operands) {
                if (operand.from) see(*operand.from);
            }
        }
        for (const Reference &output : graph_.outputs) see(output);
        for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
            GraphLayer &layer = graph_.layers[i];
            const Json *config = member(*layer.layer, "config");
            const bool is_model = config != nullptr && (config->is_array() || config->contains("layers"));
            if (is_model && least[i] >= 1 && greatest[i] <= static_cast<std::int64_t>(layer.nodes)) layer.first_number = 1;
        }
    }

    // Kahn's algorithm: a node is ready when those before it are done.
    void sort() {
        std::vector<std::size_t> waits(graph_.nodes.size(), 0);
        std::vector<std::vector<std::size_t>> behind(graph_.nodes.size());
        for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
            for (const Operand &operand : graph_.nodes[i].operands) {
                const auto before = operand.from ? graph_.find(*operand.from) : std::nullopt;
                if (!before) continue;
                behind[*before].push_back(i);
                ++waits[i];
            }
        }
        for (std::size_t i = 0; i < waits.size(); ++i) {
            if (waits[i] == 0) graph_.order.push_back(i);
        }
        for (std::size_t done = 0; done < graph_.order.size(); ++done) {
            for (const std::size_t next : behind[graph_.order[done]]) {
                if (--waits[next] == 0) graph_.order.push_back(next);
            }
        }
        for (std::size_t i = 0; i < waits.size(); ++i) {
            if (waits[i] != 0) graph_.looped.push_back(i);
        }
    }

    Graph graph_;
    std::map<std::string, std::size_t, std::less<>> by_name_;
    bool with_constants_ = false;
};

// The layers of a chain; null where the layer is no Sequential. An early Sequential's config is the list itself.
const Json *chain_of(const Json &layer) {
    const Json *config = member(layer, "config");
    if (config == nullptr || string_member(layer, "class_name") != "Sequential") return nullptr;
    const Json *layers = config->is_array() ? config : member(*config, "layers");
    return layers != nullptr && layers->is_array() ? layers : nullptr;
}

// The config of a model that is a graph, by its form: a class of the user's own that trains in another way has it too.
const Json *graph_of(const Json &layer) {
    const Json *config = member(layer, "config");
    if (config == nullptr) return nullptr;
    const Json *layers = member(*config, "layers");
    return layers != nullptr && layers->is_array() && config->contains("input_layers") ? config : nullptr;
}

// The input shape in the config of an InputLayer, or of the first layer of a chain.
std::optional<Extents> batch_shape(const Json &layer) {
    const Json *config = member(layer, "config");
    if (config == nullptr) return std::nullopt;
    for (const char *key : {"batch_shape", "batch_input_shape"}) {
        if (const Json *shape = member(*config, key)) return read_shape(*shape);
    }
    return std::nullopt;
}

class Walk {
public:
    // The shapes of the inputs that a model has by its own config, in Keras' order. None for a chain that was never built.
    std::vector<Tensor> stored_inputs(const Json &model) {
        if (const Json *config = graph_of(model)) {
            const Graph &graph = graph_at(*config);
            std::vector<Tensor> inputs;
            for (const Reference &input : graph.inputs) {
                const auto shape = batch_shape(*graph.layers[input.layer].layer);
                inputs.push_back(shape ? Tensor{*shape, nullptr} : unknown("the model stores no shape of its input"));
            }
            return inputs;
        }
        const Json *layers = chain_of(model);
        if (layers == nullptr || layers->empty()) return {};
        if (const auto shape = batch_shape(layers->front())) return {{*shape, nullptr}};
        const Json *built = member(model.at("config"), "build_input_shape");
        if (const auto shape = built == nullptr ? std::nullopt : read_shape(*built)) return {{*shape, nullptr}};
        return stored_inputs(layers->front());
    }

    // One call of a layer.
    std::vector<Tensor> call(const Place &place, const std::vector<Tensor> &inputs, const Json &arguments) {
        const Json &layer = place.layer;
        if (!afford(1 + inputs.size())) return stop(place, too_many_calls());
        if (is_separable(string_member(layer, "class_name"))) record(place, inputs);
        if (const Json *config = graph_of(layer)) return call_graph(place, *config, inputs);
        if (!is_of_keras(layer)) return stop(place, in_words(place) + no_rule);
        if (const Json *layers = chain_of(layer)) return call_chain(place, *layers, inputs);
        const std::string_view class_name = string_member(layer, "class_name");
        if (class_name == "InputLayer") return inputs;
        if (class_name == "TimeDistributed" || class_name == "SpectralNormalization") {
            const Json *config = member(layer, "config");
            const Json *wrapped = config == nullptr ? nullptr : member(*config, "layer");
            if (wrapped == nullptr || !wrapped->is_object())
                return stop(place, in_words(place) + ": expected a layer in its config, found none");
            if (class_name == "SpectralNormalization") return call({*wrapped, &place}, inputs, arguments);
            return call_each(place, *wrapped, inputs);
        }
        if (!has_shape_rule(layer)) return stop(place, in_words(place) + no_rule);
        return {output(place, inputs, arguments)};
    }

    // What a separable convolution was called with, or why nothing is known.
    ReachedShape reached(const ConfiguredLayer &layer) const {
        const auto found = recorded_.find(layer.steps.back().layer);
        if (found == recorded_.end()) {
            for (const LayerStep &step : layer.steps) {
                const auto stopped = stopped_.find(step.layer);
                if (stopped != stopped_.end()) return {{}, *stopped->second};
            }
            return {{}, stopped_root_ ? *stopped_root_ : "the model's config has no call of it"};
        }
        const Calls &calls = found->second;
        if (calls.reason) return {{}, *calls.reason};
        if (calls.shapes.size() == 1) return {calls.shapes.front(), ""};
        std::string shapes;
        for (std::size_t i = 0; i < std::min(calls.shapes.size(), most_shown); ++i) {
            shapes += (i == 0 ? "" : ", ") + shape_text(calls.shapes[i]);
        }
        return {{}, fmt::format("it is called with several shapes: {}{}", shapes, calls.shapes.size() > most_shown ? ", ..." : "")};
    }

private:
    struct Calls {
        std::vector<Extents> shapes;  // each once
        std::shared_ptr<const std::string> reason;
    };

    static constexpr const char *no_rule = " is no stock layer whose output shape is known";
    static std::string too_many_calls() { return fmt::format("the model has more than {} calls of layers", most_calls); }

    // Whether so many calls more are within the bound.
    bool afford(std::size_t calls) {
        calls_ += calls;
        return calls_ <= most_calls;
    }

    void record(const Place &place, const std::vector<Tensor> &inputs) {
        Calls &calls = recorded_[&place.layer];
        Tensor input = inputs.empty() ? unknown(in_words(place) + ": expected an input, found none") : inputs.front();
        const Extents &shape = input.shape;
        if (input.known() && shape.size() != 4) {
            input = unknown(fmt::format("{}: expected an input of 4 dimensions, found {}", in_words(place), shape_text(shape)));
        }
        if (!input.known()) {
            if (!calls.reason) calls.reason = input.reason;
            return;
        }
        if (calls.shapes.size() > most_shown || std::find(calls.shapes.begin(), calls.shapes.end(), shape) != calls.shapes.end()) return;
        calls.shapes.push_back(shape);
    }

    // The walk goes no further than this layer, nor into it.
    std::vector<Tensor> stop(const Place &place, std::string reason) {
        Tensor result = unknown(std::move(reason));
        if (place.around == nullptr) stopped_root_ = result.reason;
        stopped_.emplace(&place.layer, result.reason);
        return {result};
    }

    static Tensor output(const Place &place, const std::vector<Tensor> &inputs, const Json &arguments) {
        std::vector<Extents> shapes;
        for (const Tensor &input : inputs) {
            if (!input.known()) return input;
            shapes.push_back(input.shape);
        }
        try {
            return {output_shape(place.layer, {place.layer.at("config"), arguments, shapes}), nullptr};
        } catch (const UnknownShape &error) {
            return unknown(fmt::format("{}: {}", in_words(place), error.what()));
        }
    }

    std::vector<Tensor> call_chain(const Place &place, const Json &layers, const std::vector<Tensor> &inputs) {
        std::vector<Tensor> tensors = inputs;
        for (const Json &layer : layers) tensors = call({layer, &place}, tensors, nothing);
        return tensors;
    }

    // A layer that is called on each item of the dimension behind the batch.
    std::vector<Tensor> call_each(const Place &place, const Json &layer, const std::vector<Tensor> &inputs) {
        std::vector<Tensor> items;
        std::int64_t count = open;
        for (const Tensor &input : inputs) {
            items.push_back(input);
            if (!input.known()) continue;
            if (input.shape.size() < 3) {
                items.back() = unknown(
                    fmt::format("{}: expected an input of 3 dimensions or more, found {}", in_words(place), shape_text(input.shape)));
                continue;
            }
            count = input.shape[1];
            items.back().shape.erase(items.back().shape.begin() + 1);
        }
        std::vector<Tensor> outputs = call({layer, &place}, items, nothing);
        for (Tensor &output : outputs) {
            if (!output.known() || output.shape.empty()) continue;
            output.shape.insert(output.shape.begin() + 1, count);
            if (output.shape.size() > most_dimensions) output = unknown(in_words(place) + ": has too many dimensions");
        }
        return outputs;
    }

    std::vector<Tensor> call_graph(const Place &place, const Json &config, const std::vector<Tensor> &inputs) {
        const Graph &graph = graph_at(config);
        if (!graph.fault.empty()) return stop(place, fmt::format("{} {}", in_words(place), graph.fault));
        if (inputs.size() != graph.inputs.size()) {
            return stop(place, fmt::format("{}: expected {} inputs, found {}", in_words(place), graph.inputs.size(), inputs.size()));
        }
        if (!afford(graph.nodes.size() + graph.outputs.size())) return stop(place, too_many_calls());
        // Keras 3 writes the shape of each tensor, as it was for the model's own inputs.
        const bool as_recorded = same(inputs, stored_inputs(place.layer));

        std::vector<std::vector<Tensor>> outputs(graph.nodes.size());
        std::vector<bool> given(graph.nodes.size(), false);
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const auto node = graph.find(graph.inputs[i]);
            if (!node) continue;
            outputs[*node] = {inputs[i]};
            given[*node] = true;
        }
        for (const std::size_t i : graph.order) {
            if (!given[i]) outputs[i] = call_node(place, graph, graph.nodes[i], outputs, as_recorded);
        }
        for (const std::size_t i : graph.looped) {
            const Place inner = {*graph.layers[graph.nodes[i].layer].layer, &place};
            outputs[i] = stop(inner, fmt::format("{} takes its own output, by its inbound_nodes", in_words(inner)));
        }
        std::vector<Tensor> results;
        results.reserve(graph.outputs.size());
        for (const Reference &output : graph.outputs) results.push_back(value(place, graph, output, outputs));
        return results;
    }

    std::vector<Tensor> call_node(const Place &place, const Graph &graph, const Node &node, const std::vector<std::vector<Tensor>> &outputs,
                                  bool as_recorded) {
        const GraphLayer &layer = graph.layers[node.layer];
        const Place inner = {*layer.layer, &place};
        if (!node.fault.empty()) return stop(inner, fmt::format("{} {}", in_words(inner), node.fault));
        if (layer.is_input) {
            const auto shape = batch_shape(*layer.layer);
            return {shape ? Tensor{*shape, nullptr} : unknown(in_words(inner) + " stores no shape")};
        }
        std::vector<Tensor> inputs;
        for (const Operand &operand : node.operands) {
            if (!operand.from) {
                inputs.push_back({operand.constant, nullptr});
                continue;
            }
            inputs.push_back(value(place, graph, *operand.from, outputs));
            const Json *recorded = operand.from->recorded;
            if (inputs.back().known() || !as_recorded || recorded == nullptr) continue;
            if (const auto shape = read_shape(*recorded)) inputs.back() = {*shape, nullptr};
        }
        return call(inner, inputs, *node.arguments);
    }

    static Tensor value(const Place &place, const Graph &graph, const Reference &reference,
                        const std::vector<std::vector<Tensor>> &outputs) {
        const Place from = {*graph.layers[reference.layer].layer, &place};
        const auto node = graph.find(reference);
        if (!node) return unknown(fmt::format("{} has no call {}", in_words(from), reference.node));
        const std::vector<Tensor> &tensors = outputs[*node];
        if (tensors.size() == 1 && !tensors[0].known()) return tensors[0];
        if (reference.tensor >= 0 && reference.tensor < static_cast<std::int64_t>(tensors.size())) {
            return tensors[static_cast<std::size_t>(reference.tensor)];
        }
        return unknown(fmt::format("{} has no output {} whose shape is known", in_words(from), reference.tensor));
    }

    static bool same(const std::vector<Tensor> &a, const std::vector<Tensor> &b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [](const Tensor &x, const Tensor &y) { return x.known() && y.known() && x.shape == y.shape; });
    }

    const Graph &graph_at(const Json &config) {
        const auto found = graphs_.find(&config);
        return found != graphs_.end() ? found->second : graphs_.emplace(&config, GraphReader(config).take()).first->second;
    }

    std::size_t calls_ = 0;
    std::map<const Json *, Graph> graphs_;
    std::map<const Json *, Calls> recorded_;
    std::map<const Json *, std::shared_ptr<const std::string>> stopped_;
    std::shared_ptr<const std::string> stopped_root_;
};

void check_given(const Extents &given, const std::vector<Tensor> &stored, const std::string &source) {
    if (stored.size() > 1) {
        throw ShapeError(fmt::format("{}: model_input: expected none, because the model has {} inputs, found {}", source, stored.size(),
                                     shape_text(given)));
    }
    const bool legal = !given.empty() && given.size() <= most_dimensions &&
                       std::all_of(given.begin(), given.end(), [](std::int64_t extent) { return extent == open || extent >= 1; });
    if (!legal) {
        throw ShapeError(
            fmt::format("{}: model_input: expected extents of at least 1, or -1 for an open one, found {}", source, shape_text(given)));
    }
    if (stored.size() == 1 && stored[0].known() && stored[0].shape.size() != given.size()) {
        throw ShapeError(fmt::format("{}: model_input: expected {} dimensions, as {} that the model stores, found {}", source,
                                     stored[0].shape.size(), shape_text(stored[0].shape), shape_text(given)));
    }
}

}  // namespace

std::vector<ReachedShape> input_shapes(const ModelConfig &model, const std::optional<Extents> &model_input, const std::string &source) {
    Walk walk;
    std::vector<Tensor> inputs = walk.stored_inputs(*model.root);
    if (model_input) {
        check_given(*model_input, inputs, source);
        inputs = {{*model_input, nullptr}};
    } else if (inputs.empty()) {
        inputs = {unknown("the model stores no shape of its input")};
    }
    walk.call({*model.root, nullptr}, inputs, nothing);
    std::vector<ReachedShape> shapes;
    shapes.reserve(model.layers.size());
    for (const ConfiguredLayer &layer : model.layers) shapes.push_back(walk.reached(layer));
    return shapes;
}

}  // namespace sepconv::io
