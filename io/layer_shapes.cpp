// The table of stock layers, a row for each, and the rules that its rows name. Every rule is Keras' own compute_output_shape with open
// extents left open; sums and products are checked, since a file may hold any number.
#include "layer_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "message.h"
#include "sepconv/config.h"

namespace sepconv::io {

namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
// Rules that read letters stop here; an equation has a letter for each of at most 16 dimensions, three times.
constexpr std::size_t longest_equation = 64;

std::int64_t sum(std::int64_t a, std::int64_t b) {
    if (a == open || b == open) return open;
    if (b > most - a) throw UnknownShape{"its output has an extent that no 64 bits hold"};
    return a + b;
}

std::int64_t product(std::int64_t a, std::int64_t b) {
    if (a == open || b == open) return open;
    if (a != 0 && b > most / a) throw UnknownShape{"its output has an extent that no 64 bits hold"};
    return a * b;
}

std::optional<std::int64_t> integer(const Json &value) {
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t(most))) return std::nullopt;
    return value.get<std::int64_t>();
}

// What a message shows of an argument.
std::string found(const Json *value) {
    if (value == nullptr) return "none";
    if (const auto number = integer(*value)) return std::to_string(*number);
    return kind(*value);
}

// One row's call: its arguments with their defaults, each checked where it is read.
struct Call {
    const Json &config;
    const Json &arguments;
    const std::vector<Extents> &inputs;
    std::size_t spatial = 0;  // the row's count of spatial dimensions

    const Json *find(const char *key) const {
        const Json *value = member(config, key);
        return value == nullptr ? member(arguments, key) : value;
    }

    [[noreturn]] static void fail(const char *key, std::string_view expected, const Json *value) {
        throw UnknownShape{fmt::format("{}: expected {}, found {}", key, expected, found(value))};
    }

    std::int64_t number(const char *key, std::int64_t least, std::optional<std::int64_t> otherwise = std::nullopt) const {
        const Json *value = find(key);
        if ((value == nullptr || value->is_null()) && otherwise) return *otherwise;
        const auto number = value == nullptr ? std::nullopt : integer(*value);
        if (!number || *number < least) fail(key, fmt::format("an integer of at least {}", least), value);
        return *number;
    }

    // One for all spatial dimensions, or one for each.
    std::vector<std::int64_t> numbers(const char *key, std::int64_t least, std::optional<std::int64_t> otherwise = std::nullopt) const {
        const Json *value = find(key);
        if (value == nullptr || !value->is_array()) return std::vector<std::int64_t>(spatial, number(key, least, otherwise));
        std::vector<std::int64_t> all;
        if (value->size() == spatial) {
            for (const Json &each : *value) {
                if (const auto number = integer(each); number && *number >= least) all.push_back(*number);
            }
        }
        if (all.size() != spatial) fail(key, fmt::format("{} integers of at least {}", spatial, least), value);
        return all;
    }

    // What is added or removed on both sides of each spatial dimension together: 1, [1, 1] or [[0, 1], [0, 1]]. Of a single dimension
    // the two numbers are its two sides.
    std::vector<std::int64_t> both_sides(const char *key) const {
        const Json *value = find(key);
        const std::string expected = fmt::format("padding of {} dimensions", spatial);
        const auto side = [&](const Json &each) {
            const auto number = integer(each);
            if (!number || *number < 0) fail(key, expected, value);
            return *number;
        };
        const auto sides = [&](const Json &pair) {
            if (!pair.is_array()) return product(2, side(pair));
            if (pair.size() != 2) fail(key, expected, value);
            return sum(side(pair[0]), side(pair[1]));
        };
        if (value == nullptr) fail(key, expected, value);
        if (!value->is_array()) return std::vector<std::int64_t>(spatial, sides(*value));
        if (spatial == 1 && value->size() == 2) return {sides(*value)};
        if (value->size() != spatial) fail(key, expected, value);
        std::vector<std::int64_t> all;
        for (const Json &each : *value) all.push_back(sides(each));
        return all;
    }

    bool flag(const char *key) const {
        const Json *value = find(key);
        return value != nullptr && value->is_boolean() && value->get<bool>();
    }

    bool channels_first() const {
        const Json *value = find("data_format");
        if (value == nullptr || value->is_null() || *value == "channels_last") return false;
        if (*value != "channels_first") fail("data_format", "channels_first or channels_last", value);
        return true;
    }

    const Extents &input() const {
        if (inputs.empty()) throw UnknownShape{"expected an input, found none"};
        return inputs.front();
    }

    // The input of a layer for images of the row's count of dimensions.
    const Extents &image() const {
        if (input().size() != spatial + 2) {
            throw UnknownShape{fmt::format("expected an input of {} dimensions, found {}", spatial + 2, shape_text(input()))};
        }
        return input();
    }

    std::size_t first_spatial() const { return channels_first() ? 2 : 1; }
    std::size_t channels() const { return channels_first() ? 1 : spatial + 1; }
};

