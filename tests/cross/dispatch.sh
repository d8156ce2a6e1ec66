#!/usr/bin/env bash
# dispatch.sh PROGRAM yes|no: whether the command, under $EMULATOR's CPU ($QEMU_CPU), finds that half-precision arithmetic runs here, and
# refuses it with a reason where it does not.
set -euo pipefail
read -ra emulator <<<"$EMULATOR"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '{"filters": 16, "kernel_size": 3, "dtype": "float16"}' >"$folder/layer.json"

explain() {
    "${emulator[@]}" "$1" explain --config "$folder/layer.json" --input-shape 1,9,9,16 "${@:2}" 2>&1
}

explain "$1" | grep -q '^channels_last, float16 computed in float32 on neon ' || { echo "float32 sums are not taken on neon"; exit 1; }
if [ "$2" = yes ]; then
    explain "$1" --arithmetic float16 | grep -q '^channels_last, float16 computed in float16 on neon_fp16 '
else
    status=0
    explain "$1" --arithmetic float16 >"$folder/message" || status=$?
    cat "$folder/message"
    [ "$status" = 2 ]
    grep -q 'no pipeline that computes in float16 runs on this CPU' "$folder/message"
    # Not by force either.
    status=0
    explain "$1" --arithmetic float16 --target neon_fp16 >"$folder/message" || status=$?
    [ "$status" = 2 ]
    grep -q 'which this CPU does not run' "$folder/message"
fi
