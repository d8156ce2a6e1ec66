// The JSON that describes a Keras model: finds the separable convolutions in it, wherever they are nested, and says where Keras puts
// the weights of each. What a layer's own config means is left to parse_config.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config_json.h"
#include "sepconv/config.h"

namespace sepconv::io {

/// One step from a model or wrapper to a layer in it.
struct LayerStep {
    std::string name;             ///< the layer's
    std::string member;           ///< the group in a Keras 3 file: "layers/separable_conv2d_1", or "layer" for what a wrapper holds
    const Json *layer = nullptr;  ///< {"class_name": …, "config": …} in ModelConfig::root
};

/// A SeparableConv2D as the model's config has it.
struct ConfiguredLayer {
    std::vector<LayerStep> steps;                 ///< from the outermost model's layer to the separable convolution itself
    bool trainable = true;                        ///< false where it or anything around it is frozen
    std::string config;                           ///< what its get_config() gave, as JSON
    KerasVersion version = KerasVersion::keras3;  ///< which Keras wrote it, as far as its form tells

    const std::string &own_name() const { return steps.back().name; }
    /// The names of all steps, joined by '/'.
    std::string full_name() const;
};

struct ModelConfig {
    std::vector<ConfiguredLayer> layers;  ///< in the model's order
    std::string keras_version;            ///< empty where the JSON does not say
    std::shared_ptr<const Json> root;     ///< the whole config
};

/// @param source  named in front of every message
/// @throws ConfigError
ModelConfig parse_model_config(std::string_view json, const std::string &source);

/// Which Keras wrote the config of one layer, as far as its form tells; Keras 3 where it tells nothing.
KerasVersion version_by_form(std::string_view layer_config, const std::string &source);

/// One string in a JSON object, for example keras_version in metadata.json; empty where there is none.
std::string json_member(std::string_view json, const std::string &key, const std::string &source);

}  // namespace sepconv::io
