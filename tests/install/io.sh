#!/usr/bin/env bash
# Installs both components, moves them, and reads a model file through sepconv::io, with CMake and with pkg-config.
source "$(dirname "$0")/common.sh"

install_and_move runtime io
mkdir layers
cat >layers/layers.cpp <<'END'
#include <cstdio>

#include "sepconv/io.h"

int main(int, char **arguments) {
    const sepconv::ModelFile model(arguments[1]);
    for (const sepconv::ModelLayer &layer : model.layers()) {
        const sepconv::StoredWeights weights = model.weights(layer.name);
        const sepconv::Layer made(layer.config, weights.view());
        std::printf("%s: %d channels\n", layer.name.c_str(), static_cast<int>(made.input_channels()));
    }
}
END
cat >layers/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(layers LANGUAGES C CXX)
find_package(sepconv REQUIRED COMPONENTS runtime io)
add_executable(layers layers.cpp)
target_link_libraries(layers PRIVATE sepconv::io)
END
model=$SOURCE/tests/golden/models/keras3_functional.keras
configure build layers >cmake.log || { cat cmake.log; fail "the project does not configure"; }
"$CMAKE" --build build >>cmake.log || { cat cmake.log; fail "the project does not build"; }
build/layers "$model" >found.txt
grep -q channels found.txt || fail "no layer was found in $model"

# shellcheck disable=SC2046
"$CXX" -std=c++20 layers/layers.cpp -o with_pkg_config $(pkg-config --cflags --libs sepconv-io)
./with_pkg_config "$model" | diff found.txt -
