# What `cpack` makes of a build: a .tar.gz of all components, and two Debian packages: sepconv with the libraries, headers and the command,
# and, for those who compile layers, sepconv-generators with its own copy of libHalide, which is ten times as large.
#   cpack --config build/release/CPackConfig.cmake -G DEB -B build/packages
set(CPACK_PACKAGE_NAME sepconv)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGE_FILE_NAME ${CPACK_PACKAGE_NAME}-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime io tools generators)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
# Debian asks for somebody to write to. Who distributes packages gives an address of his own.
set(SEPCONV_CONTACT "The sepconv authors <authors@sepconv.invalid>" CACHE STRING "The maintainer that the Debian packages name")
set(CPACK_PACKAGE_CONTACT ${SEPCONV_CONTACT})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)  # libHalide would take a minute with xz
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The packages' own libraries, which no other package has.
get_target_property(halide Halide::Halide LOCATION)
cmake_path(GET halide PARENT_PATH halide)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/runtime ${halide})
set(CPACK_DEBIAN_SEPCONV_PACKAGE_NAME sepconv)
set(CPACK_DEBIAN_SEPCONV_PACKAGE_SECTION libdevel)
# What a program that links the static libraries links too: fmt always, the rest for the component io.
set(CPACK_DEBIAN_SEPCONV_PACKAGE_DEPENDS libfmt-dev)
set(CPACK_DEBIAN_SEPCONV_PACKAGE_SUGGESTS "libhdf5-dev, libzip-dev, sepconv-generators")
# What a package depends on whose programs are linked with the shared libraries.
get_target_property(soversion sepconv_shared SOVERSION)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/debian/shlibs @ONLY CONTENT [[
libsepconv @soversion@ sepconv (>= @PROJECT_VERSION@)
libsepconv_io @soversion@ sepconv (>= @PROJECT_VERSION@)
]])
set(CPACK_DEBIAN_SEPCONV_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/debian/shlibs)
set(CPACK_DEBIAN_GENERATORS_PACKAGE_NAME sepconv-generators)
set(CPACK_DEBIAN_GENERATORS_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_GENERATORS_PACKAGE_DEPENDS "sepconv (= ${PROJECT_VERSION})")
# Below the summary.
set(CPACK_DEBIAN_SEPCONV_DESCRIPTION
    "Computes the layer SeparableConv2D of Keras on x86-64 CPUs, with functions that
Halide compiled for AVX-512, AVX2 and SSE4.1. With the C++ and C libraries,
static and shared, their headers, and the command sepconv.")
set(CPACK_DEBIAN_GENERATORS_DESCRIPTION
    "The generators of sepconv, which compile layers for known shapes and other
targets, with a libHalide of their own and its autoschedulers.")

# Debian's place for a licence.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sepconv RENAME copyright COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sepconv-generators RENAME copyright COMPONENT generators)

include(CPack)
cpack_add_component_group(sepconv)
cpack_add_component_group(generators)
foreach(component runtime io tools)
    cpack_add_component(${component} GROUP sepconv)
endforeach()
cpack_add_component(generators GROUP generators)
