// The C interface on top of the C++ one: handles, statuses for exceptions, structures for views. Nothing is computed here.
#include "sepconv/c.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "sepconv/layer.h"

struct sepconv_config {
    sepconv::LayerConfig config;
};

struct sepconv_layer {
    sepconv::Layer layer;
};

namespace {

using sepconv::Shape;

// A wrong argument of the C call itself, which the C++ interface cannot have.
class ArgumentError : public sepconv::Error {
    using Error::Error;
};

thread_local std::string last_error;
// Set where there was no memory for the message itself.
thread_local const char *last_error_text = "";

sepconv_status failed(sepconv_status status, const char *message) noexcept {
    try {
        last_error = message;
        last_error_text = last_error.c_str();
    } catch (...) {
        last_error_text = "memory ran out while an error was reported";
    }
    return status;
}

// Runs what a function does, and makes a status of whatever it throws.
template <typename Action>
sepconv_status guarded(Action &&action) noexcept {
    try {
        action();
        return SEPCONV_OK;
    } catch (const ArgumentError &error) {
        return failed(SEPCONV_ARGUMENT_ERROR, error.what());
    } catch (const sepconv::ConfigError &error) {
        return failed(SEPCONV_CONFIG_ERROR, error.what());
    } catch (const sepconv::ShapeError &error) {
        return failed(SEPCONV_SHAPE_ERROR, error.what());
    } catch (const sepconv::FileError &error) {
        return failed(SEPCONV_FILE_ERROR, error.what());
    } catch (const sepconv::TargetError &error) {
        return failed(SEPCONV_TARGET_ERROR, error.what());
    } catch (const sepconv::ExecutionError &error) {
        return failed(SEPCONV_EXECUTION_ERROR, error.what());
    } catch (const std::bad_alloc &) {
        return failed(SEPCONV_MEMORY_ERROR, "memory ran out");
    } catch (const std::exception &error) {
        return failed(SEPCONV_INTERNAL_ERROR, error.what());
    } catch (...) {
        return failed(SEPCONV_INTERNAL_ERROR, "an exception of an unknown type");
    }
}

// The object that an argument points to.
template <typename T>
T &required(T *pointer, const char *argument) {
    if (!pointer) throw ArgumentError(fmt::format("{}: expected a pointer, found NULL", argument));
    return *pointer;
}

// The place for a new handle, cleared so that a failure leaves none behind.
template <typename T>
T *&cleared(T **handle, const char *argument) {
    T *&place = required(handle, argument);
    place = nullptr;
    return place;
}

Shape shape_of(const int64_t extents[4], const char *argument) {
    required(extents, argument);
    return {extents[0], extents[1], extents[2], extents[3]};
}

void write_shape(const Shape &shape, int64_t extents[4], const char *argument) {
    required(extents, argument);
    std::copy(shape.begin(), shape.end(), extents);
}

void write_text(const std::string &text, char *buffer, size_t capacity, size_t *length) {
    if (capacity > 0) {
        required(buffer, "buffer");
        const std::size_t written = std::min(text.size(), capacity - 1);
        std::memcpy(buffer, text.data(), written);
        buffer[written] = '\0';
    }
    if (length) *length = text.size();
}

sepconv::Padding padding_of(sepconv_padding padding) {
    if (padding == SEPCONV_VALID) return sepconv::Padding::valid;
    if (padding == SEPCONV_SAME) return sepconv::Padding::same;
    throw ArgumentError(fmt::format("padding: expected SEPCONV_VALID or SEPCONV_SAME, found {}", padding));
}

sepconv::Arithmetic arithmetic_of(sepconv_dtype arithmetic) {
    if (arithmetic == SEPCONV_FLOAT32) return sepconv::Arithmetic::float32;
    if (arithmetic == SEPCONV_FLOAT16) return sepconv::Arithmetic::float16;
    throw ArgumentError(fmt::format("arithmetic: expected SEPCONV_FLOAT32 or SEPCONV_FLOAT16, found {}", arithmetic));
}

sepconv_data_format data_format_of(sepconv::DataFormat format) {
    return format == sepconv::DataFormat::channels_first ? SEPCONV_CHANNELS_FIRST : SEPCONV_CHANNELS_LAST;
}

std::function<void(const std::string &)> listener(void (*warn)(void *user, const char *message), void *user) {
    if (!warn) return {};
    return [warn, user](const std::string &message) { warn(user, message.c_str()); };
}

sepconv::ParseContext context_of(const sepconv_parse_options &options) {
    sepconv::ParseContext context;
    if (options.source) context.source = options.source;
    if (options.version != SEPCONV_KERAS_3 && options.version != SEPCONV_KERAS_2) {
        throw ArgumentError(fmt::format("version: expected SEPCONV_KERAS_3 or SEPCONV_KERAS_2, found {}", options.version));
    }
    context.version = options.version == SEPCONV_KERAS_2 ? sepconv::KerasVersion::keras2 : sepconv::KerasVersion::keras3;
    switch (options.data_format) {
        case SEPCONV_DEFAULT_DATA_FORMAT:
            break;
        case SEPCONV_CHANNELS_LAST:
            context.data_format = sepconv::DataFormat::channels_last;
            break;
        case SEPCONV_CHANNELS_FIRST:
            context.data_format = sepconv::DataFormat::channels_first;
            break;
        default:
            throw ArgumentError(fmt::format("data_format: expected a sepconv_data_format, found {}", options.data_format));
    }
    context.warn = listener(options.warn, options.user);
    return context;
}

// A view of a C tensor; four strides of 0 stand for a dense one.
template <typename T, typename Tensor>
sepconv::TensorView<T> view_of(const Tensor &tensor, const char *argument) {
    const Shape shape = shape_of(tensor.shape, argument);
    Shape strides = shape_of(tensor.strides, argument);
    const auto is_zero = [](int64_t value) { return value == 0; };
    if (!tensor.data && std::none_of(shape.begin(), shape.end(), is_zero)) {
        throw ArgumentError(fmt::format("{}.data: expected a pointer, found NULL", argument));
    }
    if (std::all_of(strides.begin(), strides.end(), is_zero)) {
        strides[3] = 1;
        for (int axis = 3; axis > 0; --axis) {
            if (__builtin_mul_overflow(strides[axis], shape[axis], &strides[axis - 1])) {
                throw sepconv::ShapeError(fmt::format("{}: expected a shape whose strides fit 64 bits, found ({}, {}, {}, {})", argument,
                                                      shape[0], shape[1], shape[2], shape[3]));
            }
        }
    }
    return {reinterpret_cast<T *>(tensor.data), shape, strides};
}

// The caller's threads as an Executor.
class LentThreads : public sepconv::Executor {
public:
    explicit LentThreads(const sepconv_executor &executor) : executor_(executor) {
        required(executor.concurrency, "executor.concurrency");
        required(executor.parallel_for, "executor.parallel_for");
    }
    int concurrency() const override { return std::max(1, executor_.concurrency(executor_.user)); }
    void parallel_for(int count, void (*task)(void *context, int index), void *context) override {
        executor_.parallel_for(executor_.user, count, task, context);
    }

private:
    const sepconv_executor &executor_;
};

template <typename T, typename From, typename To>
sepconv_status run(const sepconv_layer *layer, const From *input, const To *output, const sepconv_execution *execution) {
    return guarded([&] {
        const sepconv::Layer &runs = required(layer, "layer").layer;
        const auto from = view_of<const T>(required(input, "input"), "input");
        const auto to = view_of<T>(required(output, "output"), "output");
        sepconv::Execution how;
        if (execution) how.threads = execution->threads;
        if (execution && execution->executor) {
            LentThreads threads(*execution->executor);
            how.executor = &threads;
            runs.run(from, to, how);
        } else {
            runs.run(from, to, how);
        }
    });
}

template <typename T, typename From, typename To>
sepconv_status enqueue(const sepconv_layer *layer, const From *input, const To *output, void *stream) {
    return guarded([&] {
        required(layer, "layer")
            .layer.enqueue(view_of<const T>(required(input, "input"), "input"), view_of<T>(required(output, "output"), "output"), {stream});
    });
}

// The tables never change while the library is loaded, so that they are copied into C's form once.
struct TargetTable {
    std::vector<sepconv::Target> rows = sepconv::targets();
    std::vector<sepconv_target> views;

