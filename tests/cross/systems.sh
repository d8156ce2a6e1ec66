#!/usr/bin/env bash
# The functions of the table for the ARM systems that nothing is linked for here: one of each stage and type, emitted as objects of that
# system, whose instructions are those of Linux.
set -euo pipefail
rm -rf "$WORK"
mkdir -p "$WORK"
cd "$WORK"
features=no_runtime-no_asserts-no_bounds_query

# emit SYSTEM NAME GENERATOR FEATURE ARGUMENT...
emit() {
    "$GENERATORS" -g "$3" -f "$2_$1" -e object,assembly -o . "target=arm-64-$1$4-$features" "${@:5}"
}
# multiplications SYSTEM NAME: how often each kind of multiply-add stands in the assembly
multiplications() {
    grep -oE '\bfml[as](\.(4s|8h))?' "$2_$1.s" | cut -c1-4 | sort | uniq -c
}

for system in linux android osx ios; do
    emit $system product pointwise_tile "" lanes=4 pixel_stride=4 vectors=2 rows=8
    emit $system halves pointwise_tile -arm_fp16 type=float16 lanes=8 pixel_stride=8 vectors=2 rows=8
    emit $system depthwise depthwise_tile "" lanes=4 pixel_stride=4 kernel=3 stride=1 dilation=1 together=7
    emit $system padded padded_tile -arm_fp16 image_type=float16 lanes=4
    emit $system gelu activation_tile "" activation=gelu lanes=4
    "$GENERATORS" -r runtime_$system -e object -o . target=arm-64-$system
    case $system in
        osx | ios) format='Mach-O 64-bit arm64' ;;
        *) format='ELF 64-bit LSB relocatable, ARM aarch64' ;;
    esac
    for name in product halves depthwise padded gelu runtime; do
        file "${name}_$system.o" | grep -q "$format" || { file "${name}_$system.o"; echo "expected $format"; exit 1; }
    done
    for name in product halves depthwise; do
        diff <(multiplications linux $name) <(multiplications $system $name)
    done
done
