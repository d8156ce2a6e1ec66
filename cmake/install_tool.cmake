# The programs that load libHalide, which `sepconv` hands subcommands over to. Installed they lie in libexec/sepconv, and libHalide
# with its autoschedulers in lib/sepconv, so that the component `generators` needs no Halide on the machine; in a build they lie beside
# the command and load Halide from where CMake found it.
option(SEPCONV_INSTALL_HALIDE "Install libHalide and its autoschedulers beside the programs that load them; OFF where the system has its own" ON)

# sepconv_install_tool(TARGET): the program TARGET, its underscores turned into dashes, as a part of the component
# `generators`; for those who find the package it is then sepconv::TARGET, without a second sepconv.
function(sepconv_install_tool target)
    string(REPLACE _ - name ${target})
    string(REGEX REPLACE "^sepconv_" "" exported ${target})
    set(programs ${CMAKE_INSTALL_LIBEXECDIR}/sepconv)
    # An RPATH, not a RUNPATH: the latter does not count where libHalide itself loads an autoscheduler by its name.
    target_link_options(${target} PRIVATE LINKER:--disable-new-dtags)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} EXPORT_NAME ${exported})
    if(SEPCONV_INSTALL_HALIDE)
        set(from ${CMAKE_INSTALL_FULL_LIBEXECDIR}/sepconv)
        cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${from} OUTPUT_VARIABLE to_libraries)
        set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_libraries}/sepconv")
    else()
        set_target_properties(${target} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
    endif()
    # With the pipelines of another build the generators are built only where they are asked for.
    set(optional "")
    if(SEPCONV_PIPELINES_FROM)
        set(optional OPTIONAL)
    endif()
    install(TARGETS ${target} EXPORT sepconv_generators RUNTIME DESTINATION ${programs} COMPONENT generators ${optional})
endfunction()

if(SEPCONV_INSTALL_HALIDE)
    install(IMPORTED_RUNTIME_ARTIFACTS Halide::Halide Halide::Adams2019 Halide::Anderson2021 Halide::Li2018 Halide::Mullapudi2016
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/sepconv COMPONENT generators)
    find_file(SEPCONV_HALIDE_LICENSE LICENSE.txt HINTS ${Halide_DIR}/../../../share/doc/Halide NO_DEFAULT_PATH REQUIRED
        DOC "Halide's licence, which goes with its libraries")
    install(FILES ${SEPCONV_HALIDE_LICENSE} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sepconv-generators RENAME LICENSE.Halide COMPONENT generators)
endif()
