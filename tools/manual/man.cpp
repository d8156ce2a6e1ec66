// The manual page sepconv(1).
#include <fmt/format.h>

#include "described.h"

namespace sepconv::tools {
namespace {

// Text in man(7): a backslash, a hyphen that is to be typed, and a dot or quote at the beginning of a line mean something else there.
std::string escaped(const std::string &text) {
    std::string result;
    bool line_starts = true;
    for (const char letter : text) {
        if (line_starts && (letter == '.' || letter == '\'')) result += "\\&";
        if (letter == '\\') {
            result += "\\e";
        } else if (letter == '-') {
            result += "\\-";
        } else {
            result += letter;
        }
        line_starts = letter == '\n';
    }
    return result;
}

std::string bold(const std::string &text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(const std::string &text) { return "\\fI" + escaped(text) + "\\fR"; }

std::string option_text(const Described &option) {
    std::string names;
    for (const std::string &name : option.names) {
        names += (names.empty() ? "" : ", ") + (option.positional ? italic(name) : bold(name));
    }
    return fmt::format(".TP\n{}{}\n{}.\n", names, option.value.empty() ? "" : " " + italic(option.value), escaped(option.what));
}

// A footer's examples keep their lines; what else it says does too.
std::string footer_text(const std::string &footer) { return footer.empty() ? "" : fmt::format(".PP\n.nf\n{}\n.fi\n", escaped(footer)); }

std::string subcommand_text(const CLI::App &program, const CLI::App &subcommand) {
    std::string text = fmt::format(".SS {} {}\n{}.\n", program.get_name(), subcommand.get_name(), escaped(subcommand.get_description()));
    for (const Described &option : described_options(subcommand)) text += option_text(option);
    return text + footer_text(subcommand.get_footer());
}

}  // namespace

std::string manual_page(const CLI::App &program, const std::string &version) {
    const std::string &name = program.get_name();
    std::string text =
        fmt::format(".\\\" Made from the command's own options.\n.TH {0} 1 \"\" \"{0} {1}\" \"User Commands\"\n", name, version);
    text += fmt::format(".SH NAME\n{} \\- depthwise\\-separable convolution, compiled ahead of time\n", name);
    text += fmt::format(".SH SYNOPSIS\n{} {} {}\n.br\n", bold(name), italic("SUBCOMMAND"), "[\\fIOPTION\\fR...]");
    text += fmt::format("{} {} | {}\n", bold(name), bold("--help"), bold("--version"));
    text += fmt::format(".SH DESCRIPTION\n{}\n", escaped(program.get_description()));
    text += ".SH OPTIONS\n";
    for (const Described &option : described_options(program)) text += option_text(option);
    text += ".SH SUBCOMMANDS\n";
    for (const CLI::App *subcommand : described_subcommands(program)) text += subcommand_text(program, *subcommand);
    text += ".SH EXIT STATUS\n";
    for (const auto &[code, meaning] :
         {std::pair{0, "Done."},
          {1, "Failed: the disk or the memory is full, or standard output cannot be written."},
          {2, "The command line, the config or a file is wrong; the message says what was expected and what was found."}}) {
        text += fmt::format(".TP\n{}\n{}\n", code, meaning);
    }
    text += ".SH ENVIRONMENT\n.TP\n.B SEPCONV_TARGET\nThe instruction set that\n.B host\nmeans.\n";
    return text;
}

}  // namespace sepconv::tools