    TargetTable() {
        for (const sepconv::Target &row : rows) {
            views.push_back({row.name.c_str(), row.halide.c_str(), row.runs_here ? 1 : 0,
                             row.arithmetic == sepconv::Arithmetic::float16 ? SEPCONV_FLOAT16 : SEPCONV_FLOAT32});
        }
    }
};

const TargetTable &target_table() {
    static const TargetTable table;
    return table;
}

struct PipelineTable {
    std::vector<sepconv::Pipeline> rows = sepconv::pipelines();
    std::vector<sepconv_pipeline> views;

    PipelineTable() {
        for (const sepconv::Pipeline &row : rows) {
            views.push_back({row.name.c_str(), row.stage.c_str(), row.target.c_str(), row.covers.c_str()});
        }
    }
};

struct GpuTable {
    std::vector<sepconv::Gpu> rows = sepconv::gpus();
    std::vector<sepconv_gpu> views;

    GpuTable() {
        for (const sepconv::Gpu &row : rows) views.push_back({row.target.c_str(), row.device.c_str(), row.why_not.c_str()});
    }
};

const GpuTable &gpu_table() {
    static const GpuTable table;
    return table;
}

const PipelineTable &pipeline_table() {
    static const PipelineTable table;
    return table;
}

}  // namespace

