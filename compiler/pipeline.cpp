// Instantiates the generators in this process, lowers them, and moves their scratch into a workspace that the caller owns.
#include "pipeline.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>

#include "entry.h"
#include "generators/activated.h"
#include "generators/stages.h"
#include "schedules/known_shape.h"
#include "tools/subcommands.h"
#include "workspace.h"

namespace sepconv::compiler {
namespace {

using namespace Halide;
using Halide::Internal::AbstractGenerator;
using Halide::Internal::AbstractGeneratorPtr;
using Halide::Internal::as_const_int;
using Halide::Internal::GeneratorRegistry;

constexpr std::int64_t cache_line = 64;

std::int64_t aligned(std::int64_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

std::int64_t bytes_of(const Tensor &tensor) {
    std::int64_t bytes = tensor.type.bytes();
    for (const std::int64_t extent : tensor.extents) bytes *= extent;
    return bytes;
}

// A generator's float64 parameter, which takes no word for infinity: a number that becomes infinite as float32.
std::string number(float value) {
    if (std::isinf(value)) return value > 0 ? "1e39" : "-1e39";
    return fmt::format("{}", static_cast<double>(value));
}

// As the generators call it: Keras has one name for two functions twice.
std::string activation_name(ActivationKind kind) {
    if (kind == ActivationKind::hard_sigmoid_keras2) return "hard_sigmoid_keras2";
    if (kind == ActivationKind::gelu_approximate) return "gelu_approximate";
    return std::string(name(kind));
}

AbstractGeneratorPtr make_generator(const std::string &name, const Request &request, const Halide::Target &target, const Form &form,
                                    Strides strides) {
    AutoschedulerParams autoscheduler;
    if (!request.schedule.empty()) {
        autoscheduler.name = request.schedule;
        autoscheduler.extra["parallelism"] = std::to_string(std::max(1, request.tasks));
    }
    AbstractGeneratorPtr generator = GeneratorRegistry::create(name, GeneratorContext(target, autoscheduler));
    for (const auto &[parameter, value] : generator_parameters(request, form)) generator->set_generatorparam_value(parameter, value);
    if (form.packed && strides == Strides::open && name == "separable_conv2d") generator->set_generatorparam_value("dense", "false");
    return generator;
}

Argument buffer_argument(const Parameter &parameter) {
    return {parameter.name(), Argument::InputBuffer, parameter.type(), parameter.dimensions(), parameter.get_argument_estimates()};
}

// The extents that a pipeline promises of an output.
std::vector<std::int64_t> extents_of(const Func &output) {
    std::vector<std::int64_t> extents;
    for (int i = 0; i < output.dimensions(); ++i) {
        const auto extent = as_const_int(output.output_buffer().parameter().extent_constraint(i));
        if (!extent) throw tools::Failure(fmt::format("{}: its dimension {} has no known extent", output.name(), i));
        extents.push_back(*extent);
    }
    return extents;
}

// Functions that only round, for weights that are read in Keras' layout.
std::vector<Func> rounded_copies(const std::vector<ImageParam> &from, const Form &form) {
    std::vector<Func> to;
    for (std::size_t i = 0; i < from.size(); ++i) {
        Func copy(form.weights[i].name + "_copy");
        copy(_) = from_memory(to_memory(from[i](_), form.image), form.weights[i].type);
        for (int d = 0; d < copy.dimensions(); ++d) copy.output_buffer().dim(d).set_bounds(0, static_cast<int>(form.weights[i].extents[d]));
        to.push_back(copy);
    }
    return to;
}

std::vector<Tensor> keras_weights(const Request &request) {
    const LayerConfig &config = request.config;
    const std::int64_t channels = extents(request).channels;
    const Type type = sum_type(request);
    return {{"depthwise_kernel", type, {config.depth_multiplier, channels, config.kernel_size[1], config.kernel_size[0]}},
            {"pointwise_kernel", type, {config.filters, channels * config.depth_multiplier}},
            {"bias", type, {config.filters}}};
}

// What packs the weights of a form, not yet compiled: its inputs, in Keras' layout, and its outputs.
struct Packing {
    AbstractGeneratorPtr generator;  // keeps the inputs alive
    std::vector<Parameter> inputs;
    Halide::Pipeline pipeline;
    std::vector<Func> outputs;
};

Packing make_packing(const Request &request, const Halide::Target &target, const Form &form) {
    Packing packing;
    if (form.packed) {
        packing.generator = make_generator("separable_conv2d_packing", request, target, form, Strides::dense);
        packing.pipeline = packing.generator->build_pipeline();
        for (const char *input : {"depthwise_kernel", "pointwise_kernel", "bias"}) {
            packing.inputs.push_back(packing.generator->input_parameter(input).front());
        }
        for (const char *output : {"taps", "panels", "padded_bias"})
            packing.outputs.push_back(packing.generator->output_func(output).front());
    } else {
        std::vector<ImageParam> inputs;
        inputs.reserve(form.weights.size());
        for (const Tensor &tensor : form.weights) inputs.emplace_back(Float(32), static_cast<int>(tensor.extents.size()), tensor.name);
        for (const ImageParam &input : inputs) packing.inputs.push_back(input.parameter());
        packing.outputs = rounded_copies(inputs, form);
        packing.pipeline = Halide::Pipeline(packing.outputs);
    }
    return packing;
}

// Keras' weights as Halide sees them: the same memory, its dimensions in the other order.
std::vector<Buffer<float>> keras_buffers(const Request &request, const StoredWeights &weights) {
    const Array *arrays[] = {&weights.depthwise_kernel, &weights.pointwise_kernel, &weights.bias};
    const std::vector<Tensor> tensors = keras_weights(request);
    std::vector<Buffer<float>> buffers;
    buffers.reserve(std::size(arrays));
    for (std::size_t i = 0; i < std::size(arrays); ++i) {
        Buffer<float> buffer(std::vector<int>(tensors[i].extents.begin(), tensors[i].extents.end()));
        if (arrays[i]->values.empty()) {
            buffer.fill(0);  // no bias
        } else {
            std::memcpy(buffer.data(), arrays[i]->values.data(), buffer.size_in_bytes());
        }
        buffers.push_back(buffer);
    }
    return buffers;
}

KnownShape known_shape(const Request &request, const Halide::Target &target) {
    const LayerConfig &config = request.config;
    const Extents size = extents(request);
    const auto axis = [&](int which, std::int64_t input) {
        const std::int64_t kernel = config.kernel_size[which], stride = config.strides[which], dilation = config.dilation_rate[which];
        const WindowFit fit = input == open ? WindowFit{} : fit_window(input, kernel, stride, dilation, config.padding);
        return KnownAxis{static_cast<int>(input == open ? 0 : input),
                         static_cast<int>(fit.output),
                         static_cast<int>(kernel),
                         static_cast<int>(stride),
                         static_cast<int>(dilation),
                         static_cast<int>(fit.before)};
    };
    return spread_multiplier(
        {axis(1, size.width), axis(0, size.height), static_cast<int>(size.channels), static_cast<int>(config.depth_multiplier),
         static_cast<int>(config.filters), config.data_format == DataFormat::channels_first, image_type(request), sum_type(request)},
        target);
}

// Images of a batch that can be dealt out evenly are computed by a task each: nobody waits inside of one, however small it is.
int image_tasks(const Request &request, const Halide::Target &target) {
    const std::int64_t batch = extents(request).batch;
    if (!request.schedule.empty() || on_gpu(target) || along(request)[0] || batch == open || batch < request.tasks) return 1;
    const std::int64_t most = (batch + request.tasks - 1) / request.tasks;
    constexpr double most_waiting = 0.1;
    const bool even = static_cast<double>(most * request.tasks) <= (1 + most_waiting) * static_cast<double>(batch);
    return even ? request.tasks : 1;
}

// Of the tasks, those that share an image.
int tasks_in_image(const Request &request, int image_tasks) { return image_tasks > 1 ? 1 : request.tasks; }

TileWishes tile_wishes(const Request &request, int image_tasks) { return {tasks_in_image(request, image_tasks), 0, 0, 0, 0}; }

}  // namespace

std::vector<std::pair<std::string, std::string>> generator_parameters(const Request &request, const Form &form) {
    const LayerConfig &config = request.config;
    const Extents size = extents(request);
    const auto sized = [](std::int64_t extent) { return std::to_string(extent == open ? 0 : extent); };
    const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
    std::vector<std::pair<std::string, std::string>> parameters = {
        {"channels_first", flag(config.data_format == DataFormat::channels_first)},
        {"padding", config.padding == Padding::same ? "same" : "valid"},
        {"kernel_height", std::to_string(config.kernel_size[0])},
        {"kernel_width", std::to_string(config.kernel_size[1])},
        {"stride_y", std::to_string(config.strides[0])},
        {"stride_x", std::to_string(config.strides[1])},
        {"dilation_y", std::to_string(config.dilation_rate[0])},
        {"dilation_x", std::to_string(config.dilation_rate[1])},
        {"depth_multiplier", std::to_string(config.depth_multiplier)},
        {"use_bias", flag(config.use_bias)},
        {"activation", activation_name(config.activation.kind)},
        {"a", number(config.activation.a)},
        {"b", number(config.activation.b)},
        {"c", number(config.activation.c)},
        {"height", sized(size.height)},
        {"width", sized(size.width)},
        {"channels", sized(size.channels)},
        {"filters", std::to_string(config.filters)},
    };
    if (!is_elementwise(config.activation.kind)) {
        parameters.emplace_back("axes", fmt::format("{}", fmt::join(config.activation.axes, ",")));
        parameters.emplace_back("batch", form.per_image ? "1" : sized(size.batch));
    }
    if (request.config.dtype == Dtype::float16) {
        parameters.emplace_back("type", "float16");
        parameters.emplace_back("sums", name(request.arithmetic));
    }
    if (form.packed) parameters.emplace_back("packed_weights", "true");
    if (request.schedule.empty() && !form.on_gpu) {
        parameters.emplace_back("threads", std::to_string(tasks_in_image(request, form.image_tasks)));
    }
    return parameters;
}

std::vector<std::pair<std::string, std::int64_t>> tile_sizes(const Request &request, const Halide::Target &target, const Form &form) {
    if (!form.packed) return {};
    const KnownShape shape = known_shape(request, target);
    const KnownTiles tiles = choose_tiles(shape, tile_wishes(request, form.image_tasks), target);
    if (tiles.planes) {
        return {{"tiles", tiles.count},
                {"tile_groups", tiles.tile_groups},
                {"depthwise_lanes", tiles.planes->lanes},
                {"depthwise_rows", tiles.planes->together},
                {"pixel_lanes", tiles.planes->lanes},
                {"pixel_vectors", tiles.planes->vectors},
                {"block_filters", tiles.planes->filters}};
    }
    std::vector<std::pair<std::string, std::int64_t>> sizes;
    if (shape.known()) {
        sizes.emplace_back("tiles", tiles.count);
    } else {
        sizes.emplace_back("most_pixels", tiles.most_pixels);
    }
    sizes.insert(sizes.end(), {{"tile_groups", tiles.tile_groups},
                               {"filter_groups", tiles.filter_groups},
                               {"depthwise_lanes", tiles.lanes},
                               {"depthwise_together", tiles.together},
                               {"filter_lanes", tiles.filter_lanes},
                               {"filter_vectors", tiles.vectors},
                               {"lanes_of_a_filter", tiles.paired ? 2 : 1},
                               {"block_pixels", tiles.runs.front().rows}});
    if (tiles.runs.size() > 1) sizes.emplace_back("last_block_pixels", tiles.runs.back().rows);
    if (!tiles.over.empty()) sizes.emplace_back("rows_by_filters", tiles.over.front().rows);
    return sizes;
}

Form form_of(const Request &request, const Halide::Target &target) {
    Form form = {};
    form.on_gpu = on_gpu(target);
    form.image_tasks = image_tasks(request, target);
    form.image = in_memory(image_type(request), target);
    form.channels_first = request.config.data_format == DataFormat::channels_first;
    const bool by_hand = request.schedule.empty();
    form.packed = by_hand && !form.on_gpu;
    if (form.packed) {
        const KnownShape shape = known_shape(request, target);
        form.packed = fits_tiles(shape, choose_tiles(shape, tile_wishes(request, form.image_tasks), target));
    }
    const Extents size = extents(request);
    form.flat = form.packed && size.height != open && size.width != open && is_elementwise(request.config.activation.kind);
    form.per_image = by_hand && !form.on_gpu && !along(request)[0];
    form.weights = keras_weights(request);
    if (form.packed) {
        const Packing packing = make_packing(request, target, form);
        form.weights.clear();
        for (const Func &output : packing.outputs) form.weights.push_back({output.name(), sum_type(request), extents_of(output)});
    }
    return form;
}

void load_autoscheduler(const Request &request) {
    if (request.schedule.empty()) return;
    std::string name = request.schedule;
    name.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(name.front())));
    load_plugin("autoschedule_" + name);
}