std::size_t axis_in(std::int64_t axis, std::size_t dimensions) {
    const auto count = static_cast<std::int64_t>(dimensions);
    if (axis < -count || axis >= count) throw UnknownShape{fmt::format("axis: expected one of {} dimensions, found {}", count, axis)};
    return static_cast<std::size_t>(axis < 0 ? axis + count : axis);
}

Extents unchanged(const Call &call) { return call.input(); }

// Windows

std::int64_t windows(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, Padding padding) {
    if (input == open) return open;
    const std::int64_t output = fit_window(input, kernel, stride, dilation, padding).output;
    if (output < 1) throw UnknownShape{fmt::format("a window of {} with dilation {} does not fit {}", kernel, dilation, input)};
    return output;
}

Padding padding_of(const Call &call) {
    const Json *value = call.find("padding");
    if (value == nullptr || *value == "valid") return Padding::valid;
    // Causal padding is all before the first element, of which there then are as many outputs.
    if (*value == "same" || *value == "causal") return Padding::same;
    Call::fail("padding", "valid, same or causal", value);
}

Extents window_layer(const Call &call, const char *window, std::optional<std::int64_t> channels) {
    Extents output = call.image();
    const std::vector<std::int64_t> kernel = call.numbers(window, 1);
    const Json *strides_given = call.find("strides");
    const bool no_strides = strides_given == nullptr || strides_given->is_null();
    const bool pooling = !channels;
    const std::vector<std::int64_t> strides = pooling && no_strides ? kernel : call.numbers("strides", 1, 1);
    const std::vector<std::int64_t> dilation = pooling ? std::vector<std::int64_t>(call.spatial, 1) : call.numbers("dilation_rate", 1, 1);
    const Padding padding = padding_of(call);
    for (std::size_t d = 0; d < call.spatial; ++d) {
        std::int64_t &extent = output[call.first_spatial() + d];
        extent = windows(extent, kernel[d], strides[d], dilation[d], padding);
    }
    if (channels) output[call.channels()] = *channels;
    return output;
}

Extents convolution(const Call &call) { return window_layer(call, "kernel_size", call.number("filters", 1)); }

Extents depthwise(const Call &call) {
    return window_layer(call, "kernel_size", product(call.image()[call.channels()], call.number("depth_multiplier", 1, 1)));
}

Extents pooling(const Call &call) { return window_layer(call, "pool_size", std::nullopt); }

Extents transposed_convolution(const Call &call) {
    Extents output = call.image();
    const std::vector<std::int64_t> kernel = call.numbers("kernel_size", 1), strides = call.numbers("strides", 1, 1),
                                    dilation = call.numbers("dilation_rate", 1, 1);
    const Json *given = call.find("output_padding");
    std::optional<std::vector<std::int64_t>> more;
    if (given != nullptr && !given->is_null()) more = call.numbers("output_padding", 0);
    const bool valid = padding_of(call) == Padding::valid;
    for (std::size_t d = 0; d < call.spatial; ++d) {
        std::int64_t &extent = output[call.first_spatial() + d];
        if (extent == open) continue;
        const std::int64_t span = sum(product(kernel[d] - 1, dilation[d]), 1);
        if (!valid && !more) {
            extent = product(extent, strides[d]);
            continue;
        }
        // Without an output_padding, valid windows cover whole strides.
        const std::int64_t last = valid ? span : span % 2;
        const std::int64_t added = more ? (*more)[d] : std::max<std::int64_t>(strides[d] - span, 0);
        extent = sum(product(extent - 1, strides[d]), sum(last, added));
        if (extent < 1) throw UnknownShape{"its output has no rows or no columns"};
    }
    output[call.channels()] = call.number("filters", 1);
    return output;
}

Extents global_pooling(const Call &call) {
    Extents output = call.image();
    const auto first = output.begin() + static_cast<std::ptrdiff_t>(call.first_spatial());
    const auto last = first + static_cast<std::ptrdiff_t>(call.spatial);
    if (call.flag("keepdims")) {
        std::fill(first, last, 1);
    } else {
        output.erase(first, last);
    }
    return output;
}

Extents adaptive_pooling(const Call &call) {
    Extents output = call.image();
    const std::vector<std::int64_t> size = call.numbers("output_size", 1);
    std::copy(size.begin(), size.end(), output.begin() + static_cast<std::ptrdiff_t>(call.first_spatial()));
    return output;
}

// Images

Extents zero_padding(const Call &call) {
    Extents output = call.image();
    const std::vector<std::int64_t> added = call.both_sides("padding");
    for (std::size_t d = 0; d < call.spatial; ++d) {
        std::int64_t &extent = output[call.first_spatial() + d];
        extent = sum(extent, added[d]);
    }
    return output;
}

