#include "candidate.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <utility>

namespace sepconv::bench {
namespace {

// The functions of the table, every size open.
class Precompiled : public Candidate {
public:
    Precompiled(const ShapedLayer &layer, const Weights &weights, int threads)
        : layer_(layer.config, weights), input_(layer.input), output_(layer_.output_shape(layer.input)), threads_(threads) {}

    void run(const float *input, float *output) override { layer_.run({input, input_}, {output, output_}, {.threads = threads_}); }

    static std::unique_ptr<Candidate> make(const ShapedLayer &layer, const Weights &weights, int threads, const nlohmann::json &) {
        return std::make_unique<Precompiled>(layer, weights, threads);
    }

private:
    Layer layer_;
    Shape input_, output_;
    int threads_;
};

// What `sepconv compile` made of the layer, linked into a library that is loaded here: shape and weights are in it.
class Compiled : public Candidate {
public:
    Compiled(const std::string &file, const std::string &function, std::size_t workspace_bytes)
        : library_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL), dlclose), workspace_(workspace_bytes / sizeof(float)) {
        if (!library_) throw FileError(fmt::format("{}: expected a library, found {}", file, dlerror()));  // NOLINT(concurrency-mt-unsafe)
        run_ = reinterpret_cast<Function>(dlsym(library_.get(), function.c_str()));
        if (run_ == nullptr) throw FileError(fmt::format("{}: expected a function {}, found none", file, function));
    }

    void run(const float *input, float *output) override {
        if (const int code = run_(input, output, workspace_.data()); code != 0) {
            throw Error(fmt::format("a compiled layer: expected 0, found error {}", code));
        }
    }

    static std::unique_ptr<Candidate> make(const ShapedLayer &, const Weights &, int, const nlohmann::json &request) {
        if (!request.contains("compiled")) return nullptr;
        const nlohmann::json &compiled = request.at("compiled");
        return std::make_unique<Compiled>(compiled.at("library").get<std::string>(), compiled.at("function").get<std::string>(),
                                          compiled.at("workspace_bytes").get<std::size_t>());
    }

private:
    using Function = int (*)(const float *, float *, void *);

    std::unique_ptr<void, int (*)(void *)> library_;
    Values workspace_;
    Function run_;
};

}  // namespace

const std::vector<Way> &ways() {
    static const std::vector<Way> all = {{"precompiled", Precompiled::make}, {"compiled", Compiled::make}};
    return all;
}

}  // namespace sepconv::bench
