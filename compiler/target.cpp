// Reads --target.
#include "target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "tools/subcommands.h"

using Halide::Target;

namespace sepconv::compiler {
namespace {

using tools::UsageError;

struct Known {
    std::vector<std::string> systems;
    std::vector<std::string> features;
};

// By architecture. Features that change how a pipeline is called or checked are the compiler's own business and not among these.
const std::map<std::string, Known> &architectures() {
    static const std::map<std::string, Known> known = {
        {"x86-64",
         {{"linux", "windows", "osx", "android"},
          {"sse41", "avx", "f16c", "fma", "avx2", "avx512", "avx512_skylake", "avx512_cannonlake", "avx512_zen4", "avx512_zen5",
           "avx512_sapphirerapids"}}},
        {"arm-64", {{"linux", "android", "osx", "ios", "windows"}, {"arm_fp16", "arm_dot_prod", "sve", "sve2"}}},
        {"wasm-32", {{"wasmrt"}, {"wasm_simd128", "wasm_mvponly", "wasm_bulk_memory"}}},
    };
    return known;
}

const std::vector<std::string> &gpu_features() {
    static const std::vector<std::string> features = {
        "cuda",   "cuda_capability_30", "cuda_capability_32", "cuda_capability_35", "cuda_capability_50", "cuda_capability_61",
        "opencl", "cuda_capability_70", "cuda_capability_75", "cuda_capability_80", "cuda_capability_86", "vulkan"};
    return features;
}

bool contains(const std::vector<std::string> &list, const std::string &word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

std::string described() {
    std::string text;
    for (auto [name, known] : architectures()) {
        std::erase_if(known.features, [](const std::string &feature) { return feature.starts_with("sve"); });  // known, and refused
        std::replace(known.systems.begin(), known.systems.end(), std::string("osx"), std::string("macos"));
        text += fmt::format("\n  {}-{{{}}}, with any of {}", name, fmt::join(known.systems, ","), fmt::join(known.features, " "));
    }
    std::vector<std::string> gpus = gpu_features();
    std::erase(gpus, "vulkan");  // the same
    return text + fmt::format("\n  x86-64 and arm-64 also with {}", fmt::join(gpus, " "));
}

[[noreturn]] void refuse(const std::string &text, const std::string &why) {
    throw UsageError(
        fmt::format("--target: expected host, cuda, opencl or one of the targets below, found \"{}\": {}{}", text, why, described()));
}

std::vector<std::string> split(const std::string &text, char at) {
    std::vector<std::string> parts = {""};
    for (const char c : text) {
        if (c == at) {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    }
    return parts;
}

// What a feature cannot be without. Halide knows it when it emits code, not when a schedule asks.
void add_implied(Target &target) {
    const auto imply = [&](std::initializer_list<Target::Feature> by, std::initializer_list<Target::Feature> implied) {
        if (!target.features_any_of(by)) return;
        for (const Target::Feature feature : implied) target.set_feature(feature);
    };
    imply({Target::AVX512_SapphireRapids, Target::AVX512_Zen5}, {Target::AVX512_Zen4});
    imply({Target::AVX512_Zen4}, {Target::AVX512_Cannonlake});
    imply({Target::AVX512_Cannonlake}, {Target::AVX512_Skylake});
    imply({Target::AVX512_Skylake}, {Target::AVX512});
    imply({Target::AVX512}, {Target::AVX2, Target::FMA, Target::F16C});
    imply({Target::AVX2, Target::FMA, Target::F16C}, {Target::AVX});
    imply({Target::AVX}, {Target::SSE41});
    for (int feature = Target::CUDACapability30; feature <= Target::CUDACapability86; ++feature) {
        imply({static_cast<Target::Feature>(feature)}, {Target::CUDA});
    }
}

Target parse_one(const std::string &text, bool force) {
    std::vector<std::string> words = split(text, '-');
    if (words.size() == 1 && (text == "cuda" || text == "opencl" || text == "vulkan")) words.insert(words.begin(), "host");
    std::string halide;
    std::size_t next = 1;
    if (words[0] == "host") {
        halide = "host";
    } else {
        if (words.size() < 3) refuse(text, "it has no architecture and system");
        const std::string architecture = words[0] + "-" + words[1];
        if (architectures().count(architecture) == 0) refuse(text, fmt::format("unknown architecture \"{}\"", architecture));
        if (words[2] == "macos") words[2] = "osx";
        if (!contains(architectures().at(architecture).systems, words[2])) {
            refuse(text, fmt::format("unknown system \"{}\" of {}", words[2], architecture));
        }
        halide = architecture + "-" + words[2];
        next = 3;
    }
    const Target base(halide);
    const std::string architecture = base.arch == Target::X86 ? "x86-64" : base.arch == Target::ARM ? "arm-64" : "wasm-32";
    const bool of_any_width = contains(words, "sve") || contains(words, "sve2");
    for (; next < words.size(); ++next) {
        const bool gpu = architecture != "wasm-32" && contains(gpu_features(), words[next]);
        const bool width = of_any_width && contains({"vector_bits_128", "vector_bits_256", "vector_bits_512"}, words[next]);
        if (!gpu && !width && !contains(architectures().at(architecture).features, words[next])) {
            refuse(text, fmt::format("unknown feature \"{}\" of {}", words[next], architecture));
        }
        halide += "-" + words[next];
    }
    Target target(halide);
    if (!force && target.features_any_of({Target::SVE, Target::SVE2})) {
        throw UsageError(
            fmt::format("--target: expected a target without sve and sve2, found \"{}\": Halide {}'s code for vectors beyond 128 bits "
                        "stores wrong values, and up to 128 bits it is NEON's; leave the feature out, or force it with --force-target",
                        text, HALIDE_VERSION_MAJOR));
    }
    if (!force && target.has_feature(Target::Vulkan)) {
        throw UsageError(fmt::format(
            "--target: expected a target without vulkan, found \"{}\": Halide {}'s runtime for it, which would be in the library, "
            "loses the end of tensors whose bytes are no multiple of 64; sepconv::Layer runs on vulkan without it, or force it "
            "with --force-target",
            text, HALIDE_VERSION_MAJOR));
    }
    if (of_any_width && target.vector_bits == 0) {
        throw UsageError(
            fmt::format("--target: expected vector_bits_128, _256 or _512 beside sve and sve2, which Halide asks for, found \"{}\"", text));
    }
    add_implied(target);
    return target;
}

std::string suffix_of(const Target &target) {
    std::string suffix;
    for (int i = 0; i < Target::FeatureEnd; ++i) {
        const auto feature = static_cast<Target::Feature>(i);
        if (!target.has_feature(feature)) continue;
        suffix += (suffix.empty() ? "" : "_") + Target::feature_to_name(feature);
    }
    return suffix.empty() ? "baseline" : suffix;
}

}  // namespace

std::vector<Machine> parse_machines(const std::string &list, bool force) {
    std::vector<Machine> machines;
    for (const std::string &text : split(list, ',')) {
        const Target target = parse_one(text, force);
        machines.push_back({target, suffix_of(target)});
        const Target &first = machines.front().target;
        if (machines.size() == 1) continue;
        if (first.arch != Target::X86 || target.arch != first.arch || target.os != first.os || on_gpu(first) || on_gpu(target)) {
            throw UsageError(
                fmt::format("--target: expected several targets only for x86-64 CPUs of one system, found \"{}\"; compile the others with "
                            "calls and names of their own",
                            list));
        }
        for (std::size_t i = 0; i + 1 < machines.size(); ++i) {
            // Where an earlier one runs wherever this one does, this one is never taken.
            bool covered = true;
            for (int f = 0; f < Target::FeatureEnd; ++f) {
                const auto feature = static_cast<Target::Feature>(f);
                covered = covered && (!machines[i].target.has_feature(feature) || target.has_feature(feature));
            }
            if (covered) {
                throw UsageError(fmt::format("--target: expected the best target first, found \"{}\", where {} would never be taken", list,
                                             target.to_string()));
            }
        }
    }
    return machines;
}

bool on_gpu(const Target &target) { return target.has_gpu_feature(); }

Target for_conversions(Target target) {
    if (target.arch == Target::ARM) target.set_feature(Target::ARMFp16);
    return target;
}

Target for_pipelines(const Target &target) {
    const Target checked = target.with_feature(Target::NoBoundsQuery).with_feature(Target::NoRuntime);
    // Whether a GPU did its work is among what asserts find out.
    return on_gpu(target) ? checked : checked.with_feature(Target::NoAsserts);
}

}  // namespace sepconv::compiler
