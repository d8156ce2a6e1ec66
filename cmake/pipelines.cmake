# Reads the table of pipelines: a command for each row and target that emits its object, and the registry header that lists them all.

set(SEPCONV_EMIT "" CACHE STRING "What to emit beside each object and its assembly, for people who look: stmt, stmt_html, llvm_assembly (a comma between)")

set(SEPCONV_PIPELINES_FROM "" CACHE PATH "Another build of this tree whose compiled pipelines are taken instead of compiling them again")

# sepconv_pipelines(TABLE GENERATORS): sets in the caller's scope, and as properties of the target sepconv_pipelines,
# the objects (SEPCONV_OBJECTS), the folder of the registry (SEPCONV_REGISTRY_DIR), and the folder of the objects, their assembly and logs
# (SEPCONV_COMPILED_DIR).
function(sepconv_pipelines table generators)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${table})
    file(READ ${table} json)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/pipelines)
    file(MAKE_DIRECTORY ${folder})
    set(compiled ${folder})
    if(SEPCONV_PIPELINES_FROM)
        # The pipelines are the same under every compiler and sanitizer.
        cmake_path(ABSOLUTE_PATH SEPCONV_PIPELINES_FROM BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE other)
        cmake_path(RELATIVE_PATH CMAKE_CURRENT_BINARY_DIR BASE_DIRECTORY ${CMAKE_BINARY_DIR} OUTPUT_VARIABLE here)
        set(compiled ${other}/${here}/pipelines)
        set_target_properties(${generators} PROPERTIES EXCLUDE_FROM_ALL TRUE)
    endif()
    # The assembly is what tests/assembly reads, the log what scripts/pipelines adds up; together they take an eighth of the object's time.
    set(emit object,assembly,compiler_log)
    if(SEPCONV_EMIT)
        string(APPEND emit ",${SEPCONV_EMIT}")
    endif()
    # Without asserts and bounds queries: the runtime checks every shape before it calls. Nothing then needs Halide's runtime.
    set(features no_runtime-no_asserts-no_bounds_query)

    string(JSON target_count LENGTH "${json}" targets)
    math(EXPR last_target "${target_count} - 1")
    set(objects)
    set(registry "")
    foreach(t RANGE ${last_target})
        string(JSON target_${t} GET "${json}" targets ${t} name)
        string(JSON halide_${t} GET "${json}" targets ${t} halide)
        string(JSON lanes_${t} GET "${json}" targets ${t} lanes)
        string(APPEND registry "SEPCONV_TARGET(${target_${t}}, \"${halide_${t}}\", ${lanes_${t}})\n")
    endforeach()

    string(JSON row_count LENGTH "${json}" rows)
    math(EXPR last_row "${row_count} - 1")
    foreach(r RANGE ${last_row})
        string(JSON row GET "${json}" rows ${r})
        string(JSON name GET "${row}" name)
        string(JSON stage GET "${row}" stage)
        string(JSON covers GET "${row}" covers)
        string(JSON row_targets GET "${row}" targets)
        string(JSON params GET "${row}" params)
        string(JSON param_count LENGTH "${params}")
        math(EXPR last_param "${param_count} - 1")
        foreach(t RANGE ${last_target})
            if(NOT row_targets MATCHES "\"${target_${t}}\"")
                continue()
            endif()
            set(arguments)
            set(fields "")
            foreach(p RANGE ${last_param})
                string(JSON param MEMBER "${params}" ${p})
                string(JSON value GET "${params}" ${param})
                string(JSON type TYPE "${params}" ${param})
                if(type STREQUAL "BOOLEAN")
                    string(REPLACE "ON" "true" value "${value}")
                    string(REPLACE "OFF" "false" value "${value}")
                elseif(value STREQUAL "lanes")
                    set(value ${lanes_${t}})
                    set(type NUMBER)
                endif()
                list(APPEND arguments ${param}=${value})
                if(type STREQUAL "STRING")
                    set(value "\"${value}\"")
                endif()
                string(APPEND fields ".${param} = ${value}, ")
            endforeach()
            set(function sepconv_${name}_${target_${t}})
            set(object ${compiled}/${function}.o)
            set(generator ${stage}_tile)
            if(stage STREQUAL "activated")
                set(generator activation_tile)
            endif()
            if(NOT SEPCONV_PIPELINES_FROM)
                add_custom_command(
                    OUTPUT ${object}
                    BYPRODUCTS ${folder}/${function}.s ${folder}/${function}.halide_compiler_log
                    COMMAND ${generators} -g ${generator} -f ${function} -e ${emit} -o ${folder} target=${halide_${t}}-${features} ${arguments}
                    DEPENDS ${generators}
                    COMMENT "Pipeline ${function}"
                    VERBATIM)
            endif()
            list(APPEND objects ${object})
            string(APPEND registry "SEPCONV_ROW(${stage}, ${name}, ${target_${t}}, \"${covers}\", ${fields})\n")
        endforeach()
    endforeach()

    # Halide's own test of a CPU's features lives in its runtime, which nothing else here needs.
    set(runtime ${compiled}/sepconv_halide_runtime.o)
    if(NOT SEPCONV_PIPELINES_FROM)
        add_custom_command(
            OUTPUT ${runtime}
            COMMAND ${generators} -r sepconv_halide_runtime -e object -o ${folder} target=x86-64-linux
            DEPENDS ${generators}
            COMMENT "Halide runtime"
            VERBATIM)
    endif()
    list(APPEND objects ${runtime})

    file(CONFIGURE OUTPUT ${folder}/sepconv_registry.inc CONTENT "${registry}" @ONLY)
    set(SEPCONV_OBJECTS ${objects} PARENT_SCOPE)
    set_property(GLOBAL PROPERTY SEPCONV_COMPILED_DIR ${compiled})
    set_property(GLOBAL PROPERTY SEPCONV_OBJECTS ${objects})
    set_property(GLOBAL PROPERTY SEPCONV_REGISTRY_DIR ${folder})
    if(SEPCONV_PIPELINES_FROM)
        foreach(object ${objects})
            if(NOT EXISTS ${object})
                message(FATAL_ERROR "SEPCONV_PIPELINES_FROM: expected a build of this tree, found no ${object}; build ${other} first")
            endif()
        endforeach()
        add_custom_target(sepconv_pipelines)
    else()
        add_custom_target(sepconv_pipelines DEPENDS ${objects})
    endif()
endfunction()
