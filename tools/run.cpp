// sepconv run: computes one layer on the images in a file.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <new>

#include "layer_options.h"
#include "sepconv/io.h"
#include "sepconv/sepconv.h"
#include "subcommands.h"

namespace sepconv::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char *example = R"(Example:
  echo '{"filters": 16, "kernel_size": 3, "padding": "same", "activation": "relu"}' > layer.json
  python3 -c 'import numpy as np; random = np.random.default_rng(1).standard_normal; np.savez("weights.npz",
      depthwise_kernel=random((3, 3, 8, 1), "f4"), pointwise_kernel=random((1, 1, 8, 16), "f4"), bias=random(16, "f4"))'
  python3 -c 'import numpy as np; np.save("x.npy", np.random.default_rng(2).standard_normal((1, 60, 60, 8), "f4"))'
  sepconv run --config layer.json --weights weights.npz --input x.npy --output y.npy

From a model:
  sepconv run --model model.keras --layer separable_conv2d --input x.npy --output y.npy)";

struct Options {
    LayerOptions layer;
    std::string input, output;
    std::string threads = "0";
};

Shape shape4(const std::vector<std::int64_t> &shape, const std::string &file, const LayerConfig &config) {
    if (shape.size() != 4) {
        throw ShapeError(fmt::format("{}: expected 4 dimensions, {} by the layer's data_format, found shape {}{}", file,
                                     dimensions(config.data_format), words(shape),
                                     shape.size() == 3 ? "; one image has a first dimension of 1" : ""));
    }
    return {shape[0], shape[1], shape[2], shape[3]};
}

// What can be known to fail before the work is done.
void check_output(const std::string &file) {
    std::error_code error;
    const fs::path parent = fs::path(file).parent_path();
    if (!parent.empty() && !fs::is_directory(parent, error)) {
        throw UsageError(
            fmt::format("--output: expected a file in a folder that exists, found {}, and no folder {}", file, parent.string()));
    }
    if (fs::exists(file, error) && !fs::is_regular_file(file, error)) {
        throw UsageError(fmt::format("--output: expected a file or a new name, found {}, which is {}", file,
                                     fs::is_directory(file, error) ? "a folder" : "a device or pipe"));
    }
}

// Does the work; a shape that does not fit is an error in `file`.
template <typename Work>
auto in_file(const std::string &file, Work work) {
    try {
        return work();
    } catch (const ShapeError &error) {
        throw ShapeError(fmt::format("{}: {}", file, error.what()));
    }
}

// Runs the layer on the images in an array, and writes what comes out in the same type.
template <typename Stored>
void compute(const Options &options, const Layer &layer, const Stored &input, int threads) {
    using Element = decltype(Stored::values)::value_type;
    const Shape input_shape = shape4(input.shape, options.input, layer.config());
    const Shape shape = in_file(options.input, [&] { return layer.output_shape(input_shape); });
    // output_shape has made sure that the product can be addressed. Floats are not filled: run writes every element.
    const auto count = static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
    std::unique_ptr<Element[]> output;
    try {
        output = std::make_unique_for_overwrite<Element[]>(count);
    } catch (const std::bad_alloc &) {
        throw Failure(fmt::format("{}: there is not enough memory for the output's {} bytes", options.output, count * sizeof(Element)));
    }
    in_file(options.input, [&] {
        layer.run(TensorView<const Element>(input.values.data(), input_shape), TensorView<Element>(output.get(), shape),
                  {.threads = threads});
    });
    try {
        write_npy(options.output, {shape.begin(), shape.end()}, output.get());
    } catch (const FileError &error) {
        throw Failure(error.what());
    }
}

void run(const Options &options) {
    require_option("--input", options.input, "a .npy file");
    require_option("--output", options.output, "the name of a .npy file");
    const int threads = parse_threads(options.threads);
    const Arithmetic arithmetic = parse_arithmetic(options.layer.arithmetic);
    const std::string target = checked_target(options.layer.target, arithmetic);
    check_output(options.output);
    const ReadOptions read = read_options("run");
    const NamedLayer named = read_layer(options.layer, true, read);
    const Layer layer = in_file(named.weights_file, [&] { return Layer(named.config, named.weights->view(), target, arithmetic); });
    if (named.config.dtype == Dtype::float16) {
        compute(options, layer, read_npy_float16(options.input, read), threads);
    } else {
        compute(options, layer, read_npy(options.input, read), threads);
    }
}

}  // namespace

void add_run(CLI::App &program) {
    CLI::App *subcommand = program.add_subcommand("run", "Compute one layer on the images in a .npy file");
    const auto options = std::make_shared<Options>();
    add_layer_options(*subcommand, options->layer, true);
    subcommand
        ->add_option("--input", options->input,
                     "Required: the images, a .npy of 4 dimensions: N,H,W,C, or N,C,H,W where the layer's data_format is channels_first")
        ->type_name("FILE");
    subcommand->add_option("--output", options->output, "Required: where the result goes, a .npy; replaced only when all is done")
        ->type_name("FILE");
    subcommand->add_option("--threads", options->threads, "Threads to use; 0: all that the machine has. The result is the same")
        ->type_name("N")
        ->capture_default_str();
    subcommand->footer(example);
    subcommand->callback([options] { run(*options); });
}

}  // namespace sepconv::tools
