// What a fuzzing input must withstand as a model file: its layers are listed, and the weights of each are read.
#pragma once

#include <filesystem>

#include "sepconv/error.h"
#include "sepconv/io.h"

namespace sepconv {

/// Any exception but FileError and ConfigError is let through, and so is found by the fuzzer.
inline void read_model(const std::filesystem::path &file, const std::filesystem::path &weights = {}) {
    ReadOptions options;
    options.max_bytes = 1 << 24;
    try {
        const ModelFile model(file, weights, options);
        for (const ModelLayer &layer : model.layers()) {
            if (layer.input_channels != 0) model.weights(layer.name).view();
        }
    } catch (const FileError &) {
        return;
    } catch (const ConfigError &) {
        return;
    }
}

}  // namespace sepconv
