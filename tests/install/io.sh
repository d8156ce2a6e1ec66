#!/usr/bin/env bash
# Installs both components, moves them, and reads a model file through sepconv::io, with CMake and with pkg-config, with the static library
# and with the shared one.
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
project(layers LANGUAGES ${LANGUAGES})
find_package(sepconv REQUIRED COMPONENTS runtime io)
add_executable(layers layers.cpp)
target_link_libraries(layers PRIVATE sepconv::io)
END
model=$SOURCE/tests/golden/models/keras3_functional.keras

# build FOLDER ARGUMENT...
build() {
    configure "$1" layers "${@:2}" >"$1.log" || { cat "$1.log"; fail "the project does not configure"; }
    "$CMAKE" --build "$1" >>"$1.log" || { cat "$1.log"; fail "the project does not build"; }
}

build static "-DLANGUAGES=C;CXX"
static/layers "$model" >found.txt
grep -q channels found.txt || fail "no layer was found in $model"
! loads static/layers libsepconv || fail "the static library was not taken"

# The shared library brings what it needs.
build shared -DLANGUAGES=CXX -DBUILD_SHARED_LIBS=ON -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON -DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON
shared/layers "$model" | diff found.txt -
loads shared/layers libsepconv_io.so.0 || fail "the shared library was not taken"

# shellcheck disable=SC2046
"$CXX" -std=c++20 layers/layers.cpp -o with_pkg_config $(pkg-config --cflags --libs sepconv-io) \
    "-Wl,-rpath,$(pkg-config --variable=libdir sepconv)"
./with_pkg_config "$model" | diff found.txt -