const char *sepconv_last_error(void) { return last_error_text; }

sepconv_status sepconv_config_parse(const char *json, size_t length, const sepconv_parse_options *options, sepconv_config **config) {
    return guarded([&] {
        sepconv_config *&place = cleared(config, "config");
        required(json, "json");
        const sepconv::ParseContext context = options ? context_of(*options) : sepconv::ParseContext();
        place = new sepconv_config{sepconv::parse_config({json, length}, context)};
    });
}

void sepconv_config_free(sepconv_config *config) { delete config; }

sepconv_status sepconv_config_arguments(const sepconv_config *config, sepconv_arguments *arguments) {
    return guarded([&] {
        const sepconv::LayerConfig &from = required(config, "config").config;
        sepconv_arguments &to = required(arguments, "arguments");
        to.filters = from.filters;
        std::copy(from.kernel_size.begin(), from.kernel_size.end(), to.kernel_size);
        std::copy(from.strides.begin(), from.strides.end(), to.strides);
        std::copy(from.dilation_rate.begin(), from.dilation_rate.end(), to.dilation_rate);
        to.depth_multiplier = from.depth_multiplier;
        to.padding = from.padding == sepconv::Padding::same ? SEPCONV_SAME : SEPCONV_VALID;
        to.data_format = data_format_of(from.data_format);
        to.use_bias = from.use_bias ? 1 : 0;
        to.trainable = from.trainable ? 1 : 0;
        to.dtype = from.dtype == sepconv::Dtype::float16 ? SEPCONV_FLOAT16 : SEPCONV_FLOAT32;
    });
}

sepconv_status sepconv_config_name(const sepconv_config *config, const char **name) {
    return guarded([&] { required(name, "name") = required(config, "config").config.name.c_str(); });
}

sepconv_status sepconv_config_json(const sepconv_config *config, char *buffer, size_t capacity, size_t *length) {
    return guarded([&] { write_text(sepconv::to_json(required(config, "config").config), buffer, capacity, length); });
}

sepconv_status sepconv_config_output_shape(const sepconv_config *config, const int64_t input[4], int64_t output[4]) {
    return guarded([&] {
        const sepconv::LayerConfig &layer_config = required(config, "config").config;
        write_shape(sepconv::output_shape(layer_config, shape_of(input, "input")), output, "output");
    });
}

sepconv_status sepconv_default_data_format(void (*warn)(void *user, const char *message), void *user, sepconv_data_format *format) {
    return guarded([&] { required(format, "format") = data_format_of(sepconv::default_data_format(listener(warn, user))); });
}

sepconv_status sepconv_fit_window(int64_t input, int64_t kernel, int64_t stride, int64_t dilation, sepconv_padding padding, int64_t *output,
                                  int64_t *before) {
    return guarded([&] {
        const sepconv::WindowFit fit = sepconv::fit_window(input, kernel, stride, dilation, padding_of(padding));
        required(output, "output");
        required(before, "before") = fit.before;
        *output = fit.output;
    });
}

sepconv_status sepconv_layer_create(const sepconv_config *config, const sepconv_weights *weights, const char *target,
                                    sepconv_layer **layer) {
    return sepconv_layer_create_as(config, weights, target, SEPCONV_FLOAT32, layer);
}

sepconv_status sepconv_layer_create_as(const sepconv_config *config, const sepconv_weights *weights, const char *target,
                                       sepconv_dtype arithmetic, sepconv_layer **layer) {
    return guarded([&] {
        sepconv_layer *&place = cleared(layer, "layer");
        const sepconv::LayerConfig &layer_config = required(config, "config").config;
        const sepconv_weights &given = required(weights, "weights");
        sepconv::Weights taken;
        taken.depthwise_kernel = given.depthwise_kernel;
        taken.depthwise_shape = shape_of(given.depthwise_shape, "weights.depthwise_shape");
        taken.pointwise_kernel = given.pointwise_kernel;
        taken.pointwise_shape = shape_of(given.pointwise_shape, "weights.pointwise_shape");
        taken.bias = given.bias;
        taken.bias_size = given.bias_size;
        required(taken.depthwise_kernel, "weights.depthwise_kernel");
        required(taken.pointwise_kernel, "weights.pointwise_kernel");
        if (taken.bias_size > 0) required(taken.bias, "weights.bias");
        place = new sepconv_layer{sepconv::Layer(layer_config, taken, target ? target : "", arithmetic_of(arithmetic))};
    });
}

