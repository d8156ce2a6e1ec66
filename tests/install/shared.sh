#!/usr/bin/env bash
# What the installed shared libraries show: the names in exports.txt beside the sources and no other, under a name that a version with
# another interface will not have.
source "$(dirname "$0")/common.sh"

install_and_move runtime io

# check LIBRARY FOLDER: the library against the list in that folder of the tree.
check() {
    local library version
    library=$(find "$PREFIX" -name "$1.so")
    nm -D --defined-only "$library" | awk '{print $3}' | LC_ALL=C sort >"$1.txt"
    diff "$SOURCE/$2/exports.txt" "$1.txt" ||
        fail "expected $1 to export what $2/exports.txt lists; where the change is meant, the list becomes $WORK/$1.txt"
    ! grep -vE '^(sepconv_|_ZNK?7sepconv|_ZT[ISV]N7sepconv)' "$1.txt" || fail "the symbols above are none of sepconv's"
    version=$(sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' "$PKG_CONFIG_PATH/sepconv.pc")
    [ "${version#0.}" != "$version" ] || version=${version%%.*}
    objdump -p "$library" >"$1.parts"
    grep -qE "SONAME +$1\.so\.$version$" "$1.parts" || fail "expected the soname $1.so.$version"
}

check libsepconv runtime
check libsepconv_io io
grep -qx sepconv_layer_run libsepconv.txt || fail "sepconv_layer_run is not exported"
! grep -iE 'NEEDED.*(halide|hdf5|zip)' libsepconv.parts || fail "the runtime loads the libraries above"
