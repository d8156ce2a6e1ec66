// One config for each way in which a config alone can be wrong, with what the message must say: held against the C++ interface, the C
// interface and the command.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace sepconv {

struct BadConfig {
    const char *name;
    const char *config;
    std::vector<std::string> parts;  ///< of the message: the argument's name, what was expected and what was found
};

inline void PrintTo(const BadConfig &bad, std::ostream *out) { *out << bad.config; }

inline const BadConfig bad_configs[] = {
    {"FiltersAbsent", R"({"kernel_size": 3})", {"filters: expected a positive integer, found nothing"}},
    {"FiltersZero", R"({"filters": 0, "kernel_size": 3})", {"filters: expected a positive integer, found 0"}},
    {"FiltersNegative", R"({"filters": -4, "kernel_size": 3})", {"filters: expected a positive integer, found -4"}},
    {"FiltersAString", R"({"filters": "16", "kernel_size": 3})", {"filters: expected a positive integer, found \"16\""}},
    {"FiltersAFraction", R"({"filters": 1.5, "kernel_size": 3})", {"filters: expected a positive integer, found 1.5"}},
    {"KernelSizeAbsent", R"({"filters": 16})", {"kernel_size: expected one positive integer or two, found nothing"}},
    {"KernelSizeZero", R"({"filters": 16, "kernel_size": [3, 0]})", {"kernel_size: expected one positive integer or two, found [3, 0]"}},
    {"KernelSizeOfThree",
     R"({"filters": 16, "kernel_size": [3, 3, 3]})",
     {"kernel_size: expected one positive integer or two", "[3, 3, 3]"}},
    {"KernelSizeAString", R"({"filters": 16, "kernel_size": "3"})", {"kernel_size: expected one positive integer or two, found \"3\""}},
    {"StridesZero", R"({"filters": 16, "kernel_size": 3, "strides": [2, 0]})", {"strides: expected one positive integer or two", "[2, 0]"}},
    {"StridesNegative", R"({"filters": 16, "kernel_size": 3, "strides": -1})", {"strides: expected one positive integer or two, found -1"}},
    {"StridesOfOneInAList",
     R"({"filters": 16, "kernel_size": 3, "strides": [2]})",
     {"strides: expected one positive integer or two", "[2]"}},
    {"DilationZero",
     R"({"filters": 16, "kernel_size": 3, "dilation_rate": 0})",
     {"dilation_rate: expected one positive integer or two, found 0"}},
    {"DilationNegative",
     R"({"filters": 16, "kernel_size": 3, "dilation_rate": [1, -2]})",
     {"dilation_rate: expected one positive integer or two", "[1, -2]"}},
    {"DilationOfThree",
     R"({"filters": 16, "kernel_size": 3, "dilation_rate": [1, 1, 1]})",
     {"dilation_rate: expected one positive integer or two", "[1, 1, 1]"}},
    {"DepthMultiplierZero",
     R"({"filters": 16, "kernel_size": 3, "depth_multiplier": 0})",
     {"depth_multiplier: expected a positive integer, found 0"}},
    {"DepthMultiplierNegative",
     R"({"filters": 16, "kernel_size": 3, "depth_multiplier": -1})",
     {"depth_multiplier: expected a positive integer, found -1"}},
    {"DepthMultiplierAList",
     R"({"filters": 16, "kernel_size": 3, "depth_multiplier": [1]})",
     {"depth_multiplier: expected a positive integer, found [1]"}},
    {"StridesWithDilation",
     R"({"filters": 16, "kernel_size": 3, "strides": [1, 2], "dilation_rate": [2, 1]})",
     {"strides: expected 1 where dilation_rate is not 1", "strides [1, 2] with dilation_rate [2, 1]"}},
    {"PaddingUnknown",
     R"({"filters": 16, "kernel_size": 3, "padding": "full"})",
     {"padding: expected \"valid\" or \"same\", found \"full\""}},
    {"PaddingCausal",
     R"({"filters": 16, "kernel_size": 3, "padding": "causal"})",
     {"padding: expected \"valid\" or \"same\"", "\"causal\"", "1-D"}},
    {"PaddingANumber", R"({"filters": 16, "kernel_size": 3, "padding": 1})", {"padding: expected \"valid\" or \"same\", found 1"}},
    {"DataFormatUnknown",
     R"({"filters": 16, "kernel_size": 3, "data_format": "NHWC"})",
     {"data_format: expected \"channels_last\" or \"channels_first\", found \"NHWC\""}},
    {"UseBiasANumber", R"({"filters": 16, "kernel_size": 3, "use_bias": 1})", {"use_bias: expected", "found 1"}},
    {"ActivationUnknown", R"({"filters": 16, "kernel_size": 3, "activation": "rellu"})", {"activation: expected", "\"rellu\""}},
    {"ActivationInCapitals", R"({"filters": 16, "kernel_size": 3, "activation": "ReLu"})", {"activation: expected", "\"ReLu\""}},
    {"ActivationANumber", R"({"filters": 16, "kernel_size": 3, "activation": 6})", {"activation: expected", "found 6"}},
    {"ActivationThresholdWithoutParameters",
     R"({"filters": 16, "kernel_size": 3, "activation": "threshold"})",
     {"activation", "threshold"}},
    {"ActivationPReLU",
     R"({"filters": 16, "kernel_size": 3, "activation": {"class_name": "PReLU", "config": {}}})",
     {"activation", "PReLU", "weights of its own"}},
    {"ActivationACustomFunction",
     R"({"filters": 16, "kernel_size": 3, "activation": {"class_name": "function", "config": "mine", "registered_name": "mine"}})",
     {"activation", "mine", "custom"}},
    {"ActivationALambda",
     R"({"filters": 16, "kernel_size": 3, "activation": {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}}})",
     {"activation: expected", "found a Lambda", "Python code"}},
    {"ActivationReLUWithANegativeMaximum",
     R"({"filters": 16, "kernel_size": 3, "activation": {"class_name": "ReLU", "config": {"max_value": -1.0}}})",
     {"activation", "max_value", "-1"}},
    {"OddFiltersUnderGlu", R"({"filters": 15, "kernel_size": 3, "activation": "glu"})", {"filters: expected an even number", "found 15"}},
    {"GroupsOfTwo", R"({"filters": 16, "kernel_size": 3, "groups": 2})", {"groups", "2"}},
    {"KernelRegularizerNotNull", R"({"filters": 16, "kernel_size": 3, "kernel_regularizer": "l2"})", {"kernel_regularizer", "\"l2\""}},
    {"InitializerUnknown",
     R"({"filters": 16, "kernel_size": 3, "depthwise_initializer": "glorot"})",
     {"depthwise_initializer: expected", "\"glorot\""}},
    {"RegularizerANumber",
     R"({"filters": 16, "kernel_size": 3, "pointwise_regularizer": 0.01})",
     {"pointwise_regularizer: expected", "0.01"}},
    {"ConstraintUnknown",
     R"({"filters": 16, "kernel_size": 3, "bias_constraint": "positive"})",
     {"bias_constraint: expected", "\"positive\""}},
    {"ArgumentUnknown", R"({"filters": 16, "kernel_size": 3, "stride": 2})", {"stride", "strides"}},
    {"ArgumentOfAnotherLayer", R"({"filters": 16, "kernel_size": 3, "output_padding": 1})", {"output_padding"}},
    {"NotJson", "filters: 16", {"JSON"}},
    {"JsonCutOff", R"({"filters": 16, "kernel)", {"JSON"}},
    {"NotAnObject", "[16, 3]", {"expected", "[16, 3]"}},
    {"Empty", "", {"expected", "JSON"}},
};

}  // namespace sepconv
