// The completions for bash, zsh and fish: subcommands, options, and the values of those that take a file, a folder or one of a few words.
#include <fmt/format.h>

#include "described.h"

namespace sepconv::tools {
namespace {

std::string replaced(std::string text, const std::string &from, const std::string &to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
    return text;
}

// In single quotes, for bash and zsh; fish reads a backslash between them too.
std::string quoted(const std::string &text) { return "'" + replaced(text, "'", "'\\''") + "'"; }
std::string quoted_for_fish(const std::string &text) { return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'"; }

// ---- bash

std::string bash_case(const std::string &patterns, const std::string &reply, int depth = 8) {
    return patterns.empty() ? "" : fmt::format("{0:{1}}{2})\n{0:{1}}    {3}\n{0:{1}}    ;;\n", "", depth, patterns, reply);
}

// "run --config" | "run --weights"
void add_patterns(std::string &patterns, const std::string &subcommand, const Described &option) {
    for (const std::string &name : option.names) patterns += fmt::format("{}\"{} {}\"", patterns.empty() ? "" : " | ", subcommand, name);
}

std::string option_words(const CLI::App &app) {
    std::string words;
    for (const Described &option : described_options(app)) {
        if (option.positional) continue;
        for (const std::string &name : option.names) words += (words.empty() ? "" : " ") + name;
    }
    return words;
}

// ---- zsh

// What _arguments takes between brackets and colons.
std::string zsh_text(const std::string &text) {
    std::string result = text;
    for (const char *special : {"[", "]", ":"}) result = replaced(result, special, std::string("\\") + special);
    return result;
}

std::string zsh_action(const Described &option) {
    if (option.takes_file()) return "_files";
    if (option.takes_folder()) return "_files -/";
    return option.choices.empty() ? " " : fmt::format("({})", fmt::join(option.choices, " "));
}

std::string zsh_argument(const Described &option) {
    std::string text;
    for (const std::string &name : option.names) {
        const std::string value = option.value.empty() ? "" : fmt::format(":{}:{}", zsh_text(option.value), zsh_action(option));
        // Of a long option the value may stand behind an equals sign.
        const char *sign = !option.value.empty() && name.starts_with("--") ? "=" : "";
        text += fmt::format("                {} \\\n", quoted(fmt::format("{}{}[{}]{}", name, sign, zsh_text(option.what), value)));
    }
    return text;
}

// ---- fish

std::string fish_option(const CLI::App &program, const std::string &subcommand, const Described &option) {
    std::string text = fmt::format("complete -c {} -n '__fish_seen_subcommand_from {}'", program.get_name(), subcommand);
    for (const std::string &name : option.names) {
        const bool is_long = name.starts_with("--");
        text += fmt::format(" -{} {}", is_long ? "l" : "s", name.substr(is_long ? 2 : 1));
    }
    if (option.takes_file()) {
        text += " -r -F";
    } else if (option.takes_folder()) {
        text += " -x -a '(__fish_complete_directories)'";
    } else if (!option.value.empty()) {
        text += option.choices.empty() ? " -x" : fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
    }
    return text + fmt::format(" -d {}\n", quoted_for_fish(option.what));
}

}  // namespace

std::string bash_completion(const CLI::App &program) {
    std::string subcommands, files, folders, choices, others, options;
    for (const CLI::App *subcommand : described_subcommands(program)) {
        const std::string name = subcommand->get_name();
        subcommands += name + " ";
        options += bash_case(name, fmt::format("words={}", quoted(option_words(*subcommand))), 16);
        for (const Described &option : described_options(*subcommand)) {
            if (option.value.empty()) continue;
            std::string own;
            add_patterns(option.takes_file()      ? files
                         : option.takes_folder()  ? folders
                         : option.choices.empty() ? others
                                                  : own,
                         name, option);
            choices += bash_case(own, fmt::format("words={}", quoted(fmt::format("{}", fmt::join(option.choices, " ")))));
        }
    }
    // bash makes a word of its own of the equals sign in --option=value.
    std::string text = fmt::format(R"(# bash completion for {0}, made from the command's own options
_{0}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} words=
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '{1}{2}' -- "$current")
        return
    fi
    case "${{COMP_WORDS[1]}} $previous" in
)",
                                   program.get_name(), subcommands, option_words(program));
    text += bash_case(
        files, "compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n            return");
    text += bash_case(
        folders, "compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n            return");
    text += choices + bash_case(others, "return");
    text += fmt::format(R"(        *)
            case ${{COMP_WORDS[1]}} in
{1}            esac
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _{0} {0}
)",
                        program.get_name(), options);
    return text;
}

std::string zsh_completion(const CLI::App &program) {
    std::string subcommands, cases;
    for (const CLI::App *subcommand : described_subcommands(program)) {
        const std::string name = subcommand->get_name();
        subcommands += fmt::format("        {}\n", quoted(name + ":" + zsh_text(title(*subcommand))));
        cases += fmt::format("        {})\n            _arguments \\\n", name);
        for (const Described &option : described_options(*subcommand)) {
            if (!option.positional) cases += zsh_argument(option);
        }
        cases += "                && return\n            ;;\n";
    }
    return fmt::format(R"(#compdef {0}
# zsh completion for {0}, made from the command's own options
_{0}() {{
    local -a subcommands
    subcommands=(
{1}    )
    if ((CURRENT == 2)); then
        _describe subcommand subcommands
        compadd -- {2}
        return
    fi
    local subcommand=$words[2]
    shift words
    ((CURRENT--))
    case $subcommand in
{3}    esac
}}
_{0} "$@"
)",
                       program.get_name(), subcommands, option_words(program), cases);
}

std::string fish_completion(const CLI::App &program) {
    const std::string &command = program.get_name();
    std::string text = fmt::format("# fish completion for {0}, made from the command's own options\ncomplete -c {0} -f\n", command);
    for (const Described &option : described_options(program)) {
        for (const std::string &name : option.names) {
            if (!name.starts_with("--")) continue;
            text +=
                fmt::format("complete -c {} -n __fish_use_subcommand -l {} -d {}\n", command, name.substr(2), quoted_for_fish(option.what));
        }
    }
    for (const CLI::App *subcommand : described_subcommands(program)) {
        text += fmt::format("complete -c {} -n __fish_use_subcommand -a {} -d {}\n", command, subcommand->get_name(),
                            quoted_for_fish(title(*subcommand)));
    }
    for (const CLI::App *subcommand : described_subcommands(program)) {
        for (const Described &option : described_options(*subcommand)) {
            if (!option.positional) text += fish_option(program, subcommand->get_name(), option);
        }
    }
    return text;
}

}  // namespace sepconv::tools
