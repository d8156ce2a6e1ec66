// What lies beside the library so that others find and check it: the manifest, the CMake package and the pkg-config file.
#pragma once

#include <filesystem>
#include <string>

#include "library.h"

namespace sepconv::compiler {

/// Writes NAME.json, NAMEConfig.cmake and NAME.pc into the folder that has the library's files, and lists them in it, the manifest last.
/// @param weights_digest  of the embedded weights as Keras has them; empty where they are separate
void add_package(const Request &request, Library &library, const std::string &weights_digest, const std::filesystem::path &folder);

/// Checks that the manifest would replace nothing but one of a former compile: a config may well have its name.
/// @throws tools::UsageError
void check_place(const Request &request, const std::filesystem::path &folder);

/// Puts the files of a library into the folder for which they were made. Until all are there, there is no manifest.
void publish(const std::vector<std::string> &files, const std::filesystem::path &from, const std::filesystem::path &to);

}  // namespace sepconv::compiler
