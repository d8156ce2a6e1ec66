// Declares the options of `sepconv compile`.
#include "compile_options.h"

#include <memory>

#include "subcommands.h"

namespace sepconv::tools {
namespace {

constexpr const char *example =
    R"(Each layer becomes NAME.a (NAME.lib for Windows) and NAME.h, with NAME.json, which says what is in them, and files by which CMake's
find_package(NAME) and pkg-config find them. Nothing else is needed to link them.

Example, one layer of a model for an Android phone:
  sepconv compile --model emotion.hdf5 --layer separable_conv2d_3 --input-shape 1,30,30,16 --target arm-64-android -o out/
Every separable layer of a model for this machine, and a program that uses one:
  sepconv compile --model emotion.hdf5 --layer all -o out/
  cc main.c out/separable_conv2d_3.a -Iout -lm -lpthread)";

}  // namespace

CLI::App *add_compile_options(CLI::App &program, CompileOptions &options) {
    CLI::App *subcommand = program.add_subcommand("compile", "Compile a layer into a static library and a C header that need nothing else");
    LayerOptions &layer = options.layer;
    subcommand->add_option("--config", layer.config, "What layer.get_config() returns, as JSON")->type_name("FILE");
    subcommand
        ->add_option("--weights", layer.weights,
                     "The config's weights, an .npz; or \"separate\": the function takes them as an argument, and another one packs them")
        ->type_name("FILE");
    subcommand->add_option("--model", layer.model, "A Keras model: .h5, .hdf5, .keras, or its config as .json")->type_name("FILE");
    subcommand->add_option("--model-weights", layer.model_weights, "The .weights.h5 for a model whose config is a .json")
        ->type_name("FILE");
    subcommand->add_option("--layer", layer.layer, "The name of the SeparableConv2D in the model; or \"all\" that it has")
        ->type_name("NAME");
    subcommand
        ->add_option(
            "--input-shape", options.input_shapes,
            "The layer's input, N,H,W,C, or N,C,H,W where its data_format is channels_first; a ? leaves an extent open, which the "
            "function then takes as an argument. From a model it is inferred where it is not given, for one image. With --layer all: "
            "NAME:N,H,W,C, as often as there are layers to say it of")
        ->type_name("[NAME:]N,H,W,C")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    subcommand
        ->add_option("--model-input-shape", options.model_input_shape,
                     "The model's own input, from which its layers' are inferred, where it is to be another than the file has; ? as above")
        ->type_name("N,H,W,C");
    subcommand
        ->add_option(
            "--target", options.target,
            "The machine, as Halide writes it: host, cuda, opencl, x86-64-linux-avx2-fma, arm-64-android, wasm-32-wasmrt-wasm_simd128 …; "
            "several x86-64 ones with commas between, the best first, of which the library takes the first that the CPU runs")
        ->type_name("TARGET")
        ->capture_default_str();
    subcommand->add_flag(
        "--force-target", options.force_target,
        "Take a target although Halide is known to compile or run it wrongly: one with vulkan, or with sve or sve2, and vector_bits_128, "
        "_256 or _512 for the width of its vectors");
    subcommand->add_option("-o,--output", options.output, "Required: the folder for the files; made where there is none")->type_name("DIR");
    subcommand
        ->add_option("--name", options.name,
                     "The name of the function and the files; otherwise the layer's. With --layer all it comes in front of each layer's")
        ->type_name("NAME");
    CLI::Option *threads =
        subcommand
            ->add_option("--threads", options.threads,
                         "Threads to cut the work for; otherwise those of this machine for host, and 4 for another target")
            ->type_name("N");
    CLI::Option *no_threads =
        subcommand->add_flag("--no-threads", options.no_threads, "One thread: the library needs no thread library")->excludes(threads);
    subcommand
        ->add_option("--parallel-for", options.parallel_for,
                     "A function of the program that shares the work instead of the library's own pool; the header says what it has to do")
        ->type_name("FUNCTION")
        ->excludes(no_threads);
    subcommand
        ->add_option(
            "--arithmetic", options.arithmetic,
            "What a layer of dtype float16 is computed in before its activation: float32; or float16, on arm-64 CPUs with arm_fp16, "
            "which is faster and errs more")
        ->type_name("float32|float16")
        ->capture_default_str();
    subcommand->add_option("--schedule", options.schedule, "Who cuts the work: this library by hand, or one of Halide's autoschedulers")
        ->type_name("hand|auto:adams2019|auto:li2018|auto:mullapudi2016|auto:anderson2021")
        ->capture_default_str();
    subcommand->add_option("--emit", options.emit, "What else to write beside the library: asm, stmt, stmt_html, llvm, object, c")
        ->type_name("KIND,...")
        ->delimiter(',');
    subcommand->add_option("--jobs", options.jobs, "Layers to compile at a time; 0: as many as the machine has cores")
        ->type_name("N")
        ->capture_default_str();
    CLI::Option *cache = subcommand
                             ->add_option("--cache", options.cache,
                                          "Where results are kept for the next time; otherwise $XDG_CACHE_HOME/sepconv or ~/.cache/sepconv")
                             ->type_name("DIR");
    subcommand->add_flag("--no-cache", options.no_cache, "Keep no results and use none")->excludes(cache);
    subcommand->footer(example);
    return subcommand;
}

// Another program does the work; the options are here for the help and what is made of it.
void add_compile(CLI::App &program) {
    const auto options = std::make_shared<CompileOptions>();
    add_compile_options(program, *options)->callback([options] {});
}

}  // namespace sepconv::tools
