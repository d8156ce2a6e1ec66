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

# The picture that both examples print (blur.txt): a ninth of red's weight around the pixel (3, 4).
expect_picture() {
    "$@" >picture.txt || fail "$* ended with $?"
    diff "$SOURCE/tests/install/blur.txt" picture.txt || fail "$* printed another picture"
}

# loads PROGRAM PATTERN: whether it loads a library whose name or path has the extended regular expression
loads() {
    ldd "$1" >loaded.txt
    grep -iqE "$2" loaded.txt
}

# The examples against $PREFIX, built with CMake and with pkg-config, with the static library and with the shared one.
run_examples() {
    # Neither Halide nor HDF5 may be needed, and with the shared library nothing else either.
    build_examples static -DBUILD_SHARED_LIBS=OFF
    build_examples shared -DBUILD_SHARED_LIBS=ON -DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON
    ! loads static/blur libsepconv || fail "the static library was not taken"
    loads shared/blur libsepconv.so.0 || fail "the shared library was not taken"
    ! loads static/blur 'halide|hdf5|libzip|llvm' || fail "blur loads what it should not need"
    ! loads shared/blur 'halide|hdf5|libzip|llvm' || fail "the shared library loads what it should not need"

    local libraries
    libraries=$(pkg-config --variable=libdir sepconv)
    # shellcheck disable=SC2046
    "$CXX" -std=c++20 -Wall -Wextra -Werror "$SOURCE/examples/link/blur.cpp" -o blur $(pkg-config --cflags --libs sepconv) "-Wl,-rpath,$libraries"
    # shellcheck disable=SC2046
    "$CC" -std=c99 -Wall -Wextra -Werror "$SOURCE/examples/link/blur.c" -o blur_c $(pkg-config --cflags --libs sepconv) "-Wl,-rpath,$libraries"
    # shellcheck disable=SC2046
    "$CC" -std=c99 "$SOURCE/examples/link/blur.c" -o blur_static $(pkg-config --static --cflags --libs sepconv | sed 's/-lsepconv/-l:libsepconv.a/')
    expect_picture ./blur
    expect_picture ./blur_c
    expect_picture ./blur_static
    ! loads blur_static libsepconv || fail "pkg-config's static libraries are not enough"
}

# build_examples FOLDER ARGUMENT...
build_examples() {
    configure "$1" "$SOURCE/examples/link" -DCMAKE_DISABLE_FIND_PACKAGE_Halide=ON -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON "${@:2}" >"$1.log" ||
        { cat "$1.log"; fail "the examples do not configure"; }
    "$CMAKE" --build "$1" >>"$1.log" || { cat "$1.log"; fail "the examples do not build"; }
    expect_picture "$1/blur"
    expect_picture "$1/blur_c"
}
