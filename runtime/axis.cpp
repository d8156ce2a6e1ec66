// Activations along an axis: rows of memory as they are, other axes gathered line by line.
#include "axis.h"

#include <array>
#include <vector>

#include "sparsemax.h"

namespace sepconv {

void run_activation(const Row *row, const Activation &activation, float *from, std::int64_t rows, std::int64_t length,
                    std::int64_t from_stride, float *to, std::int64_t to_stride) {
    if (row == nullptr) {
        for (std::int64_t i = 0; i < rows; i++) sparsemax(from + i * from_stride, to + i * to_stride, length);
        return;
    }
    // A dense run may be longer than a pipeline counts.
    constexpr std::int64_t longest = std::int64_t(1) << 30;
    if (rows == 1 && length > longest && is_elementwise(activation.kind)) {
        for (std::int64_t done = 0; done < length; done += longest) {
            run_activation(row, activation, from + done, 1, std::min(longest, length - done), 0, to + done, 0);
        }
        return;
    }
    const std::int64_t written = activation.kind == ActivationKind::glu ? length / 2 : length;
    halide_dimension_t in_dimensions[2], out_dimensions[2];
    halide_buffer_t in = {}, out = {};
    auto describe = [rows](halide_buffer_t &buffer, halide_dimension_t *dimensions, float *values, std::int64_t extent,
                           std::int64_t stride) {
        dimensions[0] = halide_dimension_t(0, static_cast<std::int32_t>(extent), 1);
        dimensions[1] = halide_dimension_t(0, static_cast<std::int32_t>(rows), static_cast<std::int32_t>(stride));
        buffer.host = reinterpret_cast<std::uint8_t *>(values);
        buffer.type = halide_type_t(halide_type_float, 32);
        buffer.dimensions = 2;
        buffer.dim = dimensions;
    };
    describe(in, in_dimensions, from, length, from_stride);
    describe(out, out_dimensions, to, written, to_stride);
    row->activated(&in, activation.a, activation.b, activation.c, &out);
}

void activate_image(const Row *row, const Activation &activation, const TensorView<float> &from, const TensorView<float> &to) {
    std::array<bool, 4> reduced = {};
    for (const int axis : activation.axes) reduced[axis < 0 ? axis + 4 : axis] = true;
    std::int64_t length = 1, written = 1, lines = 1;
    for (int i = 0; i < 4; i++) {
        (reduced[i] ? length : lines) *= from.shape[i];
        if (reduced[i]) written *= to.shape[i];
    }
    if (lines == 0 || length == 0) return;
    thread_local std::vector<float> line;
    // Shorter results cannot go where they come from: their end is computed again from what they began with.
    const std::int64_t at = written == length ? 0 : length;
    if (line.size() < static_cast<std::size_t>(at + length)) line.resize(at + length);
    // Visits the elements of the reduced dimensions (or of the others) in order.
    auto offset_of = [&](const TensorView<float> &tensor, std::int64_t index, bool of_reduced) {
        std::int64_t offset = 0;
        for (int i = 3; i >= 0; i--) {
            if (reduced[i] != of_reduced) continue;
            offset += index % tensor.shape[i] * tensor.strides[i];
            index /= tensor.shape[i];
        }
        return offset;
    };
    for (std::int64_t i = 0; i < lines; i++) {
        const float *in = from.data + offset_of(from, i, false);
        float *out = to.data + offset_of(to, i, false);
        for (std::int64_t j = 0; j < length; j++) line[j] = in[offset_of(from, j, true)];
        run_activation(row, activation, line.data(), 1, length, 0, line.data() + at, 0);
        for (std::int64_t j = 0; j < written; j++) out[offset_of(to, j, true)] = line[at + j];
    }
}

}  // namespace sepconv
