#include "candidate.h"

namespace sepconv::bench {
namespace {

// The functions of the table, every size open.
class Precompiled : public Candidate {
public:
    Precompiled(const ShapedLayer &layer, const Weights &weights, int threads)
        : layer_(layer.config, weights), input_(layer.input), output_(layer_.output_shape(layer.input)), threads_(threads) {}

    void run(const float *input, float *output) override { layer_.run({input, input_}, {output, output_}, {.threads = threads_}); }

    static std::unique_ptr<Candidate> make(const ShapedLayer &layer, const Weights &weights, int threads) {
        return std::make_unique<Precompiled>(layer, weights, threads);
    }

private:
    Layer layer_;
    Shape input_, output_;
    int threads_;
};

}  // namespace

const std::vector<Way> &ways() {
    static const std::vector<Way> all = {{"precompiled", Precompiled::make}};
    return all;
}

}  // namespace sepconv::bench
