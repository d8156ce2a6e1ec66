// The fused form: every pipeline of the sample that CMakeLists.txt lists, for every target that this CPU runs, against the reference,
// with each tensor ending at, and then starting after, a page that may not be touched; where sizes are open, for several images.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "HalideRuntime.h"
#include "fused_layer.h"
#include "gtest/gtest.h"
#include "guarded.h"
#include "reference.h"
#include "registry.h"
#include "sepconv/sepconv.h"

extern "C" {
#define SEPCONV_FUSED(function, ...) \
    int function(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
#define SEPCONV_FUSED_PACKED(function, ...)                                                                               \
    SEPCONV_FUSED(function, )                                                                                             \
    int function##_packing(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, \
                           halide_buffer_t *);
#include "fused_registry.inc"
#undef SEPCONV_FUSED_PACKED
#undef SEPCONV_FUSED
}

namespace sepconv {
namespace {

using Packing = int (*)(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);
using Function = int (*)(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, halide_buffer_t *);

struct Fused {
    std::string name, target;
    Function function;
    Packing packing;  // null: takes Keras' weights
    std::int64_t height, width, channels, filters;
    std::string params;
};
std::ostream &operator<<(std::ostream &out, const Fused &fused) { return out << fused.params; }

std::vector<Fused> all_fused() {
    std::vector<Fused> list;
    auto add = [&](const Fused &fused) {
        if (runs_here(*find_target(fused.target))) list.push_back(fused);
    };
#define SEPCONV_FUSED(function, target, height, width, channels, filters, params) \
    add({#function, #target, &function, nullptr, height, width, channels, filters, params});
#define SEPCONV_FUSED_PACKED(function, target, height, width, channels, filters, params) \
    add({#function, #target, &function, &function##_packing, height, width, channels, filters, params});
#include "fused_registry.inc"
#undef SEPCONV_FUSED_PACKED
#undef SEPCONV_FUSED
    return list;
}

// The images to try: the one that is named, and for open sizes some that are smaller than the window, a tile or a block, and larger.
std::vector<std::pair<std::int64_t, std::int64_t>> images_of(const Fused &fused, const LayerConfig &config) {
    std::map<std::string, std::string> params = params_of(fused.params);
    std::vector<std::pair<std::int64_t, std::int64_t>> images = {{fused.height, fused.width}};
    if (fused.packing == nullptr) return images;
    const bool open_height = params["open_height"] == "true", open_width = params["open_width"] == "true";
    const std::int64_t low = config.padding == Padding::same ? 1 : (config.kernel_size[0] - 1) * config.dilation_rate[0] + 1;
    const std::int64_t narrow = config.padding == Padding::same ? 1 : (config.kernel_size[1] - 1) * config.dilation_rate[1] + 1;
    for (const auto &[height, width] : {std::pair<std::int64_t, std::int64_t>{0, 0}, {0, 1}, {1, 5}, {4, 0}, {2, 200}, {47, 2}, {30, 41}}) {
        if (!open_height && !open_width) break;
        images.emplace_back(open_height ? low + height : fused.height, open_width ? narrow + width : fused.width);
    }
    return images;
}

// One call: random tensors at one side of forbidden pages, in gaps of the input NaN and in those of the output another value.
class Call {
public:
    Call(const Fused &fused, const LayerConfig &config, std::int64_t height, std::int64_t width, Guard guard)
        : config_(config),
          fused_(fused),
          input_shape_(config.data_format == DataFormat::channels_first ? Shape{batch, fused.channels, height, width}
                                                                        : Shape{batch, height, width, fused.channels}),
          output_shape_(output_shape(config, input_shape_)),
          depthwise_channels_(fused.channels * config.depth_multiplier),
          image_(filled(count(input_shape_), guard)),
          depthwise_(filled(config.kernel_size[0] * config.kernel_size[1] * depthwise_channels_, guard)),
          pointwise_(filled(depthwise_channels_ * config.filters, guard)),
          bias_(filled(config.filters, guard)),
          guard_(guard) {}

    // The output in the order of dense memory.
    void run(std::vector<float> &found) {
        std::map<std::string, std::string> params = params_of(fused_.params);
        const bool apart = params["dense"] == "false";
        const bool open = params["open_height"] == "true" || params["open_width"] == "true";
        const bool flat = fused_.packing != nullptr && !apart && !open && is_elementwise(config_.activation.kind);
        FloatBuffer in(nullptr, reversed(input_shape_), apart);
        const bool first = config_.data_format == DataFormat::channels_first;
        const std::int64_t pixels = output_shape_[first ? 2 : 1] * output_shape_[first ? 3 : 2];
        const std::vector<std::int64_t> flat_extents = {first ? pixels : config_.filters, first ? config_.filters : pixels, batch};
        FloatBuffer out(nullptr, flat ? flat_extents : reversed(output_shape_), apart);
        GuardedFloats input(in.count(), guard_), output(out.count(), guard_);
        constexpr float untouched = 77;
        std::fill_n(input.data(), in.count(), std::numeric_limits<float>::quiet_NaN());
        std::fill_n(output.data(), out.count(), untouched);
        const std::vector<std::int64_t> from = in.places(), to = out.places();
        for (std::size_t i = 0; i < from.size(); i++) input.data()[from[i]] = image_.data()[i];
        in.use(input.data()), out.use(output.data());
        const Weights of_keras = weights();
        FloatBuffer taps(depthwise_.data(), reversed(of_keras.depthwise_shape));
        FloatBuffer matrix(pointwise_.data(), {config_.filters, depthwise_channels_}), biases(bias_.data(), {config_.filters});
        if (fused_.packing == nullptr) {
            ASSERT_EQ(fused_.function(&in.buffer, &taps.buffer, &matrix.buffer, &biases.buffer, &out.buffer), 0);
        } else {
            FloatBuffer packed_taps(nullptr, {0, 0, 0, 0}), panels(nullptr, {0, 0}), padded_bias(nullptr, {0});
            auto pack = [&] {
                return fused_.packing(&taps.buffer, &matrix.buffer, &biases.buffer, &packed_taps.buffer, &panels.buffer,
                                      &padded_bias.buffer);
            };
            ASSERT_EQ(pack(), 0);  // without memory: asks for the extents
            GuardedFloats of_taps(packed_taps.count(), guard_), of_panels(panels.count(), guard_), of_bias(padded_bias.count(), guard_);
            packed_taps.use(of_taps.data()), panels.use(of_panels.data()), padded_bias.use(of_bias.data());
            ASSERT_EQ(pack(), 0);
            for (const auto &[buffer, values] : {std::pair{&packed_taps, &of_taps}, {&panels, &of_panels}, {&padded_bias, &of_bias}}) {
                packed_.insert(packed_.end(), values->data(), values->data() + buffer->count());
            }
            ASSERT_EQ(fused_.function(&in.buffer, &packed_taps.buffer, &panels.buffer, &padded_bias.buffer, &out.buffer), 0);
        }
        found.clear();
        for (const std::int64_t place : to) {
            found.push_back(output.data()[place]);
            output.data()[place] = untouched;
        }
        for (std::int64_t i = 0; i < out.count(); i++) ASSERT_EQ(output.data()[i], untouched) << "in a gap of the output, at " << i;
    }

    std::vector<double> expected() const {
        return reference::activated(reference::product(config_, weights(), image_.data(), input_shape_), config_.activation).values;
    }

    // The packed weights of the last run, one after the other.
    const std::vector<float> &packed() const { return packed_; }

private:
    static constexpr std::int64_t batch = 2;

    static std::int64_t count(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }
    GuardedFloats filled(std::int64_t count, Guard guard) {
        std::uniform_real_distribution<float> uniform(-1, 1);
        GuardedFloats values(count, guard);
        for (std::int64_t i = 0; i < count; i++) values.data()[i] = uniform(random_);
        return values;
    }
    Weights weights() const {
        return {depthwise_.data(),
                {config_.kernel_size[0], config_.kernel_size[1], fused_.channels, config_.depth_multiplier},
                pointwise_.data(),
                {1, 1, depthwise_channels_, config_.filters},
                config_.use_bias ? bias_.data() : nullptr,
                config_.use_bias ? config_.filters : 0};
    }

    LayerConfig config_;
    Fused fused_;
    Shape input_shape_, output_shape_;
    std::int64_t depthwise_channels_;
    std::mt19937 random_{7};
    GuardedFloats image_, depthwise_, pointwise_, bias_;
    Guard guard_;
    std::vector<float> packed_;
};

class FusedForm : public testing::TestWithParam<Fused> {};

TEST_P(FusedForm, EqualsTheReferenceAndTouchesNothingBesideItsTensors) {
    const Fused &fused = GetParam();
    const LayerConfig config = config_of(fused.params, fused.filters);
    for (const auto &[height, width] : images_of(fused, config)) {
        for (const Guard guard : {Guard::after, Guard::before}) {
            Call call(fused, config, height, width, guard);
            std::vector<float> found;
            ASSERT_NO_FATAL_FAILURE(call.run(found)) << height << "×" << width;
            const std::vector<double> expected = call.expected();
            ASSERT_EQ(found.size(), expected.size());
            double largest = 0;
            for (const double value : expected) largest = std::max(largest, std::abs(value));
            for (std::size_t i = 0; i < expected.size(); i++) {
                ASSERT_NEAR(found[i], expected[i], 1e-5 * largest)
                    << "at " << i << " of " << expected.size() << ", image " << height << "×" << width;
            }
        }
    }
}

// The names of forms of one layer.
class FusedForms : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(FusedForms, OfOneLayerTakeTheSamePackedWeightsAndAgreeBitForBit) {
    std::map<std::string, std::pair<std::vector<float>, std::vector<float>>> first;
    std::size_t others = 0;
    for (const Fused &fused : all_fused()) {
        const bool one_of_them = std::any_of(GetParam().begin(), GetParam().end(),
                                             [&](const std::string &name) { return fused.name == "fused_" + name + "_" + fused.target; });
        if (!one_of_them) continue;
        Call call(fused, config_of(fused.params, fused.filters), fused.height, fused.width, Guard::after);
        std::vector<float> found;
        ASSERT_NO_FATAL_FAILURE(call.run(found));
        const auto &[of_target, is_first] = first.try_emplace(fused.target, call.packed(), found);
        if (is_first) continue;
        EXPECT_EQ(call.packed(), of_target->second.first) << fused.name;
        EXPECT_EQ(found, of_target->second.second) << fused.name;
        others++;
    }
    EXPECT_EQ(others, (GetParam().size() - 1) * first.size());
}

INSTANTIATE_TEST_SUITE_P(Sample, FusedForms,
                         testing::Values(std::vector<std::string>{"packed", "packed_strided", "packed_open", "packed_open_strided"},
                                         std::vector<std::string>{"planes", "planes_strided"}),
                         [](const auto &info) { return info.param.front(); });

INSTANTIATE_TEST_SUITE_P(Sample, FusedForm, testing::ValuesIn(all_fused()), [](const auto &info) { return info.param.name; });

}  // namespace
}  // namespace sepconv
