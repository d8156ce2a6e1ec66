#!/usr/bin/env bash
# Builds the library as a shared one from the pipelines of this build, looks at what it exports, and runs the examples against it.
source "$(dirname "$0")/common.sh"

"$CMAKE" -S "$SOURCE" -B shared -G Ninja -DCMAKE_MAKE_PROGRAM="$MAKE_PROGRAM" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DBUILD_TESTING=OFF -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DHalide_DIR="$HALIDE" -DHalideHelpers_DIR="$HELPERS" \
    -DSEPCONV_PIPELINES_FROM="$BUILD" -DCMAKE_CXX_FLAGS_RELEASE=-O1 >configure.log || { cat configure.log; fail "cannot configure"; }
"$CMAKE" --build shared --target sepconv -j2 >build.log || { tail -n 40 build.log; fail "cannot build"; }
BUILD=$WORK/shared
install_and_move runtime

library=$(find "$PREFIX" -name libsepconv.so)
nm -D --defined-only "$library" | awk '{print $3}' | sort >exported.txt
grep -qx sepconv_layer_run exported.txt || fail "sepconv_layer_run is not exported"
grep -q '^_ZNK7sepconv5Layer3run' exported.txt || fail "sepconv::Layer::run is not exported"
! grep -vE '^(sepconv_|_ZNK?7sepconv|_ZT[ISV]N7sepconv)' exported.txt || fail "the symbols above are none of sepconv's"
! grep -E '_(avx512|avx2|sse41)(_argv|_metadata)?$' exported.txt || fail "the pipelines above are exported"
! grep halide exported.txt || fail "the symbols above are Halide's"

LD_LIBRARY_PATH=$(dirname "$library")
export LD_LIBRARY_PATH
run_examples
