// Compiles the functions of every machine and puts them into one archive.
#include "library.h"

#include <fmt/format.h>

#include <fstream>
#include <map>

#include "support/objects.h"
#include "tools/subcommands.h"

namespace sepconv::compiler {

using Halide::Target;

namespace {

namespace fs = std::filesystem;
using namespace Halide;

// One machine's code: what is compiled, and into which files.
struct Unit {
    Module module;
    std::string stem;  ///< of its files
};

void append(Module &module, const Pipeline &pipeline) {
    for (const Buffer<void> &constant : pipeline.constants) module.append(constant);
    for (const Internal::LoweredFunc &function : pipeline.functions) module.append(function);
    if (pipeline.strict_float) module.set_any_strict_float(true);
}

Buffer<void> constant(const std::string &name, const std::uint8_t *bytes, const Tensor &shape) {
    Buffer<void> buffer(shape.type, std::vector<int>(shape.extents.begin(), shape.extents.end()), name);
    std::copy(bytes, bytes + buffer.size_in_bytes(), static_cast<std::uint8_t *>(buffer.data()));
    return buffer;
}

// Weights as constants of the module: one that has all, or on a GPU one for each tensor, each of which has a place on the device.
void append_weights(Module &module, const Request &request, const StoredWeights &weights, const std::string &prefix, Parts &parts) {
    const std::vector<std::uint8_t> packed = pack(request, module.target(), parts.form, weights);
    const std::vector<std::int64_t> offsets = weight_offsets(parts.form);
    if (!parts.form.on_gpu) {
        parts.weights = prefix + "_weights";
        const Tensor all{parts.weights, Float(32), {static_cast<std::int64_t>(packed.size() / sizeof(float))}};
        return module.append(constant(parts.weights, packed.data(), all));
    }
    for (std::size_t i = 0; i < parts.form.weights.size(); ++i) {
        parts.constant_weights.push_back(fmt::format("{}_{}", prefix, parts.form.weights[i].name));
        module.append(constant(parts.constant_weights.back(), packed.data() + offsets[i], parts.form.weights[i]));
    }
}

// Everything of one machine but the dispatcher.
Unit make_unit(const Request &request, const Machine &machine, MachineReport &report, bool &needs_runtime) {
    const std::string prefix = prefix_for(request, machine);
    const Target target = request.config.dtype == Dtype::float16 ? for_conversions(machine.target) : machine.target;
    Unit unit{Module(prefix, target.with_feature(Target::NoRuntime)), prefix};
    Parts parts;
    parts.form = form_of(request, target);
    parts.dense = lower(request, target, Strides::dense, prefix + "_dense");
    append(unit.module, parts.dense);
    if (parts.form.packed) {
        parts.strided = lower(request, target, Strides::open, prefix + "_open");
        append(unit.module, parts.strided);
    } else {
        parts.strided = parts.dense;
    }
    if (request.weights) {
        append_weights(unit.module, request, *request.weights, prefix, parts);
    } else {
        parts.packing = lower_packing(request, target, prefix + "_packing");
        append(unit.module, parts.packing);
    }
    const bool functions_need_it = append_functions(unit.module, request, parts, prefix);
    needs_runtime = needs_runtime || functions_need_it || parts.dense.needs_runtime || parts.strided.needs_runtime || parts.form.on_gpu;
    report.target = machine.target.to_string();
    report.weights = parts.form.packed ? "packed" : "Keras";
    report.parameters = generator_parameters(request, parts.form);
    report.tiles = tile_sizes(request, target, parts.form);
    report.schedule = parts.dense.schedule;
    report.workspace_bytes = parts.workspace_bytes();
    report.takes_memory = parts.dense.takes_memory || parts.strided.takes_memory;
    report.weight_bytes = weight_offsets(parts.form).back();
    return unit;
}

const char *object_suffix(const Target &target) { return target.os == Target::Windows ? ".obj" : ".o"; }

void emit(const Request &request, const Unit &unit, const fs::path &folder, std::vector<std::string> &files) {
    static const std::map<Emit, std::pair<OutputFileType, const char *>> kinds = {
        {Emit::assembly, {OutputFileType::assembly, ".s"}},
        {Emit::stmt, {OutputFileType::stmt, ".stmt"}},
        {Emit::stmt_html, {OutputFileType::stmt_html, ".stmt.html"}},
        {Emit::llvm, {OutputFileType::llvm_assembly, ".ll"}},
        {Emit::c, {OutputFileType::c_source, ".cpp"}},
    };
    std::map<OutputFileType, std::string> outputs;
    for (const auto &[emitted, kind] : kinds) {
        if (request.emit.count(emitted) == 0) continue;
        files.push_back(unit.stem + kind.second);
        outputs[kind.first] = (folder / files.back()).string();
    }
    // The statement as HTML shows the assembly beside it, which Halide takes from a file.
    const fs::path beside = folder / "objects" / (unit.stem + ".s");
    if (outputs.count(OutputFileType::stmt_html) > 0 && outputs.count(OutputFileType::assembly) == 0) {
        outputs[OutputFileType::assembly] = beside.string();
    }
    if (!outputs.empty()) unit.module.compile(outputs);
}

void write_bytes(const fs::path &file, const char *begin, const char *end) {
    std::ofstream stream(file, std::ios::binary);
    stream.write(begin, end - begin);
    stream.close();
    if (!stream) throw tools::Failure(fmt::format("{}: cannot be written", file.string()));
}

Target system_of(const Target &target) {
    Target system(target.os, target.arch, target.bits);
    if (target.arch == Target::WebAssembly) system = target;
    return system;
}

}  // namespace

namespace {

Library compile_with_halide(const Request &request, const fs::path &folder) {
    const fs::path objects = folder / "objects";
    fs::create_directories(objects);
    Library library;
    std::vector<std::string> members;
    bool needs_runtime = false;
    const Target &first = request.machines.front().target;
    std::vector<std::string> emitted;
    const auto add = [&](const Unit &unit) {
        const std::string object = (objects / (unit.stem + object_suffix(first))).string();
        unit.module.compile({{OutputFileType::object, object}});
        members.push_back(object);
        emit(request, unit, folder, emitted);
        if (request.emit.count(Emit::object) == 0) return;
        emitted.push_back(unit.stem + object_suffix(first));
        fs::copy_file(object, folder / emitted.back());
    };
    for (const Machine &machine : request.machines) {
        library.machines.emplace_back();
        MachineReport &report = library.machines.back();
        add(make_unit(request, machine, report, needs_runtime));
        report.object_bytes = static_cast<std::int64_t>(fs::file_size(members.back()));
        library.workspace_bytes = std::max(library.workspace_bytes, report.workspace_bytes);
        library.weight_bytes = std::max(library.weight_bytes, report.weight_bytes);
        library.takes_memory = library.takes_memory || report.takes_memory;
    }
    const bool dispatches = request.machines.size() > 1;
    if (dispatches) {
        Unit dispatcher{Module(request.name, system_of(first).with_feature(Target::NoRuntime)), request.name};
        append_dispatchers(dispatcher.module, request);
        add(dispatcher);
    }
    for (const SupportObject &support : support_objects(first, dispatches)) {
        members.push_back((objects / (std::string(support.name) + object_suffix(first))).string());
        write_bytes(members.back(), support.begin, support.end);
    }
    if (needs_runtime) {
        const std::string object = (objects / (std::string("halide_runtime") + object_suffix(first))).string();
        Target runtime = system_of(first);
        for (int i = 0; i < Target::FeatureEnd; ++i) {
            const auto feature = static_cast<Target::Feature>(i);
            const std::string name = Target::feature_to_name(feature);
            const bool of_a_gpu = name.starts_with("cuda") || name == "opencl" || name == "vulkan";
            if (of_a_gpu && first.has_feature(feature)) runtime.set_feature(feature);
        }
        compile_standalone_runtime(object, runtime);
        members.push_back(object);
        library.has_runtime = true;
    }
    library.archive = request.name + (first.os == Target::Windows ? ".lib" : ".a");
    create_static_library(members, first, (folder / library.archive).string());
    fs::remove_all(objects);
    const std::string text = header(request, library), header_file = request.name + ".h";
    write_bytes(folder / header_file, text.data(), text.data() + text.size());
    library.files = {library.archive, header_file};
    library.files.insert(library.files.end(), emitted.begin(), emitted.end());
    return library;
}

}  // namespace

Library compile(const Request &request, const fs::path &folder) {
    try {
        return compile_with_halide(request, folder);
    } catch (const Halide::Error &error) {
        std::string message = error.what();
        message.erase(message.find_last_not_of(" \n") + 1);
        throw tools::Failure(fmt::format("Halide refuses the layer: {}", message));
    }
}

}  // namespace sepconv::compiler
