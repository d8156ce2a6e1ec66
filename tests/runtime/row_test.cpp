// Every row of the table of pipelines, called through its function pointer as the tile loop calls it: random sizes against the stage's
// definition, with each tensor between forbidden pages. Only what the tile loop keeps for itself has slack, where plan.cpp grants it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "closeness.h"
#include "guarded.h"
#include "random_layer.h"
#include "reference.h"
#include "registry.h"
#include "sepconv/float16.h"

namespace sepconv {
namespace {

using testing_layers::base_seed;
using testing_layers::case_count;
using testing_layers::Random;

constexpr float infinity = std::numeric_limits<float>::infinity();

// Values of either type between forbidden pages, seen as float32.
class GuardedValues {
public:
    GuardedValues(Dtype type, std::int64_t count, Guard guard) : type_(type), bytes_(count * size_of(type), guard) {}
    GuardedValues(Dtype type, const std::vector<float> &values, Guard guard)
        : GuardedValues(type, static_cast<std::int64_t>(values.size()), guard) {
        for (std::size_t i = 0; i < values.size(); i++) {
            if (type_ == Dtype::float16) {
                at<float16>()[i] = float16(values[i]);
            } else {
                at<float>()[i] = values[i];
            }
        }
    }
    float operator[](std::int64_t i) const { return type_ == Dtype::float16 ? static_cast<float>(at<float16>()[i]) : at<float>()[i]; }
    std::uint8_t *data() const { return const_cast<std::uint8_t *>(bytes_.data()); }
    Dtype type() const { return type_; }
    std::vector<float> values() const {
        std::vector<float> values;
        for (std::int64_t i = 0; i < bytes_.size() / size_of(type_); i++) values.push_back((*this)[i]);
        return values;
    }
    bool surroundings_untouched() const { return bytes_.surroundings_untouched(); }

private:
    static std::int64_t size_of(Dtype type) { return type == Dtype::float16 ? 2 : 4; }
    template <typename T>
    T *at() const {
        return reinterpret_cast<T *>(data());
    }

    Dtype type_;
    Guarded<std::uint8_t> bytes_;
};

// What a value becomes in a type.
float in_type(Dtype type, float value) { return type == Dtype::float16 ? static_cast<float>(float16(value)) : value; }

// A buffer that begins at 0 in every dimension.
template <int rank>
struct Buffer {
    halide_dimension_t dimensions[rank];
    halide_buffer_t buffer = {};

    struct Dimension {
        std::int64_t extent, stride;
    };
    Buffer(const GuardedValues &values, const Dimension (&shape)[rank]) {
        for (int i = 0; i < rank; i++) {
            dimensions[i] = halide_dimension_t(0, static_cast<std::int32_t>(shape[i].extent), static_cast<std::int32_t>(shape[i].stride));
        }
        buffer.host = values.data();
        buffer.type = halide_type_t(halide_type_float, values.type() == Dtype::float16 ? 16 : 32);
        buffer.dimensions = rank;
        buffer.dim = dimensions;
    }
    Buffer(const Buffer &) = delete;
    operator halide_buffer_t *() { return &buffer; }
};

std::int64_t round_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b * b; }

std::vector<const Row *> rows_of(Stage stage) {
    std::vector<const Row *> rows;
    for (const Row &row : all_rows()) {
        if (row.stage == stage && runs_here(*find_target(row.target))) rows.push_back(&row);
    }
    return rows;
}

class RowTest : public testing::TestWithParam<const Row *> {
protected:
    const Row &row_ = *GetParam();
    const RowParams &params_ = row_.params;

    // Calls check(random numbers, guard) some times for each guard.
    template <typename Check>
    void for_each_case(const Check &check) {
        const std::uint64_t seed = base_seed();
        for (int i = 0; i < case_count(40) && !HasFailure(); i++) {
            SCOPED_TRACE(fmt::format("this case alone: SEPCONV_SEED={} SEPCONV_CASES=1", seed + i));
            for (const Guard guard : {Guard::before, Guard::after}) {
                Random random(seed + i);
                check(random, guard);
            }
        }
    }

