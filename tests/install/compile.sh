#!/usr/bin/env bash
# Installs what compiles layers, moves it, and builds the examples of compiled layers as their first lines say: with a bare compiler, with
# find_package and pkg-config, and by a CMake project that compiles its layers itself.
source "$(dirname "$0")/common.sh"

install_and_move runtime tools generators
unset LD_LIBRARY_PATH
export XDG_CACHE_HOME=$WORK/cache
cp "$SOURCE"/examples/compile/* .
sepconv=$PREFIX/bin/sepconv
"$sepconv" compile --config blur.json --weights blur.npz --input-shape 1,6,8,3 -o out || fail "blur is not compiled"
"$CC" -std=c99 -Wall -Wextra -Werror blur.c out/blur.a -Iout -lm -lpthread -o blur_c
expect_picture ./blur_c
"$sepconv" compile --config blur.json --weights blur.npz --input-shape "1,?,?,3" --name blur_any -o out || fail "blur_any is not compiled"
"$CXX" -std=c++17 -Wall -Wextra -Werror blur.cpp out/blur_any.a -Iout -lm -lpthread -o blur_any
expect_picture ./blur_any

# What was compiled is found by its own package files, from wherever it was moved to.
mv out compiled
# shellcheck disable=SC2046
PKG_CONFIG_PATH=compiled "$CC" -std=c99 blur.c $(PKG_CONFIG_PATH=compiled pkg-config --cflags --libs blur) -o blur_pc
expect_picture ./blur_pc
mkdir found
cat >found/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(found LANGUAGES C)
find_package(blur REQUIRED)
add_executable(found ../blur.c)
target_link_libraries(found PRIVATE blur::blur)
END
"$CMAKE" -S found -B found/build -DCMAKE_PREFIX_PATH="$WORK/compiled" -DCMAKE_C_COMPILER="$CC" >found.log || { cat found.log; fail "blur is not found"; }
"$CMAKE" --build found/build >>found.log || { cat found.log; fail "blur is not linked"; }
expect_picture found/build/found

# The build compiles its layers, and compiles them again when their files change, and only then.
mkdir example
cp "$SOURCE"/examples/compile/* example
configure example/build example -DCMAKE_DISABLE_FIND_PACKAGE_Halide=ON -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON >example.log ||
    { cat example.log; fail "the example is not configured"; }
"$CMAKE" --build example/build >>example.log 2>&1 || { cat example.log; fail "the example is not built"; }
expect_picture example/build/picture
expect_picture example/build/part
"$CMAKE" --build example/build >again.log 2>&1
! grep -q "Compiling the layer" again.log || fail "a layer was compiled again though nothing had changed"
sed -i 's/"relu"/"linear"/' example/blur.json
"$CMAKE" --build example/build >changed.log 2>&1
grep -q "Compiling the layer blur" changed.log || fail "a changed config did not compile the layer again"
expect_picture example/build/picture
for lines in "$SOURCE"/examples/compile/{blur.c,blur.cpp,CMakeLists.txt}; do
    [ "$(wc -l <"$lines")" -lt 60 ] || fail "$lines has 60 lines or more"
done
