// What a fuzzing input must withstand as a model file: its layers are listed, the weights of each are read, and the shapes that reach them
// are looked for, from the model's own input and from another.
#pragma once

#include <filesystem>

#include "sepconv/error.h"
#include "sepconv/io.h"

namespace sepconv {

/// Any exception but FileError, ConfigError and, for an input of other dimensions than the model's, ShapeError is let through, and so is
/// found by the fuzzer.
inline void read_model(const std::filesystem::path &file, const std::filesystem::path &weights = {}) {
    ReadOptions options;
    options.max_bytes = 1 << 24;
    try {
        const ModelFile model(file, weights, options);
        for (const ModelLayer &layer : model.layers()) {
            if (layer.input_channels != 0) model.weights(layer.name).view();
        }
        model.input_shapes();
        model.input_shapes(std::vector<std::int64_t>{-1, 64, -1, 3});
    } catch (const FileError &) {
        return;
    } catch (const ConfigError &) {
        return;
    } catch (const ShapeError &) {
        return;
    }
}

}  // namespace sepconv
