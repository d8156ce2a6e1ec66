// Activations along an axis: rows of memory as they are, other axes gathered line by line.
#include "axis.h"

#include <algorithm>
#include <array>
#include <vector>

#include "sparsemax.h"

namespace sepconv {

namespace {

void sparsemax_of(const float *from, float *to, std::int64_t length) { sparsemax(from, to, length); }

void sparsemax_of(const float16 *from, float16 *to, std::int64_t length) {
    thread_local std::vector<float> row;
    if (row.size() < static_cast<std::size_t>(length)) row.resize(length);
    std::transform(from, from + length, row.begin(), [](float16 value) { return static_cast<float>(value); });
    sparsemax(row.data(), row.data(), length);
    std::transform(row.begin(), row.begin() + length, to, [](float value) { return float16(value); });
}

template <typename T>
void run_rows(const Row *row, const Activation &activation, T *from, std::int64_t rows, std::int64_t length, std::int64_t from_stride,
              T *to, std::int64_t to_stride) {
    if (row == nullptr) {
        for (std::int64_t i = 0; i < rows; i++) sparsemax_of(from + i * from_stride, to + i * to_stride, length);
        return;
    }
    // A dense run may be longer than a pipeline counts.
    constexpr std::int64_t longest = std::int64_t(1) << 30;
    if (rows == 1 && length > longest && is_elementwise(activation.kind)) {
        for (std::int64_t done = 0; done < length; done += longest) {
            run_rows(row, activation, from + done, 1, std::min(longest, length - done), 0, to + done, 0);
        }
        return;
    }
    const std::int64_t written = activation.kind == ActivationKind::glu ? length / 2 : length;
    halide_dimension_t in_dimensions[2], out_dimensions[2];
    halide_buffer_t in = {}, out = {};
    auto describe = [rows](halide_buffer_t &buffer, halide_dimension_t *dimensions, T *values, std::int64_t extent, std::int64_t stride) {
        dimensions[0] = halide_dimension_t(0, static_cast<std::int32_t>(extent), 1);
        dimensions[1] = halide_dimension_t(0, static_cast<std::int32_t>(rows), static_cast<std::int32_t>(stride));
        buffer.host = reinterpret_cast<std::uint8_t *>(values);
        buffer.type = halide_type_t(halide_type_float, 8 * sizeof(T));
        buffer.dimensions = 2;
        buffer.dim = dimensions;
    };
    describe(in, in_dimensions, from, length, from_stride);
    describe(out, out_dimensions, to, written, to_stride);
    row->activated(&in, activation.a, activation.b, activation.c, &out);
}

template <typename T>
void activate_lines(const Row *row, const Activation &activation, const TensorView<T> &from, const TensorView<T> &to) {
    std::array<bool, 4> reduced = {};
    for (const int axis : activation.axes) reduced[axis < 0 ? axis + 4 : axis] = true;
    std::int64_t length = 1, written = 1, lines = 1;
    for (int i = 0; i < 4; i++) {
        (reduced[i] ? length : lines) *= from.shape[i];
        if (reduced[i]) written *= to.shape[i];
    }
    if (lines == 0 || length == 0) return;
    thread_local std::vector<T> line;
    // Shorter results cannot go where they come from: their end is computed again from what they began with.
    const std::int64_t at = written == length ? 0 : length;
    if (line.size() < static_cast<std::size_t>(at + length)) line.resize(at + length);
    // Visits the elements of the reduced dimensions (or of the others) in order.
    auto offset_of = [&](const TensorView<T> &tensor, std::int64_t index, bool of_reduced) {
        std::int64_t offset = 0;
        for (int i = 3; i >= 0; i--) {
            if (reduced[i] != of_reduced) continue;
            offset += index % tensor.shape[i] * tensor.strides[i];
            index /= tensor.shape[i];
        }
        return offset;
    };
    for (std::int64_t i = 0; i < lines; i++) {
        const T *in = from.data + offset_of(from, i, false);
        T *out = to.data + offset_of(to, i, false);
        for (std::int64_t j = 0; j < length; j++) line[j] = in[offset_of(from, j, true)];
        run_rows(row, activation, line.data(), 1, length, 0, line.data() + at, 0);
        for (std::int64_t j = 0; j < written; j++) out[offset_of(to, j, true)] = line[at + j];
    }
}

}  // namespace

void run_activation(const Row *row, const Activation &activation, float *from, std::int64_t rows, std::int64_t length,
                    std::int64_t from_stride, float *to, std::int64_t to_stride) {
    run_rows(row, activation, from, rows, length, from_stride, to, to_stride);
}
void run_activation(const Row *row, const Activation &activation, float16 *from, std::int64_t rows, std::int64_t length,
                    std::int64_t from_stride, float16 *to, std::int64_t to_stride) {
    run_rows(row, activation, from, rows, length, from_stride, to, to_stride);
}

void activate_image(const Row *row, const Activation &activation, const TensorView<float> &from, const TensorView<float> &to) {
    activate_lines(row, activation, from, to);
}
void activate_image(const Row *row, const Activation &activation, const TensorView<float16> &from, const TensorView<float16> &to) {
    activate_lines(row, activation, from, to);
}

}  // namespace sepconv
