// Puts the subcommands together.
#include "command_line.h"

#include "sepconv/layer.h"
#include "subcommands.h"

namespace sepconv::tools {

std::unique_ptr<CLI::App> command_line() {
    auto program = std::make_unique<CLI::App>(
        "Depthwise-separable convolution (tf.keras.layers.SeparableConv2D), compiled ahead of time.\n"
        "Exit codes: 0 done; 1 failed; 2 the command line, the config or a file is wrong.",
        "sepconv");
    program->set_version_flag("--version", "sepconv " + version(), "Print the version and leave");
    program->set_help_flag("-h,--help", "Print this help and leave");
    program->footer("sepconv SUBCOMMAND --help has the options of a subcommand and an example.");
    program->require_subcommand(1);
    add_run(*program);
    add_info(*program);
    add_explain(*program);
    add_compile(*program);
    add_generate(*program);
#ifdef SEPCONV_BENCH
    add_bench(*program);
#endif
    return program;
}

}  // namespace sepconv::tools