Extents cropping(const Call &call) {
    Extents output = call.image();
    const std::vector<std::int64_t> removed = call.both_sides("cropping");
    for (std::size_t d = 0; d < call.spatial; ++d) {
        std::int64_t &extent = output[call.first_spatial() + d];
        if (extent == open) continue;
        if (removed[d] >= extent) throw UnknownShape{fmt::format("cropping: expected less than {}, found {}", extent, removed[d])};
        extent -= removed[d];
    }
    return output;
}

Extents up_sampling(const Call &call) {
    Extents output = call.image();
    const std::vector<std::int64_t> size = call.numbers("size", 1);
    for (std::size_t d = 0; d < call.spatial; ++d) {
        std::int64_t &extent = output[call.first_spatial() + d];
        extent = product(extent, size[d]);
    }
    return output;
}

// Resizing and the crops take an image with or without a batch.
Extents resized(const Call &call, std::int64_t height, std::int64_t width) {
    Extents output = call.input();
    if (output.size() != 3 && output.size() != 4) {
        throw UnknownShape{fmt::format("expected an input of 3 or 4 dimensions, found {}", shape_text(output))};
    }
    const std::size_t rows = output.size() - (call.channels_first() ? 2 : 3);
    output[rows] = height;
    output[rows + 1] = width;
    return output;
}

Extents resizing(const Call &call) { return resized(call, call.number("height", 1), call.number("width", 1)); }

Extents random_extent(const Call &call, std::size_t from_end) {
    Extents output = call.input();
    if (output.size() < from_end) throw UnknownShape{fmt::format("expected an image, found {}", shape_text(output))};
    output[output.size() - from_end] = open;
    return output;
}

Extents random_height(const Call &call) { return random_extent(call, 3); }
Extents random_width(const Call &call) { return random_extent(call, 2); }

// Several inputs

// Dimensions count from the last one; an extent of 1 is repeated. One that is open may be 1 or the other's.
Extents broadcast(const std::vector<Extents> &inputs) {
    Extents output;
    for (const Extents &input : inputs) {
        if (input.size() > output.size()) output.insert(output.begin(), input.size() - output.size(), 1);
        const std::size_t offset = output.size() - input.size();
        for (std::size_t d = 0; d < input.size(); ++d) {
            std::int64_t &extent = output[offset + d];
            if (extent == 1) {
                extent = input[d];
            } else if (extent == open) {
                if (input[d] != 1) extent = input[d];
            } else if (input[d] != 1 && input[d] != open && input[d] != extent) {
                throw UnknownShape{fmt::format("expected inputs that broadcast, found {} with {}", shape_text(output), shape_text(input))};
            }
        }
    }
    return output;
}

Extents elementwise(const Call &call) {
    call.input();
    return broadcast(call.inputs);
}

// The merging layers take the batch apart: an input of fewer dimensions gets those that it lacks behind the batch.
Extents merge(const Call &call) {
    std::vector<Extents> inputs = call.inputs;
    std::size_t dimensions = call.input().size();
    for (const Extents &input : inputs) dimensions = std::max(dimensions, input.size());
    for (Extents &input : inputs) {
        if (input.empty()) throw UnknownShape{"expected inputs with a batch, found a scalar"};
        input.insert(input.begin() + 1, dimensions - input.size(), 1);
    }
    return broadcast(inputs);
}

Extents concatenate(const Call &call) {
    Extents output = call.input();
    const std::size_t axis = axis_in(call.number("axis", -std::int64_t(most_dimensions), -1), output.size());
    for (std::size_t i = 1; i < call.inputs.size(); ++i) {
        const Extents &input = call.inputs[i];
        bool fits = input.size() == output.size();
        for (std::size_t d = 0; fits && d < output.size(); ++d) {
            if (d == axis) {
                output[d] = sum(output[d], input[d]);
            } else if (output[d] == open) {
                output[d] = input[d];
            } else {
                fits = input[d] == open || input[d] == output[d];
            }
        }
        if (!fits) {
            throw UnknownShape{fmt::format("expected inputs that differ in dimension {} only, found {} with {}", axis,
                                           shape_text(call.inputs[0]), shape_text(input))};
        }
    }
    return output;
}

Extents dot(const Call &call) {
    if (call.inputs.size() != 2) throw UnknownShape{fmt::format("expected two inputs, found {}", call.inputs.size())};
    Extents first = call.inputs[0], second = call.inputs[1];
    const Json *axes = call.find("axes");
    std::array<std::int64_t, 2> axis = {};
    if (axes != nullptr && axes->is_array()) {
        const auto a = axes->size() == 2 ? integer((*axes)[0]) : std::nullopt, b = axes->size() == 2 ? integer((*axes)[1]) : std::nullopt;
        if (!a || !b) Call::fail("axes", "one integer or two", axes);
        axis = {*a, *b};
    } else {
        axis.fill(call.number("axes", -std::int64_t(most_dimensions)));
    }
    const std::size_t of_first = axis_in(axis[0], first.size()), of_second = axis_in(axis[1], second.size());
    if (of_first == 0 || of_second == 0) Call::fail("axes", "none that is the batch", axes);
    first.erase(first.begin() + static_cast<std::ptrdiff_t>(of_first));
    second.erase(second.begin() + static_cast<std::ptrdiff_t>(of_second));
    if (first[0] == open) first[0] = second[0];
    first.insert(first.end(), second.begin() + 1, second.end());
    if (first.size() == 1) first.push_back(1);
    return first;
}

