// Every bad config through the C++ interface and the C interface; tests/tools has it through the command.
#include <cstring>
#include <string>

#include "bad_configs.h"
#include "gmock/gmock.h"
#include "sepconv/c.h"
#include "sepconv/config.h"

namespace sepconv {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class BadConfigs : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigs, IsAConfigErrorThatNamesTheArgument) {
    ParseContext context;
    context.source = "layer.json";
    try {
        parse_config(GetParam().config, context);
        FAIL() << "expected a ConfigError";
    } catch (const ConfigError &error) {
        EXPECT_THAT(error.what(), StartsWith("layer.json: "));
        for (const std::string &part : GetParam().parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
}

TEST_P(BadConfigs, IsTheSameMessageInC) {
    sepconv_parse_options options = {};
    options.source = "layer.json";
    sepconv_config *config = nullptr;
    EXPECT_EQ(sepconv_config_parse(GetParam().config, std::strlen(GetParam().config), &options, &config), SEPCONV_CONFIG_ERROR);
    EXPECT_EQ(config, nullptr);
    EXPECT_THAT(sepconv_last_error(), StartsWith("layer.json: "));
    for (const std::string &part : GetParam().parts) EXPECT_THAT(sepconv_last_error(), HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(Config, BadConfigs, testing::ValuesIn(bad_configs),
                         [](const testing::TestParamInfo<BadConfig> &info) { return info.param.name; });

// ---- what only a layer and an image can get wrong, through C; errors_test has it through C++

class BadLayer : public testing::Test {
protected:
    BadLayer() {
        const char *json = R"({"filters": 2, "kernel_size": 3, "data_format": "channels_last"})";
        EXPECT_EQ(sepconv_config_parse(json, std::strlen(json), nullptr, &config), SEPCONV_OK);
    }
    ~BadLayer() override { sepconv_config_free(config); }

    sepconv_status create(const sepconv_weights &weights) const {
        sepconv_layer *layer = nullptr;
        const sepconv_status status = sepconv_layer_create(config, &weights, nullptr, &layer);
        sepconv_layer_free(layer);
        return status;
    }

    float depthwise[27] = {}, pointwise[6] = {}, bias[2] = {};
    sepconv_weights good = {depthwise, {3, 3, 3, 1}, pointwise, {1, 1, 3, 2}, bias, 2};
    sepconv_config *config = nullptr;
};

TEST_F(BadLayer, GoodWeightsMakeALayer) { EXPECT_EQ(create(good), SEPCONV_OK); }

TEST_F(BadLayer, DepthwiseKernelOfAnotherSize) {
    good.depthwise_shape[1] = 2;
    EXPECT_EQ(create(good), SEPCONV_SHAPE_ERROR);
    EXPECT_THAT(sepconv_last_error(), HasSubstr("depthwise_kernel: expected shape (3, 3, channels, 1)"));
    EXPECT_THAT(sepconv_last_error(), HasSubstr("found (3, 2, 3, 1)"));
}

TEST_F(BadLayer, PointwiseKernelOfOtherChannels) {
    good.pointwise_shape[2] = 4;
    EXPECT_EQ(create(good), SEPCONV_SHAPE_ERROR);
    EXPECT_THAT(sepconv_last_error(), HasSubstr("pointwise_kernel: expected shape (1, 1, 3, 2)"));
    EXPECT_THAT(sepconv_last_error(), HasSubstr("found (1, 1, 4, 2)"));
}

TEST_F(BadLayer, BiasOfAnotherSize) {
    good.bias_size = 3;
    EXPECT_EQ(create(good), SEPCONV_SHAPE_ERROR);
    EXPECT_THAT(sepconv_last_error(), HasSubstr("bias: expected shape (2), found (3)"));
}

TEST_F(BadLayer, ValidWindowLargerThanTheImage) {
    const int64_t input[4] = {1, 2, 7, 3};
    int64_t output[4] = {};
    EXPECT_EQ(sepconv_config_output_shape(config, input, output), SEPCONV_SHAPE_ERROR);
    EXPECT_THAT(sepconv_last_error(), HasSubstr("found"));
}

}  // namespace
}  // namespace sepconv
