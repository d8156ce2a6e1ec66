// Checks what is to be compiled.
#include "request.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline.h"
#include "tools/subcommands.h"

namespace sepconv::compiler {
namespace {

// The pipelines index one image with 32 bits.
constexpr std::int64_t most_values = std::int64_t(1) << 31;

// An extent that an open one may be taken for to check the others: a window's, which fits the layer.
std::int64_t smallest(std::int64_t extent, std::int64_t kernel, std::int64_t dilation) {
    return extent == open ? (kernel - 1) * dilation + 1 : extent;
}

void check_activation(const Request &request) {
    const Activation &activation = request.config.activation;
    if (is_elementwise(activation.kind)) return;
    const bool innermost = activation.axes.size() == 1 && (activation.axes[0] == -1 || activation.axes[0] == 3);
    if (activation.kind == ActivationKind::sparsemax || !innermost) {
        throw ConfigError(fmt::format(
            "activation: expected one that can be compiled with the layer, found {}{}; `sepconv run` and the library compute it",
            name(activation.kind), activation.kind == ActivationKind::sparsemax ? "" : " along another axis than the last"));
    }
}

}  // namespace

Places places(DataFormat format) { return format == DataFormat::channels_first ? Places{0, 2, 3, 1} : Places{0, 1, 2, 3}; }

Extents extents(const Request &request) {
    const Places at = places(request.config.data_format);
    return {request.input[at.batch], request.input[at.height], request.input[at.width], request.input[at.channels]};
}

std::array<std::int64_t, 4> output_shape(const Request &request) {
    const Places at = places(request.config.data_format);
    Shape shape = request.input;
    if (shape[at.batch] == open) shape[at.batch] = 1;
    shape[at.height] = smallest(shape[at.height], request.config.kernel_size[0], request.config.dilation_rate[0]);
    shape[at.width] = smallest(shape[at.width], request.config.kernel_size[1], request.config.dilation_rate[1]);
    // Along the columns of channels_first glu halves a width, which must be even; an open one is checked when it is known.
    if (request.input[at.width] == open && request.config.activation.kind == ActivationKind::glu) {
        while (fit_window(shape[at.width], request.config.kernel_size[1], request.config.strides[1], request.config.dilation_rate[1],
                          request.config.padding)
                       .output %
                   2 !=
               0) {
            ++shape[at.width];
        }
    }
    std::array<std::int64_t, 4> output = sepconv::output_shape(request.config, shape);
    for (const int place : {at.batch, at.height, at.width}) {
        if (request.input[place] == open) output[place] = open;
    }
    return output;
}

void check(const Request &request) {
    check_activation(request);
    const auto output = output_shape(request);
    for (const auto &[what, shape] : {std::pair{"input", request.input}, std::pair{"output", output}}) {
        std::int64_t values = 1;
        for (int i = 1; i < 4; ++i) values *= std::max<std::int64_t>(1, shape[i]);  // output_shape has made sure that it can be addressed
        if (values >= most_values) {
            throw ShapeError(
                fmt::format("{}: expected an image of fewer than {} values, found {}; `sepconv run` and the library compute it", what,
                            most_values, values));
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
