#!/usr/bin/env bash
# Installs the runtime alone into a fresh folder, moves it, and builds and runs the examples with CMake and with pkg-config.
source "$(dirname "$0")/common.sh"

install_and_move runtime
run_examples

# The component that is not there is asked for: an error that says so.
mkdir wants_io
cat >wants_io/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(wants_io LANGUAGES C CXX)
find_package(sepconv REQUIRED COMPONENTS io)
END
if configure wants_io/build wants_io >wants_io.log 2>&1; then fail "io was found though it is not installed"; fi
grep -q "component io is not" wants_io.log || { cat wants_io.log; fail "the message does not name the component io"; }
