// What main.cpp knows of the subcommands: how each adds itself to the command line, and the two ways in which one may fail.
#pragma once

#include <CLI/CLI.hpp>

#include "sepconv/error.h"

namespace sepconv::tools {

/// An argument on the command line is wrong. The message names it, says what was expected and what was found. Exit code 2, as for the
/// library's own errors about configs, shapes, targets and files.
class UsageError : public Error {
    using Error::Error;
};

/// The command line and the files are right and the work failed all the same, as on a full disk. Exit code 1.
class Failure : public Error {
    using Error::Error;
};

/// Each adds its subcommand, with options and help, and does the work when the command line that names it has been parsed.
void add_run(CLI::App &program);
void add_info(CLI::App &program);
void add_explain(CLI::App &program);
void add_compile(CLI::App &program);
void add_bench(CLI::App &program);
/// Its help alone: main hands the work over to a program of its own.
void add_generate(CLI::App &program);

}  // namespace sepconv::tools
