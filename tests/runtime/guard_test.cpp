// Whole layers on memory between forbidden pages: nothing outside a tensor is read or written, whatever the layer.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "closeness.h"
#include "guarded.h"
#include "random_layer.h"

namespace sepconv {
namespace {

using namespace testing_layers;

constexpr Guard both_guards[] = {Guard::before, Guard::after};

class GuardedLayers : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Target, GuardedLayers, testing::ValuesIn(targets_here()), [](const auto &info) { return info.param; });

TEST_P(GuardedLayers, NothingOutsideADenseTensorIsTouched) {
    const std::uint64_t seed = base_seed();
    for (int i = 0; i < case_count(150) && !HasFailure(); i++) {
        const RandomLayer one = random_layer(seed + i, {.work = 500'000});
        SCOPED_TRACE(describe(one, seed + i));
        const std::vector<float> expected = one.run(Layer(one.config, one.weights(), GetParam()));
        for (const Guard guard : both_guards) {
            GuardedFloats depthwise(one.depthwise_kernel, guard), pointwise(one.pointwise_kernel, guard), bias(one.bias, guard);
            Weights weights = one.weights();
            weights.depthwise_kernel = depthwise.data();
            weights.pointwise_kernel = pointwise.data();
            if (weights.bias != nullptr) weights.bias = bias.data();
            const Layer layer(one.config, weights, GetParam());
            GuardedFloats input(one.image, guard), output(static_cast<std::int64_t>(expected.size()), guard);
            layer.run({input.data(), one.input}, {output.data(), one.output}, {.threads = 1, .executor = nullptr});
            EXPECT_TRUE(same_bits(output.values(), expected));
            EXPECT_TRUE(output.surroundings_untouched());
        }
    }
}

// A dense tensor cut into rows (channels_last: of H; channels_first: of H in each channel) that lie between pages of their own.
struct GuardedView {
    GuardedRows rows;
    Shape strides;

    GuardedView(DataFormat format, const Shape &shape, Guard guard)
        : rows(format == DataFormat::channels_first ? shape[0] * shape[1] * shape[2] : shape[0] * shape[1],
               format == DataFormat::channels_first ? shape[3] : shape[2] * shape[3], guard) {
        const std::int64_t row = rows.stride();
        strides = format == DataFormat::channels_first ? Shape{shape[1] * shape[2] * row, shape[2] * row, row, 1}
                                                       : Shape{shape[1] * row, row, shape[3], 1};
    }
    template <typename Move>
    void move(std::vector<float> &dense, const Move &each) {
        for (std::int64_t i = 0; i < static_cast<std::int64_t>(dense.size()); i++)
            each(dense[i], rows.row(i / rows.length())[i % rows.length()]);
    }
};

TEST_P(GuardedLayers, NothingBetweenTheRowsOfAViewIsTouched) {
    const std::uint64_t seed = base_seed();
    for (int i = 0; i < case_count(80) && !HasFailure(); i++) {
        RandomLayer one = random_layer(seed + i, {.work = 300'000});
        SCOPED_TRACE(describe(one, seed + i));
        const Layer layer(one.config, one.weights(), GetParam());
        const std::vector<float> expected = one.run(layer);
        for (const Guard guard : both_guards) {
            GuardedView input(one.config.data_format, one.input, guard), output(one.config.data_format, one.output, guard);
            input.move(one.image, [](float &dense, float &guarded) { guarded = dense; });
            layer.run({input.rows.row(0), one.input, input.strides}, {output.rows.row(0), one.output, output.strides},
                      {.threads = 1, .executor = nullptr});
            std::vector<float> found(expected.size());
            output.move(found, [](float &dense, float &guarded) { dense = guarded; });
            EXPECT_TRUE(same_bits(found, expected));
            EXPECT_TRUE(output.rows.surroundings_untouched());
        }
    }
}

}  // namespace
}  // namespace sepconv
