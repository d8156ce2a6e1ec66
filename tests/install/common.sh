# shellcheck shell=bash
# What the scripts beside this one share. They get the tools, the tree, the build and a folder of their own from the environment.
set -euo pipefail
rm -rf "$WORK"
mkdir -p "$WORK"
cd "$WORK"

fail() {
    echo "failed: $*" >&2
    exit 1
}

# install_and_move COMPONENT...: installs from $BUILD and moves the result to $PREFIX.
install_and_move() {
    PREFIX=$WORK/moved
    for component in "$@"; do
        "$CMAKE" --install "$BUILD" --prefix "$WORK/fresh" --component "$component" >install.log || fail "cannot install $component"
    done
    mv fresh "$PREFIX"
    local library
    library=$(dirname "$(find "$PREFIX" -name sepconv.pc)")
    export PKG_CONFIG_PATH=$library
    ! grep -rlE "$SOURCE|$BUILD|$WORK/fresh" "$PREFIX" --include='*.cmake' --include='*.pc' --include='*.h' || fail "the files above name folders of the build"
}

# configure FOLDER SOURCE ARGUMENT...: a project that must find sepconv in $PREFIX and nowhere else.
configure() {
    "$CMAKE" -S "$2" -B "$1" -DCMAKE_PREFIX_PATH="$PREFIX" -DCMAKE_BUILD_TYPE=Release -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF \
        -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" "${@:3}"
}

# The picture that both examples print: a ninth of red's weight around the pixel (3, 4).
expect_picture() {
    "$@" >picture.txt || fail "$* ended with $?"
    cat >expected.txt <<'END'
 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000
 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000
 0.000 0.000 0.000 0.299 0.299 0.299 0.000 0.000
 0.000 0.000 0.000 0.299 0.299 0.299 0.000 0.000
 0.000 0.000 0.000 0.299 0.299 0.299 0.000 0.000
 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000
END
    diff expected.txt picture.txt || fail "$* printed another picture"
}

# The examples against $PREFIX, built both ways.
run_examples() {
    # Neither Halide nor HDF5 may be needed.
    configure cmake "$SOURCE/examples/link" -DCMAKE_DISABLE_FIND_PACKAGE_Halide=ON -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON >cmake.log
    "$CMAKE" --build cmake >>cmake.log || { cat cmake.log; fail "the examples do not build"; }
    expect_picture cmake/blur
    expect_picture cmake/blur_c
    ! ldd cmake/blur | grep -iE 'halide|hdf5|libzip|llvm' || fail "blur loads what it should not need"

    # shellcheck disable=SC2046
    "$CXX" -std=c++20 -Wall -Wextra -Werror "$SOURCE/examples/link/blur.cpp" -o blur $(pkg-config --cflags --libs sepconv)
    # shellcheck disable=SC2046
    "$CC" -std=c99 -Wall -Wextra -Werror "$SOURCE/examples/link/blur.c" -o blur_c $(pkg-config --cflags --libs sepconv)
    expect_picture ./blur
    expect_picture ./blur_c
}