Extents attention(const Call &call) {
    if (call.inputs.size() < 2) throw UnknownShape{fmt::format("expected a query and a value, found {} inputs", call.inputs.size())};
    Extents output = call.inputs[0];
    if (output.empty() || call.inputs[1].empty()) throw UnknownShape{"expected a query and a value, found a scalar"};
    output.back() = call.inputs[1].back();
    return output;
}

Extents multi_head_attention(const Call &call) {
    Extents output = call.input();
    const Json *given = call.find("output_shape");
    if (given == nullptr || given->is_null()) return output;
    if (output.empty()) throw UnknownShape{"expected a query, found a scalar"};
    const auto last = given->is_number() ? Extents{call.number("output_shape", 1)} : read_shape(*given).value_or(Extents());
    if (last.empty()) Call::fail("output_shape", "a shape", given);
    output.pop_back();
    output.insert(output.end(), last.begin(), last.end());
    return output;
}

// Other forms of the same values

// The new extents of `elements` values in all, of which at most one is -1, or open where it does not follow from the others.
Extents reshaped(const Extents &input, const Json *target, const char *key) {
    if (target == nullptr || !target->is_array() || target->size() > most_dimensions) {
        Call::fail(key, "a list of integers", target);
    }
    Extents output;
    std::int64_t rest = 1, elements = 1;
    for (const std::int64_t extent : input) elements = product(elements, extent);
    std::optional<std::size_t> free;
    for (const Json &each : *target) {
        const auto extent = integer(each);
        if (!extent || *extent < -1 || (*extent == -1 && free)) Call::fail(key, "integers, at most one of them -1", &each);
        if (*extent == -1) {
            free = output.size();
        } else {
            rest = product(rest, *extent);
        }
        output.push_back(*extent);
    }
    if (elements == open) return output;
    if (free && rest > 0 && elements % rest == 0) {
        output[*free] = elements / rest;
    } else if (free || elements != rest) {
        throw UnknownShape{fmt::format("{}: expected {} values in all, found {}", key, elements, shape_text(output))};
    }
    return output;
}

Extents with_batch(const Extents &input, const Extents &rest) {
    Extents output = {input.front()};
    output.insert(output.end(), rest.begin(), rest.end());
    return output;
}

const Extents &batched(const Call &call) {
    if (call.input().empty()) throw UnknownShape{"expected an input with a batch, found a scalar"};
    return call.input();
}

Extents flatten(const Call &call) {
    const Extents &input = batched(call);
    std::int64_t elements = 1;
    for (std::size_t d = 1; d < input.size(); ++d) elements = product(elements, input[d]);
    return {input[0], elements};
}

Extents reshape(const Call &call) {
    const Extents &input = batched(call);
    return with_batch(input, reshaped({input.begin() + 1, input.end()}, call.find("target_shape"), "target_shape"));
}

// `list` names each dimension of the input once, counted from `first`.
Extents permuted(const Extents &input, const Json *list, const char *key, std::int64_t first) {
    std::vector<bool> taken(input.size(), false);
    Extents output;
    if (list != nullptr && list->is_array() && list->size() == input.size()) {
        for (const Json &each : *list) {
            const auto number = integer(each);
            if (!number || *number < first || *number - first >= std::int64_t(input.size())) break;
            const auto dimension = static_cast<std::size_t>(*number - first);
            if (taken[dimension]) break;
            taken[dimension] = true;
            output.push_back(input[dimension]);
        }
    }
    if (list == nullptr || output.size() != input.size()) {
        Call::fail(key, fmt::format("each of {} dimensions once", input.size()), list);
    }
    return output;
}

Extents permute(const Call &call) {
    const Extents &input = batched(call);
    return with_batch(input, permuted({input.begin() + 1, input.end()}, call.find("dims"), "dims", 1));
}

Extents repeat_vector(const Call &call) {
    if (call.input().size() != 2) throw UnknownShape{fmt::format("expected an input of 2 dimensions, found {}", shape_text(call.input()))};
    return {call.input()[0], call.number("n", 1), call.input()[1]};
}

Extents dense(const Call &call) {
    Extents output = batched(call);
    output.back() = call.number("units", 1);
    return output;
}

Extents embedding(const Call &call) {
    Extents output = call.input();
    output.push_back(call.number("output_dim", 1));
    return output;
}

