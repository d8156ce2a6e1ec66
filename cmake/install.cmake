# What `cmake --install` puts where: the component `runtime` (libraries, headers, CMake package, sepconv.pc); `io` on top of it
# (sepconv-io.pc); `tools`, the command; `generators`, the programs that load libHalide (install_tool.cmake). Everything can be moved
# afterwards.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sepconv)
install(TARGETS sepconv sepconv_shared EXPORT sepconv_runtime
    ARCHIVE COMPONENT runtime LIBRARY COMPONENT runtime RUNTIME COMPONENT runtime)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/ TYPE INCLUDE COMPONENT runtime FILES_MATCHING PATTERN "*.h")
install(EXPORT sepconv_runtime NAMESPACE sepconv:: FILE sepconv-runtime.cmake DESTINATION ${package_folder} COMPONENT runtime)

if(SEPCONV_IO)
    # An io beside its runtime, wherever the two are moved together.
    set_target_properties(sepconv_io_shared PROPERTIES INSTALL_RPATH $ORIGIN)
    install(TARGETS sepconv_io sepconv_io_shared EXPORT sepconv_io ARCHIVE COMPONENT io LIBRARY COMPONENT io RUNTIME COMPONENT io)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/io/include/ TYPE INCLUDE COMPONENT io FILES_MATCHING PATTERN "*.h")
    install(EXPORT sepconv_io NAMESPACE sepconv:: FILE sepconv-io.cmake DESTINATION ${package_folder} COMPONENT io)
endif()

# What a user of the static library links besides it; a fmt of headers only is compiled in.
set(SEPCONV_LINKS_FMT ON)
get_target_property(fmt_type fmt::fmt TYPE)
if(fmt_type STREQUAL "INTERFACE_LIBRARY")
    set(SEPCONV_LINKS_FMT OFF)
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/sepconvConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/sepconvConfig.cmake
    INSTALL_DESTINATION ${package_folder} NO_CHECK_REQUIRED_COMPONENTS_MACRO NO_SET_AND_CHECK_MACRO)
# Until version 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/sepconvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sepconvConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/sepconvConfigVersion.cmake
    DESTINATION ${package_folder} COMPONENT runtime)

# pkg-config finds the prefix from where the file lies. With the shared library nothing else is needed; what `--static` adds is what the
# static one was built from. It is named by its library, for the packages' own files are there only where they are developed with.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig OUTPUT_VARIABLE to_prefix)
set(pc_files sepconv)
set(sepconv_static_libraries "")
if(SEPCONV_LINKS_FMT)
    set(sepconv_static_libraries -lfmt)
endif()
if(SEPCONV_IO)
    list(APPEND pc_files sepconv-io)
    find_package(PkgConfig REQUIRED)
    pkg_check_modules(hdf5_module QUIET hdf5)
    list(JOIN hdf5_module_LDFLAGS " " hdf5_libraries)
    if(NOT hdf5_libraries)
        set(hdf5_libraries -lhdf5)
    endif()
endif()
foreach(name ${pc_files})
    configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc @ONLY)
endforeach()
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sepconv.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT runtime)
if(SEPCONV_IO)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sepconv-io.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT io)
    install(EXPORT sepconv_tools NAMESPACE sepconv:: FILE sepconv-tools.cmake DESTINATION ${package_folder} COMPONENT tools)
endif()
if(NOT CMAKE_CROSSCOMPILING)
    install(FILES ${CMAKE_CURRENT_LIST_DIR}/add_sepconv_library.cmake DESTINATION ${package_folder} COMPONENT generators)
    install(EXPORT sepconv_generators NAMESPACE sepconv:: FILE sepconv-generators.cmake DESTINATION ${package_folder} COMPONENT generators)
endif()
