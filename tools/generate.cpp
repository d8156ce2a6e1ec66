// sepconv generate: the generators' own command line. What stands behind the subcommand is handed over as it is, so that only its help
// is here: of Halide's options those that one needs to begin.
#include "subcommands.h"

namespace sepconv::tools {
namespace {

constexpr const char *example = R"(Without arguments it lists the generators.

Example:
  sepconv generate -g separable_conv2d -f layer -e static_library,c_header -o . target=host \
      height=60 width=60 channels=8 filters=16 padding=same activation=relu

With a schedule by one of Halide's autoschedulers, Adams2019, Anderson2021, Li2018 or Mullapudi2016:
  sepconv generate -g separable_conv2d -f layer -e object,schedule -o . -p autoschedule_adams2019 target=host \
      autoscheduler=Adams2019 height=60 width=60 channels=8 filters=16)";

}  // namespace

void add_generate(CLI::App &program) {
    CLI::App *subcommand = program.add_subcommand("generate", "Run this library's Halide generators by their own command line");
    const auto option = [subcommand](const char *name, const std::string &what, const char *type) {
        subcommand->add_option(name, what)->type_name(type);
    };
    option("-g", "The generator", "NAME");
    option("-f", "The name of the function that it makes", "NAME");
    option("-e", "What to write, with commas between: object, static_library, c_header, assembly, stmt, schedule and others", "LIST");
    option("-o", "Where to", "DIR");
    option("-p", "Shared libraries to load before, with commas between: autoschedule_adams2019 and others", "LIST");
    option("-r", "Write Halide's runtime alone, under this name", "NAME");
    option("target=TARGET", "Halide's name of the target, or several with commas between: host, x86-64-linux-avx2-fma and others", "");
    option("PARAM=VALUE", "A parameter of the generator", "");
    subcommand->footer(example);
}

}  // namespace sepconv::tools