// equation is input,kernel->output with a letter for each dimension, "..." before or behind them for those that stay; output_shape has
// what is no dimension of the input.
Extents einsum_dense(const Call &call) {
    const Json *given = call.find("equation");
    const std::string_view equation = string_member(call.config, "equation");
    const std::size_t comma = equation.find(','), arrow = equation.find("->");
    if (equation.size() > longest_equation || comma == std::string_view::npos || arrow == std::string_view::npos || arrow < comma) {
        Call::fail("equation", "input,kernel->output", given);
    }
    std::string_view input = equation.substr(0, comma), output = equation.substr(arrow + 2);
    constexpr std::string_view dots = "...";
    const bool left = input.starts_with(dots) && output.starts_with(dots), right = input.ends_with(dots) && output.ends_with(dots);
    if (left) {
        input.remove_prefix(dots.size());
        output.remove_prefix(dots.size());
    } else if (right) {
        input.remove_suffix(dots.size());
        output.remove_suffix(dots.size());
    }
    const Extents &shape = batched(call);
    if (input.size() > shape.size() || (!left && !right && input.size() != shape.size()) || output.size() > most_dimensions) {
        Call::fail("equation", fmt::format("one of {} dimensions", shape.size()), given);
    }
    const std::size_t elided = shape.size() - input.size();
    // Keras' output_shape is without the batch and without what the dots stand for.
    const Json *partial = call.find("output_shape");
    const Extents given_shape = partial == nullptr     ? Extents()
                                : partial->is_number() ? Extents{call.number("output_shape", 1)}
                                                       : read_shape(*partial).value_or(Extents());
    const std::size_t batch = left && elided > 0 ? 0 : 1;
    if (given_shape.size() + batch != output.size()) {
        Call::fail("output_shape", fmt::format("{} extents", output.size() - std::min(batch, output.size())), partial);
    }
    Extents named;
    for (std::size_t i = 0; i < output.size(); ++i) {
        const std::size_t at = input.find(output[i]);
        named.push_back(at != std::string_view::npos ? shape[at + (left ? elided : 0)] : i < batch ? shape[0] : given_shape[i - batch]);
    }
    const auto dotted = static_cast<std::ptrdiff_t>(elided);
    if (left) named.insert(named.begin(), shape.begin(), shape.begin() + dotted);
    if (right && !left) named.insert(named.end(), shape.end() - dotted, shape.end());
    return named;
}

// Sequences

const Extents &sequence(const Call &call) {
    if (call.input().size() != 3) throw UnknownShape{fmt::format("expected an input of 3 dimensions, found {}", shape_text(call.input()))};
    return call.input();
}

Extents recurrent(const Call &call) {
    const Extents &input = sequence(call);
    const std::int64_t units = call.number("units", 1);
    return call.flag("return_sequences") ? Extents{input[0], input[1], units} : Extents{input[0], units};
}

Extents recurrent_convolution(const Call &call) {
    Extents step = call.input();
    if (step.size() != call.spatial + 3) {
        throw UnknownShape{fmt::format("expected an input of {} dimensions, found {}", call.spatial + 3, shape_text(step))};
    }
    const std::int64_t steps = step[1];
    step.erase(step.begin() + 1);
    const std::vector<Extents> inputs = {step};
    Extents output = convolution({call.config, call.arguments, inputs, call.spatial});
    if (call.flag("return_sequences")) output.insert(output.begin() + 1, steps);
    return output;
}

Extents bidirectional(const Call &call) {
    const Json *layer = call.find("layer");
    if (layer == nullptr) throw UnknownShape{"expected a layer in its config, found none"};
    const std::string_view inner = string_member(*layer, "class_name");
    if (inner != "LSTM" && inner != "GRU" && inner != "SimpleRNN") {
        throw UnknownShape{fmt::format("expected an LSTM, GRU or SimpleRNN in it, found {}", in_quotes(inner))};
    }
    const Json *config = member(*layer, "config");
    if (config == nullptr) throw UnknownShape{"expected a config of its layer, found none"};
    Extents output = recurrent({*config, call.arguments, call.inputs});
    const Json *mode = call.find("merge_mode");
    if (mode != nullptr && mode->is_null()) throw UnknownShape{"merge_mode: expected one output, found two"};
    if (mode == nullptr || *mode == "concat") output.back() = product(output.back(), 2);
    return output;
}

// Operations

Extents reduced(const Call &call) {
    const Extents &input = call.input();
    std::vector<bool> gone(input.size(), false);
    const Json *axis = call.find("axis");
    const auto take = [&](const Json &each) {
        const auto number = integer(each);
        if (!number) Call::fail("axis", "integers", axis);
        gone[axis_in(*number, input.size())] = true;
    };
    if (axis == nullptr || axis->is_null()) {
        gone.assign(input.size(), true);
    } else if (axis->is_array()) {
        for (const Json &each : *axis) take(each);
    } else {
        take(*axis);
    }
    Extents output;
    for (std::size_t d = 0; d < input.size(); ++d) {
        if (!gone[d]) output.push_back(input[d]);
        if (gone[d] && call.flag("keepdims")) output.push_back(1);
    }
    return output;
}

