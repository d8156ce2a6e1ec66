// LayerConfig: every argument of tf.keras.layers.SeparableConv2D, validated, with its defaults resolved.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sepconv/error.h"
#include "sepconv/export.h"

namespace sepconv {

enum class Padding { valid, same };
enum class DataFormat { channels_last, channels_first };
/// The type of a layer's input, weights and output.
enum class Dtype { float32, float16 };

/// The activation functions of Keras 3, under Keras' names. Which parameters each one reads stands beside it;
/// they are Activation::a, b and c, in this order.
enum class ActivationKind {
    linear,
    relu,  ///< max_value (infinity: none), negative_slope, threshold
    relu6,
    leaky_relu,  ///< negative_slope
    elu,         ///< alpha
    selu,
    celu,  ///< alpha
    softplus,
    softsign,
    squareplus,   ///< b
    soft_shrink,  ///< threshold
    hard_shrink,  ///< threshold
    hard_tanh,
    tanh_shrink,
    threshold,  ///< threshold, default value: y = x > threshold ? x : default value
    tanh,
    sigmoid,
    hard_sigmoid,         ///< relu6(x + 3) / 6
    hard_sigmoid_keras2,  ///< clip(0.2 x + 0.5, 0, 1): what `hard_sigmoid` means in a file that Keras 2 wrote
    sparse_plus,
    sparse_sigmoid,
    silu,
    hard_silu,
    gelu,              ///< exact: x (1 + erf(x / sqrt 2)) / 2
    gelu_approximate,  ///< the tanh form
    exponential,
    mish,
    log_sigmoid,
    softmax,      ///< along `axis`
    log_softmax,  ///< along `axis`
    sparsemax,    ///< along `axis`
    glu,          ///< along `axis`, which it halves
};

/// An activation function with its parameters resolved.
struct Activation {
    ActivationKind kind = ActivationKind::linear;
    float a = 0, b = 0, c = 0;
    /// Axes of the output tensor that softmax, log_softmax, sparsemax and glu work along; as Keras counts them, negative from the
    /// end. One axis for all but softmax, whose layer object may list several. Ignored by elementwise functions.
    std::vector<int> axes = {-1};

    bool operator==(const Activation &) const = default;
};

/// Keras' name of a dtype.
SEPCONV_EXPORT std::string_view name(Dtype dtype);
/// Keras' name of an activation ("hard_sigmoid" for both of its meanings).
SEPCONV_EXPORT std::string_view name(ActivationKind kind);
/// True where each output value depends on one input value only.
SEPCONV_EXPORT bool is_elementwise(ActivationKind kind);
/// An activation with Keras' default parameters: Activation{kind} has zeros. `threshold` has no defaults and gets zeros here too.
SEPCONV_EXPORT Activation default_activation(ActivationKind kind);

/// Which Keras wrote a config. It decides what `hard_sigmoid` means and which keys a serialised layer object uses.
enum class KerasVersion { keras2, keras3 };

/// The arguments of SeparableConv2D under Keras' own names (https://keras.io/api/layers/convolution_layers/separable_convolution2d).
/// Pairs are in the order height, width.
struct LayerConfig {
    std::string name = "separable_conv2d";
    bool trainable = true;
    std::int64_t filters = 0;
    std::array<std::int64_t, 2> kernel_size = {3, 3};
    std::array<std::int64_t, 2> strides = {1, 1};
    Padding padding = Padding::valid;
    DataFormat data_format = DataFormat::channels_last;
    std::array<std::int64_t, 2> dilation_rate = {1, 1};
    std::int64_t depth_multiplier = 1;
    Activation activation;
    bool use_bias = true;
    /// float16 for Keras' `float16` and for its `mixed_float16`, whose layers compute in float16 with float32 variables that are rounded to
    /// it before use: weights given as float32 are rounded to nearest. What Keras computes in another type is computed in float32.
    Dtype dtype = Dtype::float32;
    /// {depthwise,pointwise,bias}_{initializer,regularizer,constraint} and activity_regularizer, as JSON text, for those that the
    /// config gave. They say how the layer is trained and do not change what it computes.
    std::map<std::string, std::string> training;

    bool operator==(const LayerConfig &) const = default;
};

/// What parsing may take from around it. Nothing global is read unless it is left at its default.
struct ParseContext {
    /// Named in front of every message, for example the file's name. May be empty.
    std::string source;
    KerasVersion version = KerasVersion::keras3;
    /// The data format for a config that names none. Unset: Keras' own rule, default_data_format().
    std::optional<DataFormat> data_format;
    /// Receives remarks that are no errors (an ignored keras.json, a dtype that is converted). May be empty.
    std::function<void(const std::string &)> warn;
};

/// Parses what `layer.get_config()` returns, as JSON. Defaults are Keras'; an argument that the layer does not have is an error.
/// @throws ConfigError  names the argument, what was expected and what was found.
SEPCONV_EXPORT LayerConfig parse_config(std::string_view json, const ParseContext &context = {});

/// The config as JSON that Keras 3 and parse_config read back to the same layer. Activation parameters that Keras has no form for (such
/// as celu's alpha, or Keras 2's hard_sigmoid) are written in a form that parse_config alone reads and Keras refuses.
/// @throws ConfigError  as validate does, or where the name is not UTF-8.
SEPCONV_EXPORT std::string to_json(const LayerConfig &config);

/// Checks every rule that a config alone can break. parse_config and Layer call it.
/// @throws ConfigError
SEPCONV_EXPORT void validate(const LayerConfig &config);

/// `image_data_format` of keras.json in $KERAS_HOME (a leading ~ expanded, no fallback when it is set), else of ~/.keras/keras.json;
/// channels_last where there is none. A file that is not JSON is ignored with a warning, as Keras ignores it.
/// @throws ConfigError  where the file names an unknown data format.
SEPCONV_EXPORT DataFormat default_data_format(const std::function<void(const std::string &)> &warn = {});

using Shape = std::array<std::int64_t, 4>;

/// Rows (or columns) of output, and of zeros before the first one of input, for one spatial dimension.
struct WindowFit {
    std::int64_t output = 0;
    std::int64_t before = 0;
};

/// Keras' padding rule for one dimension. `output` is 0 where no window fits. Right for every extent that 64 bits hold.
SEPCONV_EXPORT WindowFit fit_window(std::int64_t input, std::int64_t kernel, std::int64_t stride, std::int64_t dilation, Padding padding);

/// The shape of the layer's output for an input shape, both in the order of the config's data_format. A batch of 0 is legal.
/// @throws ShapeError  where a valid window is larger than the image, an extent is negative or (but for the batch) zero,
///                     glu's axis is odd, an activation's axis does not exist, or a tensor of either shape could not be addressed.
/// @throws ConfigError where an argument is out of its range.
SEPCONV_EXPORT Shape output_shape(const LayerConfig &config, const Shape &input);

}  // namespace sepconv
