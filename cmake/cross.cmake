# What a build for another machine takes from this one: the generators, which run here, and libraries that are headers only.

set(SEPCONV_GENERATORS "${PROJECT_SOURCE_DIR}/build/release/bin/sepconv-generators" CACHE FILEPATH
    "The generators, a program for the machine that builds: of another build of this tree, or installed in libexec/sepconv")
if(NOT EXISTS ${SEPCONV_GENERATORS})
    message(FATAL_ERROR "SEPCONV_GENERATORS: expected the program sepconv-generators for this machine, found no ${SEPCONV_GENERATORS}; "
        "build it first (cmake --preset release; cmake --build --preset release --target sepconv_generators)")
endif()
add_executable(sepconv_generators IMPORTED GLOBAL)
set_target_properties(sepconv_generators PROPERTIES IMPORTED_LOCATION ${SEPCONV_GENERATORS})

# sepconv_header(TARGET HEADER): the interface target for a library of headers, which lie on this machine. Those in the compiler's own path
# are left to it: named once more, the system's headers would come before the compiler's.
function(sepconv_header target header)
    string(MAKE_C_IDENTIFIER "SEPCONV_${header}_FOLDER" folder)
    find_path(${folder} ${header} HINTS ${ARGN} NO_CMAKE_FIND_ROOT_PATH REQUIRED)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    if(NOT ${folder} STREQUAL "/usr/include")
        set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${${folder}})
    endif()
endfunction()

file(GLOB folders ${PROJECT_SOURCE_DIR}/build/python/lib/python3*/site-packages/halide/include)
sepconv_header(Halide::Runtime HalideRuntime.h ${folders})
if(NOT CMAKE_SYSROOT)
    sepconv_header(nlohmann_json::nlohmann_json nlohmann/json.hpp)
    sepconv_header(fmt::fmt fmt/format.h)
    set_target_properties(fmt::fmt PROPERTIES INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY=1)
endif()
