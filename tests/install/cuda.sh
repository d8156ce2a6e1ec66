#!/usr/bin/env bash
# Installs what the example for NVIDIA GPUs needs, moves it, and builds the example with the CUDA toolkit. It runs where there is a device;
# where there is none it says so. Without a toolkit (77) there is nothing to build with.
source "$(dirname "$0")/common.sh"

install_and_move runtime tools generators
unset LD_LIBRARY_PATH
export XDG_CACHE_HOME=$WORK/cache
mkdir toolkit
cat >toolkit/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.17)
project(toolkit LANGUAGES CXX)
find_package(CUDAToolkit)
if(NOT TARGET CUDA::cudart_static)
    message(FATAL_ERROR "no CUDA toolkit")
endif()
END
if ! configure toolkit/build toolkit >toolkit.log 2>&1; then
    echo "skipped: CMake finds no CUDA toolkit here"
    exit 77
fi

for shared in OFF ON; do
    configure "example_$shared" "$SOURCE/examples/cuda" -DBUILD_SHARED_LIBS=$shared -DCMAKE_DISABLE_FIND_PACKAGE_Halide=ON \
        >example.log 2>&1 ||
        { cat example.log; fail "the example is not configured"; }
    "$CMAKE" --build "example_$shared" >>example.log 2>&1 || { cat example.log; fail "the example is not built"; }
    program=example_$shared/blur_cuda
    ! loads "$program" 'libcuda|libhalide' || fail "$program loads what it should look for itself"
    code=0
    "$program" >found.txt 2>errors.txt || code=$?
    cat found.txt errors.txt
    if [ $code = 77 ]; then
        grep -q "^no CUDA device: ." found.txt || fail "$program does not say why there is no device"
    else
        [ $code = 0 ] || fail "$program ended with $code"
        [ "$(grep -c "largest difference from the CPU" found.txt)" = 2 ] || fail "$program has not compared both ways"
    fi
done
