// Writes what lies beside a compiled library.
#include "package.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "digest.h"
#include "files.h"
#include "sepconv/layer.h"
#include "tools/subcommands.h"

namespace sepconv::compiler {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json shape_json(const std::array<std::int64_t, 4> &shape) {
    Json list = Json::array();
    for (const std::int64_t extent : shape) list.push_back(extent == open ? Json(nullptr) : Json(extent));
    return list;
}

const char *threads_name(Threads threads) {
    switch (threads) {
        case Threads::none:
            return "none";
        case Threads::supplied:
            return "supplied";
        default:
            return "pool";
    }
}

// What a program has to link after the library.
std::vector<std::string> libraries(const Request &request, const Library &library) {
    const Halide::Target &target = request.machines.front().target;
    if (target.os == Halide::Target::Windows || target.arch == Halide::Target::WebAssembly) return {};
    std::vector<std::string> names = {"m"};
    const bool apple = target.os == Halide::Target::OSX || target.os == Halide::Target::IOS;
    if (!library.has_runtime || apple) return names;
    names.emplace_back("dl");
    if (target.os == Halide::Target::Android) {
        names.emplace_back("log");
    } else {
        names.emplace_back("pthread");
    }
    return names;
}

Json manifest(const Request &request, const Library &library, const std::string &weights_digest, const fs::path &folder) {
    Json all;
    all["name"] = request.name;
    all["made_by"] =
        fmt::format("sepconv {}, Halide {}.{}.{}", version(), HALIDE_VERSION_MAJOR, HALIDE_VERSION_MINOR, HALIDE_VERSION_PATCH);
    all["layer"] = Json::parse(to_json(request.config));
    all["dtype"] = name(request.config.dtype);
    all["arithmetic"] = name(request.arithmetic);
    all["input_shape"] = shape_json(request.input);
    all["output_shape"] = shape_json(output_shape(request));
    all["weights"] = request.weights ? Json{{"place", "embedded"}, {"sha256", weights_digest}} : Json{{"place", "separate"}};
    all["schedule"] = request.schedule.empty() ? "hand" : "auto:" + request.schedule;
    all["threads"] = {{"from", threads_name(request.threads)}, {"tasks", request.tasks}};
    if (request.threads == Threads::supplied) all["threads"]["parallel_for"] = request.parallel_for;
    all["workspace_bytes"] = library.workspace_bytes;
    if (!request.weights) all["weight_bytes"] = library.weight_bytes;
    Json functions = Json::array();
    for (const Signature &signature : signatures(request)) functions.push_back(request.name + signature.suffix);
    all["functions"] = functions;
    all["link"] = libraries(request, library);
    Json machines = Json::array();
    for (const MachineReport &report : library.machines) {
        Json parameters;
        for (const auto &[name, value] : report.parameters) parameters[name] = value;
        Json machine = {{"target", report.target},
                        {"generator", {{"name", "separable_conv2d"}, {"parameters", parameters}}},
                        {"weights", {{"layout", report.weights}, {"bytes", report.weight_bytes}}},
                        {"workspace_bytes", report.workspace_bytes},
                        {"object_bytes", report.object_bytes}};
        Json tiles;
        for (const auto &[name, value] : report.tiles) tiles[name] = value;
        if (!report.tiles.empty()) machine["tiles"] = tiles;
        if (!report.schedule.empty()) machine["schedule"] = report.schedule;
        machines.push_back(machine);
    }
    all["targets"] = machines;
    Json files = Json::array();
    for (const std::string &name : library.files) {
        const std::string contents = read_file(folder / name);
        files.push_back({{"name", name}, {"bytes", contents.size()}, {"sha256", digest_of(contents)}});
    }
    all["files"] = files;
    return all;
}

std::string cmake_package(const Request &request, const Library &library) {
    std::vector<std::string> link = libraries(request, library);
    const bool threads = std::erase(link, "pthread") > 0;
    return fmt::format(
        "# The layer {0}: find_package({0}), then target_link_libraries(… {0}::{0}).\n"
        "{1}"
        "if(NOT TARGET {0}::{0})\n"
        "    add_library({0}::{0} STATIC IMPORTED)\n"
        "    set_target_properties({0}::{0} PROPERTIES\n"
        "        IMPORTED_LOCATION \"${{CMAKE_CURRENT_LIST_DIR}}/{2}\"\n"
        "        INTERFACE_INCLUDE_DIRECTORIES \"${{CMAKE_CURRENT_LIST_DIR}}\"\n"
        "        INTERFACE_LINK_LIBRARIES \"{3}{4}\")\n"
        "endif()\n",
        request.name, threads ? "include(CMakeFindDependencyMacro)\nset(THREADS_PREFER_PTHREAD_FLAG ON)\nfind_dependency(Threads)\n" : "",
        library.archive, fmt::join(link, ";"), threads ? (link.empty() ? "Threads::Threads" : ";Threads::Threads") : "");
}

std::string pkg_config(const Request &request, const Library &library) {
    std::string link;
    for (const std::string &name : libraries(request, library)) link += " -l" + name;
    return fmt::format(
        "prefix=${{pcfiledir}}\n\n"
        "Name: {0}\n"
        "Description: {1} (SeparableConv2D), compiled\n"
        "Version: {2}\n"
        "Cflags: -I\"${{prefix}}\"\n"
        "Libs: \"${{prefix}}/{3}\"{4}\n",
        request.name, request.config.name, version(), library.archive, link);
}

void write(const fs::path &file, const std::string &text) { std::ofstream(file, std::ios::binary) << text; }

}  // namespace

void add_package(const Request &request, Library &library, const std::string &weights_digest, const fs::path &folder) {
    const std::string cmake = request.name + "Config.cmake", pkg = request.name + ".pc", json = request.name + ".json";
    write(folder / cmake, cmake_package(request, library));
    write(folder / pkg, pkg_config(request, library));
    library.files.insert(library.files.end(), {cmake, pkg});
    write(folder / json, manifest(request, library, weights_digest, folder).dump(2) + "\n");
    library.files.push_back(json);
}

void check_place(const Request &request, const fs::path &folder) {
    const fs::path file = folder / (request.name + ".json");
    std::error_code error;
    if (!fs::exists(file, error)) return;
    const Json found = Json::parse(read_file(file), nullptr, false);
    const bool manifest = found.is_object() && found.contains("made_by") && found["made_by"].is_string() &&
                          found["made_by"].get<std::string>().starts_with("sepconv ");
    if (manifest) return;
    throw tools::UsageError(fmt::format(
        "--output: expected no {}, or one that a former compile wrote, found another file; it would be replaced by the manifest. "
        "Another folder or --name leaves it alone",
        file.string()));
}

void publish(const std::vector<std::string> &files, const fs::path &from, const fs::path &to) {
    std::vector<UnnamedFile> written;
    written.reserve(files.size());
    for (const std::string &name : files) written.emplace_back(to, read_file(from / name));
    std::error_code error;
    fs::remove(to / files.back(), error);
    for (std::size_t i = 0; i < files.size(); ++i) written[i].name(files[i]);
}

}  // namespace sepconv::compiler