    // A sum in double, and how far one in the row's type may be off.
    struct Sum {
        double value = 0, terms = 0;
        int count = 0;
        void add(double term) { value += term, terms += std::abs(term), count++; }
    };

    // Each addition rounds the sum so far, which is at most the sum of all terms' sizes. In float32 that is far within the tolerance.
    void expect_close(const std::vector<float> &found, const std::vector<Sum> &sums) const {
        std::vector<double> expected;
        for (const Sum &sum : sums) expected.push_back(sum.value);
        if (row_.type == Dtype::float32) return expect_close(found, expected);
        ASSERT_EQ(found.size(), expected.size());
        for (std::size_t i = 0; i < found.size(); i++) {
            ASSERT_TRUE(is_close(found[i], expected[i], 0x1p-11 * (sums[i].count + 1) * sums[i].terms + 0x1p-24))
                << fmt::format("value {} of {}: expected {:.9g}, found {:.9g}", i, found.size(), expected[i], found[i]);
        }
    }

    static void expect_close(const std::vector<float> &found, const std::vector<double> &expected, double tolerance = relative_tolerance) {
        // Terms are near 1: where a few values happen to cancel to almost nothing, their rounding stays that of the terms.
        const double allowed = tolerance * std::max(allowed_difference(expected) / relative_tolerance, 0.1);
        ASSERT_EQ(found.size(), expected.size());
        for (std::size_t i = 0; i < found.size(); i++) {
            ASSERT_TRUE(is_close(found[i], expected[i], allowed))
                << fmt::format("value {} of {}: expected {:.9g}, found {:.9g}", i, found.size(), expected[i], found[i]);
        }
    }
};

std::string name_of(const testing::TestParamInfo<const Row *> &info) { return fmt::format("{}_{}", info.param->name, info.param->target); }

// ---- padded

class PaddedRow : public RowTest {};
INSTANTIATE_TEST_SUITE_P(Rows, PaddedRow, testing::ValuesIn(rows_of(Stage::padded)), name_of);

TEST_P(PaddedRow, CopiesTheImageAndSetsTheBorderToZero) {
    for_each_case([&](Random &random, Guard guard) {
        const std::int64_t lanes = params_.lanes;
        const std::int64_t spread = params_.spread;
        const std::int64_t channels = params_.narrow ? random.in(1, lanes - 1) : spread * random.in(lanes / spread, 4 * lanes / spread);
        const std::int64_t blocks = (channels + lanes - 1) / lanes, count = random.in(1, blocks);
        const std::int64_t before_x = random.in(0, 3), inside_x = random.in(0, 9), after_x = random.in(0, 3);
        const std::int64_t before_y = random.in(0, 3), inside_y = random.in(0, 5), after_y = random.in(0, 3);
        const std::int64_t width = before_x + inside_x + after_x, height = before_y + inside_y + after_y;
        if (width * height == 0) return;
        const std::int64_t of_image = channels / spread;
        const std::int64_t pixel = of_image + (params_.dense ? 0 : random.in(0, 3)), row = pixel * inside_x + random.in(0, 5);
        const std::int64_t read = params_.dense ? lanes : of_image;  // from each pixel on
        const bool any = inside_x > 0 && inside_y > 0;
        GuardedValues image(row_.image_type, random.reals(any ? (inside_y - 1) * row + (inside_x - 1) * pixel + read : 0, 1), guard);
        GuardedValues strip(row_.type, lanes * width * height * count, guard);
        Buffer<3> in(image, {{of_image, 1}, {inside_x, pixel}, {inside_y, row}});
        Buffer<4> out(strip, {{lanes, 1}, {width, lanes}, {height, lanes * width}, {count, lanes * width * height}});
        const auto arguments = [](std::int64_t value) { return static_cast<int>(value); };
        ASSERT_EQ(
            row_.padded(in, arguments(channels), arguments(before_x), arguments(inside_x), arguments(before_y), arguments(inside_y), out),
            0);
        std::vector<double> expected;
        for (std::int64_t block = 0; block < count; block++) {
            const std::int64_t first = params_.narrow ? 0 : std::min(block * lanes, channels - lanes);
            for (std::int64_t y = -before_y; y < inside_y + after_y; y++) {
                for (std::int64_t x = -before_x; x < inside_x + after_x; x++) {
                    for (std::int64_t c = first; c < first + lanes; c++) {
                        const bool inside = c < channels && x >= 0 && x < inside_x && y >= 0 && y < inside_y;
                        expected.push_back(inside ? in_type(row_.type, image[y * row + x * pixel + c / spread]) : 0);
                    }
                }
            }
        }
        expect_close(strip.values(), expected, 0);
        EXPECT_TRUE(strip.surroundings_untouched());
    });
}

// ---- depthwise

class DepthwiseRow : public RowTest {
protected:
    // A window that the row promises to serve.
    struct Window {
        std::int64_t width, height, stride_x, stride_y, dilation_x, dilation_y;
        Window(const RowParams &params, Random &random) {
            width = params.kernel > 0 ? params.kernel : random.in(1, 6);
            height = params.kernel > 0 ? params.kernel : random.in(1, 6);
            stride_x = params.stride > 0 ? params.stride : random.in(1, 4);
            stride_y = params.stride > 0 ? params.stride : random.in(1, 4);
            dilation_x = params.dilation > 0 ? params.dilation : random.in(1, 5);
            dilation_y = params.dilation > 0 ? params.dilation : random.in(1, 5);
            // A stride and a dilation never come together.
            const bool strided = stride_x > 1 || stride_y > 1;
            if (strided && (params.stride > 0 || random.chance(50))) dilation_x = dilation_y = 1;
            if (dilation_x > 1 || dilation_y > 1) stride_x = stride_y = 1;
        }
        std::int64_t span_x(std::int64_t count) const { return (count - 1) * stride_x + (width - 1) * dilation_x + 1; }
        std::int64_t span_y(std::int64_t count) const { return (count - 1) * stride_y + (height - 1) * dilation_y + 1; }
    };

