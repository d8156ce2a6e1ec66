# 64-bit ARM Linux with Debian's cross compiler (g++-aarch64-linux-gnu):
#
#     cmake -S . -B build/arm64-runtime --toolchain cmake/toolchains/aarch64-linux-gnu.cmake
#
# builds the runtime. With -DSEPCONV_SYSROOT=DIR, a Debian for arm64 in a folder as `scripts/setup --with-arm` makes it, everything that
# runs on the machine itself is built, and the tests, which then run under qemu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SEPCONV_SYSROOT)

if(SEPCONV_SYSROOT)
    set(CMAKE_SYSROOT ${SEPCONV_SYSROOT})
    set(ENV{PKG_CONFIG_SYSROOT_DIR} ${SEPCONV_SYSROOT})
    set(ENV{PKG_CONFIG_LIBDIR} ${SEPCONV_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${SEPCONV_SYSROOT}/usr/share/pkgconfig)
    set(loader ${SEPCONV_SYSROOT})
else()
    set(loader /usr/aarch64-linux-gnu)
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# The CPU is the environment's to choose: QEMU_CPU=cortex-a53 ctest ...; by default qemu has every feature that it knows.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;${loader})