Extents reshape_operation(const Call &call) { return reshaped(call.input(), call.find("newshape"), "newshape"); }
Extents reshape_function(const Call &call) { return reshaped(call.input(), call.find("shape"), "shape"); }

Extents transposed(const Call &call, const char *key) {
    const Json *axes = call.find(key);
    if (axes == nullptr || axes->is_null()) return {call.input().rbegin(), call.input().rend()};
    return permuted(call.input(), axes, key, 0);
}

Extents transpose_operation(const Call &call) { return transposed(call, "axes"); }
Extents transpose_function(const Call &call) { return transposed(call, "perm"); }

Extents expanded(const Call &call) {
    Extents output = call.input();
    const std::size_t axis = axis_in(call.number("axis", -std::int64_t(most_dimensions)), output.size() + 1);
    output.insert(output.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    return output;
}

Extents padded(const Call &call, const char *key) {
    Extents output = call.input();
    const Json *pairs = call.find(key);
    if (pairs == nullptr || !pairs->is_array() || pairs->size() != output.size()) {
        Call::fail(key, fmt::format("a pair for each of {} dimensions", output.size()), pairs);
    }
    for (std::size_t d = 0; d < output.size(); ++d) {
        const Json &pair = (*pairs)[d];
        const auto before = pair.is_array() && pair.size() == 2 ? integer(pair[0]) : std::nullopt;
        const auto after = before ? integer(pair[1]) : std::nullopt;
        if (!before || !after || *before < 0 || *after < 0) Call::fail(key, "two integers of at least 0", &pair);
        output[d] = sum(output[d], sum(*before, *after));
    }
    return output;
}

Extents pad_operation(const Call &call) { return padded(call, "pad_width"); }
Extents pad_function(const Call &call) { return padded(call, "paddings"); }

Extents resize(const Call &call) {
    const Json *size = call.find("size");
    const auto extents = size == nullptr ? std::nullopt : read_shape(*size);
    if (!extents || extents->size() != 2) Call::fail("size", "two integers", size);
    return resized(call, (*extents)[0], (*extents)[1]);
}

// The table

using Rule = Extents (*)(const Call &call);

struct Row {
    std::string_view name;
    Rule rule;
    std::size_t spatial = 0;
};

// By class_name.
constexpr Row layers[] = {
    {"Conv1D", convolution, 1},
    {"Conv2D", convolution, 2},
    {"Conv3D", convolution, 3},
    {"SeparableConv1D", convolution, 1},
    {"SeparableConv2D", convolution, 2},
    {"SeparableConvolution2D", convolution, 2},
    {"LocallyConnected1D", convolution, 1},
    {"LocallyConnected2D", convolution, 2},
    {"DepthwiseConv1D", depthwise, 1},
    {"DepthwiseConv2D", depthwise, 2},
    {"Conv1DTranspose", transposed_convolution, 1},
    {"Conv2DTranspose", transposed_convolution, 2},
    {"Conv3DTranspose", transposed_convolution, 3},

    {"MaxPooling1D", pooling, 1},
    {"MaxPooling2D", pooling, 2},
    {"MaxPooling3D", pooling, 3},
    {"AveragePooling1D", pooling, 1},
    {"AveragePooling2D", pooling, 2},
    {"AveragePooling3D", pooling, 3},
    {"GlobalMaxPooling1D", global_pooling, 1},
    {"GlobalMaxPooling2D", global_pooling, 2},
    {"GlobalMaxPooling3D", global_pooling, 3},
    {"GlobalAveragePooling1D", global_pooling, 1},
    {"GlobalAveragePooling2D", global_pooling, 2},
    {"GlobalAveragePooling3D", global_pooling, 3},
    {"AdaptiveMaxPooling1D", adaptive_pooling, 1},
    {"AdaptiveMaxPooling2D", adaptive_pooling, 2},
    {"AdaptiveMaxPooling3D", adaptive_pooling, 3},
    {"AdaptiveAveragePooling1D", adaptive_pooling, 1},
    {"AdaptiveAveragePooling2D", adaptive_pooling, 2},
    {"AdaptiveAveragePooling3D", adaptive_pooling, 3},

    {"ZeroPadding1D", zero_padding, 1},
    {"ZeroPadding2D", zero_padding, 2},
    {"ZeroPadding3D", zero_padding, 3},
    {"Cropping1D", cropping, 1},
    {"Cropping2D", cropping, 2},
    {"Cropping3D", cropping, 3},
    {"UpSampling1D", up_sampling, 1},
    {"UpSampling2D", up_sampling, 2},
    {"UpSampling3D", up_sampling, 3},
    {"Resizing", resizing},
    {"CenterCrop", resizing},
    {"RandomCrop", resizing},
    {"RandomHeight", random_height},
    {"RandomWidth", random_width},

    {"Add", merge},
    {"Subtract", merge},
    {"Multiply", merge},
    {"Average", merge},
    {"Maximum", merge},
    {"Minimum", merge},
    {"Concatenate", concatenate},
    {"Dot", dot},

    {"Flatten", flatten},
    {"Reshape", reshape},
    {"Permute", permute},
    {"RepeatVector", repeat_vector},
    {"Dense", dense},
    {"EinsumDense", einsum_dense},
    {"Embedding", embedding},

    {"LSTM", recurrent},
    {"GRU", recurrent},
    {"SimpleRNN", recurrent},
    {"ConvLSTM1D", recurrent_convolution, 1},
    {"ConvLSTM2D", recurrent_convolution, 2},
    {"ConvLSTM3D", recurrent_convolution, 3},
    {"Bidirectional", bidirectional},
    {"Attention", attention},
    {"AdditiveAttention", attention},
    {"MultiHeadAttention", multi_head_attention},
    {"GroupedQueryAttention", unchanged},
    {"GroupQueryAttention", unchanged},

    {"Activation", unchanged},
    {"ActivityRegularization", unchanged},
    {"AlphaDropout", unchanged},
    {"BatchNormalization", unchanged},
    {"Dropout", unchanged},
    {"ELU", unchanged},
    {"GaussianDropout", unchanged},
    {"GaussianNoise", unchanged},
    {"GroupNormalization", unchanged},
    {"Identity", unchanged},
    {"LayerNormalization", unchanged},
    {"LeakyReLU", unchanged},
    {"Masking", unchanged},
    {"Normalization", unchanged},
    {"PReLU", unchanged},
    {"RMSNormalization", unchanged},
    {"ReLU", unchanged},
    {"Rescaling", unchanged},
    {"Softmax", unchanged},
    {"SpatialDropout1D", unchanged},
    {"SpatialDropout2D", unchanged},
    {"SpatialDropout3D", unchanged},
    {"SyncBatchNormalization", unchanged},
    {"ThresholdedReLU", unchanged},
    {"UnitNormalization", unchanged},

    {"AugMix", unchanged},
    {"AutoContrast", unchanged},
    {"ContrastLimitedAdaptiveHistogramEqualization", unchanged},
    {"Equalization", unchanged},
    {"RandAugment", unchanged},
    {"RandomBrightness", unchanged},
    {"RandomColorDegeneration", unchanged},
    {"RandomColorJitter", unchanged},
    {"RandomContrast", unchanged},
    {"RandomElasticTransform", unchanged},
    {"RandomErasing", unchanged},
    {"RandomFlip", unchanged},
    {"RandomGaussianBlur", unchanged},
    {"RandomGrayscale", unchanged},
    {"RandomHue", unchanged},
    {"RandomInvert", unchanged},
    {"RandomPerspective", unchanged},
    {"RandomPosterization", unchanged},
    {"RandomRotation", unchanged},
    {"RandomSaturation", unchanged},
    {"RandomSharpness", unchanged},
    {"RandomShear", unchanged},
    {"RandomTranslation", unchanged},
    {"RandomZoom", unchanged},
    {"Solarization", unchanged},
};

// Of Keras 3, by class_name, where the module is keras.src.ops.
constexpr Row operations[] = {
    {"Absolute", unchanged},
    {"Cast", unchanged},
    {"Clip", unchanged},
    {"Elu", unchanged},
    {"Erf", unchanged},
    {"Exp", unchanged},
    {"Expm1", unchanged},
    {"Gelu", unchanged},
    {"HardSigmoid", unchanged},
    {"HardSilu", unchanged},
    {"LeakyRelu", unchanged},
    {"Log", unchanged},
    {"Log1p", unchanged},
    {"LogSigmoid", unchanged},
    {"LogSoftmax", unchanged},
    {"Negative", unchanged},
    {"Reciprocal", unchanged},
    {"Relu", unchanged},
    {"Relu6", unchanged},
    {"Round", unchanged},
    {"Rsqrt", unchanged},
    {"Selu", unchanged},
    {"Sigmoid", unchanged},
    {"Sign", unchanged},
    {"Silu", unchanged},
    {"Softmax", unchanged},
    {"Softplus", unchanged},
    {"Softsign", unchanged},
    {"Sqrt", unchanged},
    {"Square", unchanged},
    {"StopGradient", unchanged},
    {"Tanh", unchanged},

    {"Add", elementwise},
    {"Divide", elementwise},
    {"FloorDivide", elementwise},
    {"Maximum", elementwise},
    {"Minimum", elementwise},
    {"Mod", elementwise},
    {"Multiply", elementwise},
    {"Power", elementwise},
    {"Subtract", elementwise},
    {"TrueDivide", elementwise},

    {"Amax", reduced},
    {"Amin", reduced},
    {"Max", reduced},
    {"Mean", reduced},
    {"Min", reduced},
    {"Prod", reduced},
    {"Sum", reduced},
    {"Std", reduced},
    {"Var", reduced},

    {"Concatenate", concatenate},
    {"ExpandDims", expanded},
    {"Pad", pad_operation},
    {"Reshape", reshape_operation},
    {"Resize", resize},
    {"Transpose", transpose_operation},
};

// Of TensorFlow, by the name in the config of a TFOpLambda.
constexpr Row functions[] = {
    {"cast", unchanged},
    {"clip_by_value", unchanged},
    {"identity", unchanged},
    {"math.abs", unchanged},
    {"math.exp", unchanged},
    {"math.log", unchanged},
    {"math.negative", unchanged},
    {"math.rsqrt", unchanged},
    {"math.sigmoid", unchanged},
    {"math.softplus", unchanged},
    {"math.sqrt", unchanged},
    {"math.square", unchanged},
    {"math.tanh", unchanged},
    {"nn.elu", unchanged},
    {"nn.gelu", unchanged},
    {"nn.leaky_relu", unchanged},
    {"nn.relu", unchanged},
    {"nn.relu6", unchanged},
    {"nn.selu", unchanged},
    {"nn.sigmoid", unchanged},
    {"nn.silu", unchanged},
    {"nn.softmax", unchanged},
    {"nn.softplus", unchanged},
    {"nn.swish", unchanged},
    {"nn.tanh", unchanged},
    {"stop_gradient", unchanged},

    {"__operators__.add", elementwise},
    {"math.add", elementwise},
    {"math.divide", elementwise},
    {"math.floordiv", elementwise},
    {"math.maximum", elementwise},
    {"math.minimum", elementwise},
    {"math.multiply", elementwise},
    {"math.pow", elementwise},
    {"math.squared_difference", elementwise},
    {"math.subtract", elementwise},
    {"math.truediv", elementwise},

    {"math.reduce_max", reduced},
    {"math.reduce_mean", reduced},
    {"math.reduce_min", reduced},
    {"math.reduce_sum", reduced},

    {"compat.v1.pad", pad_function},
    {"compat.v1.transpose", transpose_function},
    {"concat", concatenate},
    {"expand_dims", expanded},
    {"image.resize", resize},
    {"pad", pad_function},
    {"reshape", reshape_function},
    {"transpose", transpose_function},
};

template <std::size_t rows>
const Row *find(const Row (&table)[rows], std::string_view name) {
    const Row *row = std::find_if(std::begin(table), std::end(table), [&](const Row &each) { return each.name == name; });
    return row == std::end(table) ? nullptr : row;
}

bool is_keras_operation(const Json &layer) {
    const std::string_view module = string_member(layer, "module");
    return module.starts_with("keras.src.ops") || module.starts_with("keras.ops");
}

bool is_function(const Json &layer) { return string_member(layer, "class_name") == "TFOpLambda"; }

const Row *row_of(const Json &layer) {
    const Json *config = member(layer, "config");
    if (config == nullptr) return nullptr;
    if (is_function(layer)) return find(functions, string_member(*config, "function"));
    const std::string_view class_name = string_member(layer, "class_name");
    if (is_keras_operation(layer)) return find(operations, class_name);
    return is_of_keras(layer) ? find(layers, class_name) : nullptr;
}

// Keras takes an activation for something that keeps the shape, and glu is one.
bool halves_an_axis(const Json &config) {
    const Json *activation = member(config, "activation");
    if (activation == nullptr) return false;
    const Json *name = activation->is_object() ? member(*activation, "config") : activation;
    return name != nullptr && *name == "glu";
}

}  // namespace