    int call(halide_buffer_t *padded, halide_buffer_t *taps, const Window &window, halide_buffer_t *scratch) const {
        return row_.depthwise(padded, taps, static_cast<int>(window.stride_x), static_cast<int>(window.stride_y),
                              static_cast<int>(window.dilation_x), static_cast<int>(window.dilation_y), static_cast<int>(window.width),
                              static_cast<int>(window.height), scratch);
    }

    void channels_last(Random &random, Guard guard) const;
    void channels_first(Random &random, Guard guard) const;
};
INSTANTIATE_TEST_SUITE_P(Rows, DepthwiseRow, testing::ValuesIn(rows_of(Stage::depthwise)), name_of);

void DepthwiseRow::channels_last(Random &random, Guard guard) const {
    const Window window(params_, random);
    const std::int64_t lanes = params_.lanes, pixel = params_.pixel_stride, multiplier = random.in(1, 3), blocks = random.in(1, 3);
    const std::int64_t width = random.in(params_.together, params_.together + 12), height = random.in(1, 4);
    // How much of what the outputs read lies in the image: with a border, all but up to half a window at each side.
    const auto within = [&](std::int64_t span, std::int64_t taps) {
        const std::int64_t before = params_.border ? random.in(0, taps / 2) : 0, after = params_.border ? random.in(0, taps / 2) : 0;
        return std::pair(before, span - before - after);
    };
    const auto [before_x, in_width] = within(window.span_x(width), window.width);
    const auto [before_y, in_height] = within(window.span_y(height), window.height);
    // A strip, or the image itself with further channels between its pixels.
    const bool strip = params_.strip;
    const std::int64_t in_x = strip ? lanes : blocks * lanes + random.in(0, 5);
    const std::int64_t in_y = strip ? lanes * in_width : in_x * in_width + random.in(0, 5);
    const std::int64_t in_block = strip ? lanes * in_width * in_height : lanes;
    const std::int64_t in_size = (in_width - 1) * in_x + (in_height - 1) * in_y + (blocks - 1) * in_block + lanes;
    const std::int64_t tap_row = lanes * window.width, tap_window = tap_row * window.height;
    const std::int64_t out_row = pixel * width, out_multiplier = out_row * height, out_block = out_multiplier * multiplier;
    GuardedValues padded(row_.type, random.reals(in_size, 1), guard),
        taps(row_.type, random.reals(tap_window * multiplier * blocks, 1), guard);
    GuardedValues scratch(row_.type, out_block * blocks - (pixel - lanes), guard);
    Buffer<4> in(padded, {{lanes, 1}, {in_width, in_x}, {in_height, in_y}, {blocks, in_block}});
    in.dimensions[1].min = static_cast<std::int32_t>(before_x);
    in.dimensions[2].min = static_cast<std::int32_t>(before_y);
    Buffer<5> weights(
        taps, {{lanes, 1}, {window.width, lanes}, {window.height, tap_row}, {multiplier, tap_window}, {blocks, tap_window * multiplier}});
    Buffer<5> out(scratch, {{lanes, 1}, {width, pixel}, {height, out_row}, {multiplier, out_multiplier}, {blocks, out_block}});
    ASSERT_EQ(call(in, weights, window, out), 0);
    std::vector<Sum> expected;
    std::vector<float> found;
    for (std::int64_t b = 0; b < blocks; b++) {
        for (std::int64_t m = 0; m < multiplier; m++) {
            for (std::int64_t y = 0; y < height; y++) {
                for (std::int64_t x = 0; x < width; x++) {
                    for (std::int64_t lane = 0; lane < lanes; lane++) {
                        Sum sum;
                        for (std::int64_t j = 0; j < window.height; j++) {
                            for (std::int64_t i = 0; i < window.width; i++) {
                                const std::int64_t at_x = x * window.stride_x + i * window.dilation_x - before_x;
                                const std::int64_t at_y = y * window.stride_y + j * window.dilation_y - before_y;
                                if (at_x < 0 || at_x >= in_width || at_y < 0 || at_y >= in_height) continue;
                                sum.add(static_cast<double>(padded[b * in_block + at_y * in_y + at_x * in_x + lane]) *
                                        taps[(b * multiplier + m) * tap_window + j * tap_row + i * lanes + lane]);
                            }
                        }
                        expected.push_back(sum);
                        found.push_back(scratch[b * out_block + m * out_multiplier + y * out_row + x * pixel + lane]);
                    }
                }
            }
        }
    }
    expect_close(found, expected);
    EXPECT_TRUE(scratch.surroundings_untouched());
}

void DepthwiseRow::channels_first(Random &random, Guard guard) const {
    const Window window(params_, random);
    const std::int64_t lanes = params_.lanes, multiplier = random.in(1, 3), channels = random.in(1, 3), stride = window.stride_x;
    // A row is at least a vector wide.
    const std::int64_t width = random.in(lanes, 3 * lanes), height = random.in(params_.together, params_.together + 6);
    const std::int64_t pitch = stride == 1 ? window.span_x(width) : width + (window.width - 1) / stride;
    const std::int64_t in_width = pitch * stride, in_height = window.span_y(height);
    const std::int64_t window_size = window.width * window.height;
    GuardedValues padded(row_.type, random.reals(in_width * in_height * channels, 1), guard);
    GuardedValues taps(row_.type, random.reals(window_size * multiplier * channels, 1), guard);
    GuardedValues scratch(row_.type, width * height * multiplier * channels, guard);
    Buffer<4> in(padded, {{pitch, 1}, {stride, pitch}, {in_height, in_width}, {channels, in_width * in_height}});
    Buffer<5> weights(
        taps, {{window.width, 1}, {window.height, window.width}, {multiplier, window_size}, {channels, window_size * multiplier}, {1, 0}});
    Buffer<5> out(scratch, {{width, 1}, {height, width}, {multiplier, width * height}, {channels, width * height * multiplier}, {1, 0}});
    ASSERT_EQ(call(in, weights, window, out), 0);
    std::vector<Sum> expected;
    for (std::int64_t c = 0; c < channels; c++) {
        for (std::int64_t m = 0; m < multiplier; m++) {
            for (std::int64_t y = 0; y < height; y++) {
                for (std::int64_t x = 0; x < width; x++) {
                    Sum sum;
                    for (std::int64_t j = 0; j < window.height; j++) {
                        for (std::int64_t i = 0; i < window.width; i++) {
                            const std::int64_t at_x = x * stride + i * window.dilation_x,
                                               at_y = y * window.stride_y + j * window.dilation_y;
                            const std::int64_t in_row = (c * in_height + at_y) * in_width;
                            sum.add(static_cast<double>(padded[in_row + at_x % stride * pitch + at_x / stride]) *
                                    taps[(c * multiplier + m) * window_size + j * window.width + i]);
                        }
                    }
                    expected.push_back(sum);
                }
            }
        }
    }
    expect_close(scratch.values(), expected);
    EXPECT_TRUE(scratch.surroundings_untouched());
}

TEST_P(DepthwiseRow, SumsOverTheWindow) {
    for_each_case(
        [&](Random &random, Guard guard) { params_.channels_first ? channels_first(random, guard) : channels_last(random, guard); });
}

// ---- pointwise

class PointwiseRow : public RowTest {
protected:
    void channels_last(Random &random, Guard guard) const;
    void channels_first(Random &random, Guard guard) const;

