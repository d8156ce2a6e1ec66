# What `cmake --install` puts where: the component `runtime` (library, headers, CMake package, sepconv.pc) and the component `io` on top
# of it (sepconv-io.pc). Everything can be moved afterwards.
include(CMakePackageConfigHelpers)

# A shared library shows the functions of its headers and nothing of what is compiled into it. The pipelines' names begin as those of
# the C interface do, so each is named: an exact name goes before a pattern. The C++ patterns are functions, and the tables of classes, in namespace sepconv.
if(BUILD_SHARED_LIBS)
    get_property(objects GLOBAL PROPERTY SEPCONV_OBJECTS)
    set(hidden "")
    foreach(object ${objects})
        cmake_path(GET object STEM function)
        string(APPEND hidden "        ${function}; ${function}_argv; ${function}_metadata;\n")
    endforeach()
    set(script ${CMAKE_CURRENT_BINARY_DIR}/sepconv.map)
    file(CONFIGURE OUTPUT ${script} @ONLY CONTENT [[
{
    global:
        sepconv_*;
        _ZN7sepconv*;
        _ZNK7sepconv*;
        _ZT?N7sepconv*;
    local:
@hidden@        *;
};
]])
    target_link_options(sepconv PRIVATE LINKER:--version-script=${script})
    set_property(TARGET sepconv APPEND PROPERTY LINK_DEPENDS ${script})
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sepconv)
set_target_properties(sepconv_io PROPERTIES EXPORT_NAME io)

install(TARGETS sepconv EXPORT sepconv_runtime
    ARCHIVE COMPONENT runtime LIBRARY COMPONENT runtime RUNTIME COMPONENT runtime)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/ TYPE INCLUDE COMPONENT runtime FILES_MATCHING PATTERN "*.h")
install(EXPORT sepconv_runtime NAMESPACE sepconv:: FILE sepconvRuntime.cmake DESTINATION ${package_folder} COMPONENT runtime)

install(TARGETS sepconv_io EXPORT sepconv_io ARCHIVE COMPONENT io LIBRARY COMPONENT io RUNTIME COMPONENT io)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/io/include/ TYPE INCLUDE COMPONENT io FILES_MATCHING PATTERN "*.h")
install(EXPORT sepconv_io NAMESPACE sepconv:: FILE sepconvIo.cmake DESTINATION ${package_folder} COMPONENT io)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/sepconvConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/sepconvConfig.cmake
    INSTALL_DESTINATION ${package_folder} NO_CHECK_REQUIRED_COMPONENTS_MACRO NO_SET_AND_CHECK_MACRO)
# Until version 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/sepconvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sepconvConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/sepconvConfigVersion.cmake
    DESTINATION ${package_folder} COMPONENT runtime)

# pkg-config finds the prefix from where the file lies. A static library needs with it what it was built from.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig OUTPUT_VARIABLE to_prefix)
set(pc_requires "fmt")
set(pc_libraries "-lstdc++ -lm -ldl -pthread")
if(BUILD_SHARED_LIBS)
    set(pc_requires "")
    set(pc_libraries "")
endif()
foreach(name sepconv sepconv-io)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc @ONLY)
endforeach()
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sepconv.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT runtime)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sepconv-io.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT io)
install(EXPORT sepconv_generators NAMESPACE sepconv:: FILE sepconvGenerators.cmake DESTINATION ${package_folder} COMPONENT generators)
