#!/usr/bin/env bash
# Installs the command and the programs that load libHalide, moves them, and makes a pipeline with an autoscheduler that is named by its
# name alone.
source "$(dirname "$0")/common.sh"

install_and_move command generators
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
[ -s "$PREFIX/share/doc/sepconv/LICENSE.Halide" ] || fail "Halide's licence is not beside it"
