# The functions that are compiled for GPUs, for CUDA and for OpenCL. They call the runtime's own functions where Halide's objects call
# Halide's runtime, which is not linked.

# The least compute capability of a CUDA device, as Halide writes it: 8.0.
set(SEPCONV_CUDA_CAPABILITY 80)
set(SEPCONV_GPU_CALLS ${CMAKE_CURRENT_LIST_DIR}/gpu_calls.txt)

# sepconv_gpu_object(VARIABLE FUNCTION GENERATOR API [FOLDER FOLDER] [TARGET_FEATURES FEATURE...] PARAM=VALUE...): the object of one function
# and beside it the lowered statement (.stmt), in FOLDER (`gpu` of the current binary folder where there is none); sets VARIABLE to the
# object's path. API: cuda or opencl. The function's first argument is a pointer to a GpuCall (runtime/gpu/calls.h).
function(sepconv_gpu_object variable function generator api)
    cmake_parse_arguments(PARSE_ARGV 4 arg "" "FOLDER" "TARGET_FEATURES")
    if(NOT CMAKE_OBJCOPY)
        message(FATAL_ERROR "CMAKE_OBJCOPY: expected the objcopy of the binutils for ${CMAKE_SYSTEM_PROCESSOR}, found none")
    endif()
    if(api STREQUAL "cuda")
        set(features cuda-cuda_capability_${SEPCONV_CUDA_CAPABILITY})
    elseif(api STREQUAL "opencl")
        set(features opencl)
    else()
        message(FATAL_ERROR "sepconv_gpu_object(${function}): API: expected cuda or opencl, found ${api}")
    endif()
    sepconv_machine(machine system)
    list(JOIN arg_TARGET_FEATURES - more)
    if(more)
        string(APPEND features -${more})
    endif()
    # Without assertions and bounds queries as the functions for CPUs are: the runtime checks every shape before it calls.
    set(target ${machine}-${system}-${features}-no_runtime-no_asserts-no_bounds_query-user_context)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/gpu)
    if(arg_FOLDER)
        set(folder ${arg_FOLDER})
    endif()
    file(MAKE_DIRECTORY ${folder})
    # A list for each API, for objcopy takes no new name twice.
    set(calls ${folder}/${api}_calls.txt)
    configure_file(${SEPCONV_GPU_CALLS} ${calls} @ONLY)
    set(object ${folder}/${function}.o)
    add_custom_command(
        OUTPUT ${object}
        BYPRODUCTS ${folder}/${function}.stmt
        COMMAND sepconv_generators -g ${generator} -f ${function} -e object,stmt -o ${folder} target=${target} ${arg_UNPARSED_ARGUMENTS}
        COMMAND ${CMAKE_OBJCOPY} --redefine-syms=${calls} ${object}
        DEPENDS sepconv_generators ${calls}
        COMMENT "GPU pipeline ${function}"
        VERBATIM)
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    set(${variable} ${object} PARENT_SCOPE)
endfunction()
