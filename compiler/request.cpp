// Checks what is to be compiled.
#include "request.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/subcommands.h"

namespace sepconv::compiler {
namespace {

// The pipelines index one image with 32 bits.
constexpr std::int64_t most_values = std::int64_t(1) << 31;

// An extent that an open one may be taken for to check the others: a window's, which fits the layer.
std::int64_t smallest(std::int64_t extent, std::int64_t kernel, std::int64_t dilation) {
    return extent == open ? (kernel - 1) * dilation + 1 : extent;
}

Halide::Type halide_type(Dtype dtype) { return Halide::Float(dtype == Dtype::float16 ? 16 : 32); }

void check_half_precision(const Request &request) {
    if (request.arithmetic == Dtype::float16 && request.config.dtype != Dtype::float16) {
        throw tools::UsageError(fmt::format("--arithmetic: expected float32 for {}, whose dtype is {}, found float16", request.config.name,
                                            name(request.config.dtype)));
    }
    for (const Machine &machine : request.machines) {
        if (request.arithmetic == Dtype::float16 && (on_gpu(machine.target) || !machine.target.has_feature(Halide::Target::ARMFp16))) {
            throw tools::UsageError(fmt::format(
                "--arithmetic: expected float32 for {}, which does not compute in half precision, found float16; it is for arm-64 "
                "CPUs with the feature arm_fp16",
                machine.target.to_string()));
        }
        if (request.config.dtype == Dtype::float16 && machine.target.has_feature(Halide::Target::Vulkan)) {
            throw tools::UsageError(
                fmt::format("--target: expected a target without vulkan for {}, whose dtype is float16, which not every device of Vulkan "
                            "stores, found {}",
                            request.config.name, machine.target.to_string()));
        }
    }
}

}  // namespace

Halide::Type image_type(const Request &request) { return halide_type(request.config.dtype); }
Halide::Type sum_type(const Request &request) { return halide_type(request.arithmetic); }

Places places(DataFormat format) { return format == DataFormat::channels_first ? Places{0, 2, 3, 1} : Places{0, 1, 2, 3}; }

Extents extents(const Request &request) {
    const Places at = places(request.config.data_format);
    return {request.input[at.batch], request.input[at.height], request.input[at.width], request.input[at.channels]};
}

std::array<bool, 4> along(const Request &request) {
    std::array<bool, 4> along = {};
    const Activation &activation = request.config.activation;
    if (is_elementwise(activation.kind)) return along;
    for (const int axis : activation.axes) along[static_cast<std::size_t>(axis < 0 ? axis + 4 : axis)] = true;
    return along;
}

int halved(const Request &request) {
    if (request.config.activation.kind != ActivationKind::glu) return -1;
    const std::array<bool, 4> axes = along(request);
    return static_cast<int>(std::find(axes.begin(), axes.end(), true) - axes.begin());
}

std::array<std::int64_t, 4> output_shape(const Request &request) {
    const Places at = places(request.config.data_format);
    Shape shape = request.input;
    if (shape[at.batch] == open) shape[at.batch] = 1;
    shape[at.height] = smallest(shape[at.height], request.config.kernel_size[0], request.config.dilation_rate[0]);
    shape[at.width] = smallest(shape[at.width], request.config.kernel_size[1], request.config.dilation_rate[1]);
    // What glu halves must be even; an open extent is checked when it is known.
    if (const int half = halved(request); half >= 0 && half != at.channels && request.input[half] == open) {
        const int axis = half == at.width ? 1 : 0;
        const auto odd = [&] {
            if (half == at.batch) return shape[half] % 2 != 0;
            const LayerConfig &config = request.config;
            const WindowFit fit =
                fit_window(shape[half], config.kernel_size[axis], config.strides[axis], config.dilation_rate[axis], config.padding);
            return fit.output % 2 != 0;
        };
        while (odd()) ++shape[half];
    }
    std::array<std::int64_t, 4> output = sepconv::output_shape(request.config, shape);
    for (const int place : {at.batch, at.height, at.width}) {
        if (request.input[place] == open) output[place] = open;
    }
    return output;
}

void check(const Request &request) {
    check_half_precision(request);
    auto product = output_shape(request);
    if (const int half = halved(request); half >= 0 && product[half] != open) product[half] *= 2;
    const bool together = along(request)[0];
    for (const auto &[what, shape] : {std::pair{"input", request.input}, std::pair{"output", product}}) {
        std::int64_t values = 1;
        // output_shape has made sure that it can be addressed
        for (int i = together ? 0 : 1; i < 4; ++i) values *= std::max<std::int64_t>(1, shape[i]);
        if (values >= most_values) {
            throw ShapeError(fmt::format("{}: expected {} of fewer than {} values, found {}; `sepconv run` and the library compute it",
                                         what, together ? "images, which the activation takes together," : "an image", most_values,
                                         values));
        }
    }
    const Extents size = extents(request);
    const bool known = size.height != open && size.width != open;
    if (!request.schedule.empty() && !known) {
        throw tools::UsageError(fmt::format(
            "--schedule: expected a known height and width for the autoscheduler {}, which estimates by them, found an open one",
            request.schedule));
    }
    const bool gpu = on_gpu(request.machines.front().target);
    if (request.schedule == "Anderson2021" && !gpu) {
        throw tools::UsageError("--schedule: expected a GPU's target for auto:anderson2021, found a CPU's");
    }
    if (request.schedule == "Adams2019" && gpu) {
        throw tools::UsageError("--schedule: expected a CPU's target for auto:adams2019, found a GPU's");
    }
}

}  // namespace sepconv::compiler
