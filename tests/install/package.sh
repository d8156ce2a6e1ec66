#!/usr/bin/env bash
# Installs the runtime alone into a fresh folder, moves it, and builds and runs the examples with CMake and with pkg-config.
source "$(dirname "$0")/common.sh"

install_and_move runtime
run_examples

# wants NAME FIND_PACKAGE_ARGUMENT...: a project that asks for more than is there.
wants() {
    rm -rf "wants_$1"
    mkdir "wants_$1"
    cat >"wants_$1/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.16)
project(wants_$1 LANGUAGES C CXX)
find_package(sepconv ${*:2})
message(STATUS "found: \${sepconv_FOUND}, the component: \${sepconv_$1_FOUND}")
END
    configure "wants_$1/build" "wants_$1" >"wants_$1.log" 2>&1
}

# expect_in NAME TEXT WHAT: what CMake said
expect_in() {
    tr -s ' \n' ' ' <"wants_$1.log" | grep -q "$2" || { cat "wants_$1.log"; fail "$3"; }
}

# A component that is not there, or is none at all, is an error that says so; one that is only wished for is not.
for component in io tools generators; do
    if wants "$component" REQUIRED COMPONENTS "$component"; then fail "$component was found though it is not installed"; fi
    expect_in "$component" "component $component is not" "the message does not name the component $component"
    wants "$component" REQUIRED OPTIONAL_COMPONENTS "$component" || { cat "wants_$component.log"; fail "$component is needed though it is optional"; }
    expect_in "$component" "found: 1, the component: FALSE" "$component counts as found"
done
if wants kitchen REQUIRED COMPONENTS kitchen; then fail "a component was found that there is not"; fi
expect_in kitchen "runtime, io, tools or generators, found kitchen" "the message does not list the components"