sepconv_status sepconv_layer_copy(const sepconv_layer *layer, sepconv_layer **copy) {
    return guarded([&] {
        sepconv_layer *&place = cleared(copy, "copy");
        place = new sepconv_layer{required(layer, "layer").layer};
    });
}

void sepconv_layer_free(sepconv_layer *layer) { delete layer; }

sepconv_status sepconv_layer_config(const sepconv_layer *layer, sepconv_config **config) {
    return guarded([&] {
        sepconv_config *&place = cleared(config, "config");
        place = new sepconv_config{required(layer, "layer").layer.config()};
    });
}

sepconv_status sepconv_layer_input_channels(const sepconv_layer *layer, int64_t *channels) {
    return guarded([&] { required(channels, "channels") = required(layer, "layer").layer.input_channels(); });
}

sepconv_status sepconv_layer_target(const sepconv_layer *layer, const char **target) {
    return guarded([&] { required(target, "target") = required(layer, "layer").layer.target().c_str(); });
}

sepconv_status sepconv_layer_output_shape(const sepconv_layer *layer, const int64_t input[4], int64_t output[4]) {
    return guarded([&] { write_shape(required(layer, "layer").layer.output_shape(shape_of(input, "input")), output, "output"); });
}

sepconv_status sepconv_layer_run(const sepconv_layer *layer, const sepconv_const_tensor *input, const sepconv_tensor *output,
                                 const sepconv_execution *execution) {
    return run<float>(layer, input, output, execution);
}

sepconv_status sepconv_layer_run_float16(const sepconv_layer *layer, const sepconv_const_float16_tensor *input,
                                         const sepconv_float16_tensor *output, const sepconv_execution *execution) {
    return run<sepconv::float16>(layer, input, output, execution);
}

sepconv_status sepconv_layer_enqueue(const sepconv_layer *layer, const sepconv_const_tensor *input, const sepconv_tensor *output,
                                     void *stream) {
    return enqueue<float>(layer, input, output, stream);
}

sepconv_status sepconv_layer_enqueue_float16(const sepconv_layer *layer, const sepconv_const_float16_tensor *input,
                                             const sepconv_float16_tensor *output, void *stream) {
    return enqueue<sepconv::float16>(layer, input, output, stream);
}

sepconv_status sepconv_layer_explain(const sepconv_layer *layer, const int64_t input[4], int json, char *buffer, size_t capacity,
                                     size_t *length) {
    return guarded(
        [&] { write_text(required(layer, "layer").layer.explain(shape_of(input, "input"), json != 0), buffer, capacity, length); });
}

sepconv_status sepconv_targets(const sepconv_target **targets, size_t *count) {
    return guarded([&] {
        const TargetTable &table = target_table();
        required(targets, "targets");
        required(count, "count") = table.views.size();
        *targets = table.views.data();
    });
}

sepconv_status sepconv_default_target(const char **target) {
    return guarded([&] {
        required(target, "target");
        const std::string name = sepconv::default_target();
        for (const sepconv_target &known : target_table().views) {
            if (name == known.name) {
                *target = known.name;
                return;
            }
        }
        for (const sepconv_gpu &known : gpu_table().views) {
            if (name == known.target) {
                *target = known.target;
                return;
            }
        }
        throw sepconv::TargetError(fmt::format("the default target: expected one that is built in, found {}", name));
    });
}

sepconv_status sepconv_gpus(const sepconv_gpu **gpus, size_t *count) {
    return guarded([&] {
        const GpuTable &table = gpu_table();
        required(gpus, "gpus");
        required(count, "count") = table.views.size();
        *gpus = table.views.data();
    });
}

sepconv_status sepconv_pipelines(const sepconv_pipeline **pipelines, size_t *count) {
    return guarded([&] {
        const PipelineTable &table = pipeline_table();
        required(pipelines, "pipelines");
        required(count, "count") = table.views.size();
        *pipelines = table.views.data();
    });
}

sepconv_status sepconv_version(const char **version) {
    return guarded([&] {
        static const std::string text = sepconv::version();
        required(version, "version") = text.c_str();
    });
}
