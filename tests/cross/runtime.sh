#!/usr/bin/env bash
# The runtime built by the toolchain file alone, with the headers that this machine has and no library of the other one; installed, and
# the example built against it and run under qemu. The pipelines are those of the build that this test belongs to.
set -euo pipefail
rm -rf "$WORK"
mkdir -p "$WORK"
cd "$WORK"
toolchain=$SOURCE/cmake/toolchains/aarch64-linux-gnu.cmake
"$CMAKE" -S "$SOURCE" -B build --toolchain "$toolchain" -DCMAKE_BUILD_TYPE=Release -DSEPCONV_GENERATORS="$GENERATORS" \
    -DSEPCONV_PIPELINES_FROM="$BUILD" -DBUILD_TESTING=OFF >configure.log || { cat configure.log; exit 1; }
"$CMAKE" --build build --parallel >build.log || { cat build.log; exit 1; }
"$CMAKE" --install build --prefix "$WORK/installed" >install.log

for shared in OFF ON; do
    "$CMAKE" -S "$SOURCE/examples/link" -B "example_$shared" --toolchain "$toolchain" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=$shared \
        -DCMAKE_FIND_ROOT_PATH="$WORK/installed" -Dsepconv_DIR="$(dirname "$(find "$WORK/installed" -name sepconvConfig.cmake)")" \
        >example.log || { cat example.log; exit 1; }
    "$CMAKE" --build "example_$shared" >>example.log || { cat example.log; exit 1; }
    for program in blur blur_c; do
        file "example_$shared/$program" | grep -q 'ARM aarch64'
        qemu-aarch64 -L /usr/aarch64-linux-gnu "example_$shared/$program" >picture.txt
        diff "$SOURCE/tests/install/blur.txt" picture.txt
    done
done