std::vector<std::int64_t> weight_offsets(const Form &form) {
    std::vector<std::int64_t> offsets = {0};
    for (const Tensor &tensor : form.weights) offsets.push_back(aligned(offsets.back() + bytes_of(tensor)));
    return offsets;
}

std::vector<std::uint8_t> pack(const Request &request, const Halide::Target &target, const Form &form, const StoredWeights &weights) {
    const std::vector<Buffer<float>> from = keras_buffers(request, weights);
    Packing packing = make_packing(request, target, form);
    std::vector<Buffer<>> to;
    to.reserve(form.weights.size());
    for (const Tensor &tensor : form.weights) to.emplace_back(tensor.type, std::vector<int>(tensor.extents.begin(), tensor.extents.end()));
    for (std::size_t i = 0; i < from.size(); ++i) packing.inputs[i].set_buffer(from[i]);
    packing.pipeline.realize(Halide::Realization(to), get_jit_target_from_environment());
    const std::vector<std::int64_t> offsets = weight_offsets(form);
    std::vector<std::uint8_t> packed(static_cast<std::size_t>(offsets.back()));
    for (std::size_t i = 0; i < to.size(); ++i) std::memcpy(packed.data() + offsets[i], to[i].data(), to[i].size_in_bytes());
    return packed;
}

