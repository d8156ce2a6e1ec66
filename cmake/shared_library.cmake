# sepconv_shared_library(TARGET NAME): the shared library lib<NAME>.so, its soname, and what it shows to its users.
#
# It shows the functions of the headers and nothing of what is compiled into it. The pipelines' names begin as those of the C interface
# do, so each is named: an exact name goes before a pattern. The C++ patterns are functions, and the tables of classes, in namespace
# sepconv; of templates of other libraries over these classes there is none. What comes of it is in exports.txt beside the sources.
function(sepconv_shared_library target name)
    # Until version 1.0 a minor version may change the interface.
    set(soversion ${PROJECT_VERSION_MAJOR})
    if(soversion EQUAL 0)
        set(soversion 0.${PROJECT_VERSION_MINOR})
    endif()
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${soversion} LINKER_LANGUAGE CXX)

    get_property(objects GLOBAL PROPERTY SEPCONV_OBJECTS)
    set(hidden "")
    foreach(object ${objects})
        cmake_path(GET object STEM function)
        string(APPEND hidden "        ${function}; ${function}_argv; ${function}_metadata;\n")
    endforeach()
    set(script ${CMAKE_CURRENT_BINARY_DIR}/${name}.map)
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
    target_link_options(${target} PRIVATE LINKER:--version-script=${script})
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${script})
endfunction()
