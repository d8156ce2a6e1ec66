#!/usr/bin/env bash
# Installs the command and the programs that load libHalide, moves them, makes a pipeline with an autoscheduler that is named by its name
# alone, and another one from a CMake project that has no Halide.
source "$(dirname "$0")/common.sh"

install_and_move runtime tools generators
unset LD_LIBRARY_PATH
"$PREFIX/bin/sepconv" generate -g separable_conv2d -f layer -e object,schedule -o . -p autoschedule_adams2019 target=host \
    autoscheduler=Adams2019 height=16 width=16 channels=8 filters=16 || fail "the generators do not run"
[ -s layer.o ] || fail "no object was made"
grep -q Adams2019 layer.schedule.h || fail "the schedule is not Adams2019's"

# Halide comes from where all was moved to.
loaded=$(ldd "$PREFIX/libexec/sepconv/sepconv-generators" | awk '$1 == "libHalide.so" {print $3}')
case $(realpath "$loaded") in
    "$(realpath "$PREFIX")"/lib*/sepconv/*) ;;
    *) fail "expected libHalide.so below $PREFIX, found $loaded" ;;
esac
[ -s "$PREFIX/share/doc/sepconv-generators/LICENSE.Halide" ] || fail "Halide's licence is not beside it"

mkdir generated
cat >generated/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(generated LANGUAGES CXX)
find_package(sepconv REQUIRED COMPONENTS tools generators)
add_custom_target(generated ALL
    COMMAND sepconv::command --version
    COMMAND sepconv::generators -g separable_conv2d -f made -e c_header -o . target=host height=8 width=8 channels=8 filters=8)
END
configure generated/build generated -DCMAKE_DISABLE_FIND_PACKAGE_Halide=ON >generated.log || { cat generated.log; fail "the components are not found"; }
"$CMAKE" --build generated/build >>generated.log || { cat generated.log; fail "the components' programs do not run"; }
[ -s generated/build/made.h ] || fail "no header was made"