Pipeline lower(const Request &request, const Halide::Target &target, Strides strides, const std::string &name) {
    const Form form = form_of(request, target);
    const AbstractGeneratorPtr generator = make_generator("separable_conv2d", request, target, form, strides);
    Halide::Pipeline pipeline = generator->build_pipeline();
    Pipeline lowered;
    lowered.name = name;
    if (!request.schedule.empty()) {
        const AutoSchedulerResults results = pipeline.apply_autoscheduler(target, generator->context().autoscheduler_params());
        lowered.schedule = results.schedule_source;
    }
    std::vector<Argument> arguments;
    for (const AbstractGenerator::ArgInfo &argument : generator->arginfos()) {
        if (argument.dir == Halide::Internal::ArgInfoDirection::Input) {
            arguments.push_back(buffer_argument(generator->input_parameter(argument.name).front()));
        }
    }
    const WorkspaceArgument workspace;
    arguments.push_back(workspace.argument());
    const auto moved = std::make_shared<ScratchToWorkspace>(workspace, target, static_cast<int>(Error::no_memory));
    pipeline.add_custom_lowering_pass(moved.get(), [] {});
    const Module module = pipeline.compile_to_module(arguments, name, for_pipelines(target), LinkageType::External);
    lowered.constants = module.buffers();
    lowered.functions = module.functions();
    lowered.strict_float = module.any_strict_float();
    lowered.workspace_bytes = moved->bytes();
    lowered.takes_memory = moved->takes_memory();
    lowered.needs_runtime = finish(lowered.functions, request.threads == Threads::supplied ? request.parallel_for : "");
    return lowered;
}

Pipeline lower_packing(const Request &request, const Halide::Target &target, const std::string &name) {
    const Form form = form_of(request, target);
    Packing packing = make_packing(request, target, form);
    std::vector<Argument> arguments;
    arguments.reserve(packing.inputs.size());
    for (const Parameter &input : packing.inputs) arguments.push_back(buffer_argument(input));
    const Module module = packing.pipeline.compile_to_module(arguments, name, for_pipelines(target), LinkageType::External);
    Pipeline lowered;
    lowered.name = name;
    lowered.constants = module.buffers();
    lowered.functions = module.functions();
    lowered.needs_runtime = finish(lowered.functions, "");
    return lowered;
}

}  // namespace sepconv::compiler