    // The clamp of the epilogue: none, or a range that cuts some of the values.
    struct Clamp {
        float low = -infinity, high = infinity;
        explicit Clamp(Random &random) {
            if (random.chance(50)) low = -0.25F, high = 0.5F;
        }
        double operator()(double value) const { return std::clamp<double>(value, low, high); }
    };
};
INSTANTIATE_TEST_SUITE_P(Rows, PointwiseRow, testing::ValuesIn(rows_of(Stage::pointwise)), name_of);

void PointwiseRow::channels_last(Random &random, Guard guard) const {
    // Channels of the scratch's blocks; the panels may be narrower.
    const std::int64_t lanes = params_.pixel_stride, panel_width = params_.lanes * params_.vectors, multiplier = random.in(1, 3);
    // Whole blocks of depthwise channels, and blocks of which only some lanes count.
    const std::int64_t full = random.in(0, 3) * multiplier, even = params_.paired ? 2 : 1;
    const std::int64_t tail_lanes = even * random.in(full == 0 ? 1 : 0, (lanes - 1) / even);
    const std::int64_t tails = tail_lanes > 0 ? multiplier : 0, tail_first = full > 0 && tails > 0 ? lanes - tail_lanes : 0;
    const std::int64_t steps = full * lanes + tails * tail_lanes;
    const std::int64_t pixels = random.in(params_.rows, params_.rows * 3 + 2), pitch = pixels + random.in(0, 3);
    const std::int64_t panels = random.in(1, 3), filters = (panels - 1) * panel_width + random.in(1, panel_width);
    const std::int64_t out_pixel = filters + random.in(0, 5), block = lanes * pitch;
    const Clamp clamp(random);
    GuardedValues scratch(row_.type, random.reals((full + tails - 1) * block + pixels * lanes, 1), guard);
    GuardedValues panel(row_.type, random.reals(panels * panel_width * steps, 1 / std::sqrt(static_cast<float>(steps))), guard);
    GuardedValues bias(row_.type, random.reals(panels * panel_width, 1), guard);
    GuardedValues output(row_.type, (pixels - 1) * out_pixel + filters, guard);
    Buffer<3> in(scratch, {{lanes, 1}, {pixels, lanes}, {full + tails, block}});
    Buffer<3> weights(panel, {{panel_width, 1}, {steps, panel_width}, {panels, panel_width * steps}});
    Buffer<1> biases(bias, {{panels * panel_width, 1}});
    Buffer<3> out(output, {{filters, 1}, {params_.rows, out_pixel}, {pixels, out_pixel}});
    // A step's weight for a filter of the panel.
    const auto weight_at = [&](std::int64_t step, std::int64_t filter) {
        if (!params_.paired) return step * panel_width + filter;
        const std::int64_t first = step / 2 * 2 * panel_width + filter / params_.lanes * 2 * params_.lanes, place = filter % params_.lanes;
        return first + (place % 2 == step % 2 ? place : 2 * params_.lanes - 1 - place);
    };
    const std::vector<float> before = output.values();
    ASSERT_EQ(row_.pointwise(in, weights, biases, static_cast<int>(full), static_cast<int>(tails), static_cast<int>(tail_first),
                             static_cast<int>(tail_lanes), clamp.low, clamp.high, out),
              0);
    std::vector<Sum> expected;
    std::vector<float> found, between, between_before;
    for (std::int64_t pixel = 0; pixel < pixels; pixel++) {
        for (std::int64_t f = 0; f < out_pixel; f++) {
            const std::size_t at = static_cast<std::size_t>(pixel * out_pixel + f);
            if (f >= filters) {
                if (at < before.size()) between.push_back(output[at]), between_before.push_back(before[at]);
                continue;
            }
            Sum sum;
            sum.add(bias[f]);
            for (std::int64_t step = 0; step < steps; step++) {
                const std::int64_t rest = step - full * lanes;
                const std::int64_t from =
                    rest < 0 ? step / lanes * block + step % lanes : (full + rest / tail_lanes) * block + tail_first + rest % tail_lanes;
                sum.add(static_cast<double>(scratch[from + pixel * lanes]) *
                        panel[f / panel_width * panel_width * steps + weight_at(step, f % panel_width)]);
            }
            sum.value = clamp(sum.value);
            expected.push_back(sum);
            found.push_back(output[at]);
        }
    }
    expect_close(found, expected);
    EXPECT_TRUE(same_bits(between, between_before)) << "filters beyond the last were written";
    EXPECT_TRUE(output.surroundings_untouched());
}

void PointwiseRow::channels_first(Random &random, Guard guard) const {
    const std::int64_t lanes = params_.lanes, rows = params_.rows, steps = random.in(1, 40);
    // Whole groups of vectors, of which the last may be cut; the scratch reaches to the end of the vector.
    const std::int64_t vectors = params_.vectors * random.in(1, 3), pixels = vectors * lanes - random.in(0, lanes - 1);
    const std::int64_t pitch = round_up(pixels, lanes) + random.in(0, 5);
    const std::int64_t groups = random.in(1, 3), filters = groups * rows, out_filter = pixels + random.in(0, 5);
    const Clamp clamp(random);
    GuardedValues scratch(row_.type, random.reals((steps - 1) * pitch + round_up(pixels, lanes), 1), guard);
    GuardedValues panel(row_.type, random.reals(filters * steps, 1 / std::sqrt(static_cast<float>(steps))), guard);
    GuardedValues bias(row_.type, random.reals(filters, 1), guard);
    GuardedValues output(row_.type, (filters - 1) * out_filter + pixels, guard);
    Buffer<3> in(scratch, {{pixels, 1}, {steps, pitch}, {1, 0}});
    // Each group by itself, or neighbours in a wide panel.
    const bool wide = random.chance(50);
    const std::int64_t step = wide ? filters : rows, group = wide ? rows : rows * steps;
    Buffer<3> weights(panel, {{rows, 1}, {steps, step}, {groups, group}});
    Buffer<1> biases(bias, {{filters, 1}});
    Buffer<3> out(output, {{pixels, 1}, {filters, out_filter}, {1, 0}});
    const std::vector<float> before = output.values();
    ASSERT_EQ(row_.pointwise(in, weights, biases, static_cast<int>(steps), 0, 0, 0, clamp.low, clamp.high, out), 0);
    std::vector<Sum> expected;
    std::vector<float> found, between, between_before;
    for (std::int64_t f = 0; f < filters; f++) {
        for (std::int64_t pixel = 0; pixel < out_filter; pixel++) {
            const std::size_t at = static_cast<std::size_t>(f * out_filter + pixel);
            if (pixel >= pixels) {
                if (at < before.size()) between.push_back(output[at]), between_before.push_back(before[at]);
                continue;
            }
            Sum sum;
            sum.add(bias[f]);
            for (std::int64_t q = 0; q < steps; q++) {
                sum.add(static_cast<double>(scratch[q * pitch + pixel]) * panel[f / rows * group + q * step + f % rows]);
            }
            sum.value = clamp(sum.value);
            expected.push_back(sum);
            found.push_back(output[at]);
        }
    }
    expect_close(found, expected);
    EXPECT_TRUE(same_bits(between, between_before)) << "pixels beyond the last were written";
    EXPECT_TRUE(output.surroundings_untouched());
}

TEST_P(PointwiseRow, MultipliesThePanelsAndClamps) {
    for_each_case(
        [&](Random &random, Guard guard) { params_.channels_first ? channels_first(random, guard) : channels_last(random, guard); });
}

// ---- copied

class CopiedRow : public RowTest {};
INSTANTIATE_TEST_SUITE_P(Rows, CopiedRow, testing::ValuesIn(rows_of(Stage::copied)), name_of);

TEST_P(CopiedRow, CopiesTheColumnsOfAPhaseAndNothingBetween) {
    for_each_case([&](Random &random, Guard guard) {
        const std::int64_t width = random.in(params_.lanes, 70), height = random.in(1, 5), channels = random.in(1, 3);
        // The last column of the phase may be the image's last.
        const std::int64_t in_width = (width - 1) * params_.stride + 1, in_y = in_width + random.in(0, 5),
                           in_c = in_y * height + random.in(0, 5);
        const std::int64_t out_y = width + random.in(0, 5), out_c = out_y * height + random.in(0, 5);
        GuardedValues image(row_.image_type, random.reals((channels - 1) * in_c + (height - 1) * in_y + in_width, 1), guard);
        GuardedValues strip(row_.type, (channels - 1) * out_c + (height - 1) * out_y + width, guard);
        std::vector<float> expected = strip.values();
        for (std::int64_t c = 0; c < channels; c++) {
            for (std::int64_t y = 0; y < height; y++) {
                for (std::int64_t x = 0; x < width; x++) {
                    expected[c * out_c + y * out_y + x] = in_type(row_.type, image[c * in_c + y * in_y + x * params_.stride]);
                }
            }
        }
        Buffer<3> in(image, {{in_width, 1}, {height, in_y}, {channels, in_c}});
        Buffer<3> out(strip, {{width, 1}, {height, out_y}, {channels, out_c}});
        ASSERT_EQ(row_.moved(in, out), 0);
        EXPECT_TRUE(same_bits(strip.values(), expected));
        EXPECT_TRUE(strip.surroundings_untouched());
    });
}

// ---- transposed

class TransposedRow : public RowTest {};
INSTANTIATE_TEST_SUITE_P(Rows, TransposedRow, testing::ValuesIn(rows_of(Stage::transposed)), name_of);

TEST_P(TransposedRow, PutsEveryValueInItsPlaceAndNothingBetween) {
    for_each_case([&](Random &random, Guard guard) {
        const std::int64_t i = random.in(params_.lanes, 40), j = random.in(params_.lanes, 40), k = random.in(1, 4);
        // Rows or columns may lie between what is copied, on both sides.
        const std::int64_t from_k = j + random.in(0, 5), from_i = from_k * k + random.in(0, 5);
        const std::int64_t to_j = i + random.in(0, 5), to_k = to_j * j + random.in(0, 5);
        GuardedValues from(row_.image_type, random.reals((i - 1) * from_i + (k - 1) * from_k + j, 1), guard);
        GuardedValues to(row_.type, (j - 1) * to_j + (k - 1) * to_k + i, guard);
        std::vector<float> expected = to.values();
        for (std::int64_t z = 0; z < k; z++) {
            for (std::int64_t y = 0; y < j; y++) {
                for (std::int64_t x = 0; x < i; x++)
                    expected[z * to_k + y * to_j + x] = in_type(row_.type, from[x * from_i + z * from_k + y]);
            }
        }
        Buffer<3> in(from, {{j, 1}, {k, from_k}, {i, from_i}}), out(to, {{i, 1}, {j, to_j}, {k, to_k}});
        ASSERT_EQ(row_.moved(in, out), 0);
        EXPECT_TRUE(same_bits(to.values(), expected));
        EXPECT_TRUE(to.surroundings_untouched());
    });
}

// ---- activated

class ActivatedRow : public RowTest {
protected:
    ActivationKind kind() const {
        const std::string name = params_.activation;
        if (name == "hard_sigmoid_keras2") return ActivationKind::hard_sigmoid_keras2;
        if (name == "gelu_approximate") return ActivationKind::gelu_approximate;
        int i = 0;
        while (name != sepconv::name(static_cast<ActivationKind>(i))) i++;
        return static_cast<ActivationKind>(i);
    }
};
INSTANTIATE_TEST_SUITE_P(Rows, ActivatedRow, testing::ValuesIn(rows_of(Stage::activated)), name_of);

TEST_P(ActivatedRow, AppliesTheFunctionToEveryRow) {
    for_each_case([&](Random &random, Guard guard) {
        Activation activation = default_activation(kind());
        if (activation.kind == ActivationKind::threshold) activation.a = 0.25F, activation.b = -3;
        const bool half = activation.kind == ActivationKind::glu;
        const std::int64_t length = random.in(1, 70), in_length = half ? 2 * length : length, rows = random.in(1, 4);
        const std::int64_t in_row = in_length + random.in(0, 5), out_row = half ? length + random.in(0, 5) : in_row;
        const std::vector<float> values = random.reals((rows - 1) * in_row + in_length, 4);
        GuardedValues input(row_.type, values, guard), other(row_.type, half ? (rows - 1) * out_row + length : 0, guard);
        GuardedValues &output = half ? other : input;  // in place, but for glu
        const std::vector<float> before = output.values();
        Buffer<2> in(input, {{in_length, 1}, {rows, in_row}}), out(output, {{length, 1}, {rows, out_row}});
        ASSERT_EQ(row_.activated(in, activation.a, activation.b, activation.c, out), 0);
        reference::Tensor tensor{{1, 1, rows, in_length}, {}};
        std::vector<float> found, between, between_before;
        for (std::int64_t y = 0; y < rows; y++) {
            for (std::int64_t x = 0; x < in_length; x++) tensor.values.push_back(in_type(row_.type, values[y * in_row + x]));
            for (std::int64_t x = 0; x < out_row; x++) {
                const std::size_t at = static_cast<std::size_t>(y * out_row + x);
                if (x < length) {
                    found.push_back(output[at]);
                } else if (at < before.size()) {
                    between.push_back(output[at]), between_before.push_back(before[at]);
                }
            }
        }
        const std::vector<double> expected = reference::activated(tensor, activation).values;
        if (row_.type == Dtype::float32) {
            expect_close(found, expected);
        } else {
            // Computed in float32 and rounded once. Where the function jumps between two numbers of float16, both see the same side.
            ASSERT_EQ(found.size(), expected.size());
            for (std::size_t i = 0; i < found.size(); i++) {
                const double allowed = 0x1.01p-11 * std::abs(expected[i]) + 2e-6;
                ASSERT_TRUE(is_close(found[i], expected[i], allowed))
                    << fmt::format("expected {:.9g}, found {:.9g}", expected[i], found[i]);
            }
        }
        EXPECT_TRUE(same_bits(between, between_before)) << "values between the rows were written";
        EXPECT_TRUE(output.surroundings_untouched());
    });
}

TEST(Rows, EveryStageHasSomeOnThisCpu) {
    for (const Stage stage : {Stage::padded, Stage::depthwise, Stage::pointwise, Stage::activated, Stage::copied, Stage::transposed})
        EXPECT_FALSE(rows_of(stage).empty());
}

}  // namespace
}  // namespace sepconv