// Before Keras 2.11 there are no modules.
bool is_of_keras(const Json &layer) {
    const Json *module = member(layer, "module");
    if (module == nullptr) return true;
    const std::string_view name = string_member(layer, "module");
    return name == "keras" || name.starts_with("keras.") || name.starts_with("tf_keras.") || name.starts_with("tensorflow.");
}

bool has_shape_rule(const Json &layer) { return row_of(layer) != nullptr; }

bool is_operation(const Json &layer) { return is_keras_operation(layer) || is_function(layer); }

std::optional<Extents> read_shape(const Json &value) {
    if (!value.is_array() || value.size() > most_dimensions) return std::nullopt;
    Extents shape;
    for (const Json &each : value) {
        const auto extent = each.is_null() ? open : integer(each).value_or(0);
        if (extent < 1 && extent != open) return std::nullopt;
        shape.push_back(extent);
    }
    return shape;
}

Extents output_shape(const Json &layer, const LayerCall &call) {
    const Row *row = row_of(layer);
    if (row == nullptr) throw UnknownShape{"expected a stock layer, found another"};
    if (halves_an_axis(call.config)) throw UnknownShape{"activation: expected one that keeps the shape, found glu"};
    Extents output = row->rule({call.config, call.arguments, call.inputs, row->spatial});
    if (output.size() > most_dimensions) {
        throw UnknownShape{fmt::format("expected an output of at most {} dimensions, found {}", most_dimensions, output.size())};
    }
    return output;
}

}  // namespace sepconv::io
