// One activation over a tile, which the runtime calls where the product's epilogue cannot apply it: rows of any length and distance.
#include "Halide.h"
#include "activated.h"
#include "schedules/activated.h"

namespace {

using namespace Halide;

class ActivationTile : public Generator<ActivationTile> {
public:
    /// Of input and output: float32 or float16. What lies between is computed in float32.
    GeneratorParam<Type> type{"type", Float(32)};
    /// A name of enum ActivationKind, but for sparsemax.
    GeneratorParam<std::string> activation{"activation", "linear"};
    /// Elements in a vector.
    GeneratorParam<int> lanes{"lanes", 8};

    /// (x, row), dense in x. The output may be the same memory with the same distance of rows, but for glu.
    Input<Buffer<void, 2>> input{"input"};
    /// What they mean stands at enum ActivationKind.
    Input<float> a{"a"}, b{"b"}, c{"c"};
    /// (x, row), dense in x; for glu half as wide as the input.
    Output<Buffer<void, 2>> output{"output"};

    void configure() {
        input.set_type(type);
        output.set_type(type);
    }

    void generate() {
        const std::string kind = activation;
        if (sepconv::works_along_axes(kind)) {
            _halide_user_assert(kind != "sparsemax") << "activation: expected one that is no sparsemax\n";
            const auto at = [&](const std::vector<Expr> &element) { return cast<float>(input(element)); };
            rows = sepconv::along_axes({at, {x, row}, {true, false}, {output.dim(0).extent(), Expr()}}, kind, lanes);
            output(x, row) = cast(type, rows.value);
        } else {
            output(x, row) = cast(type, sepconv::activated(cast<float>(input(x, row)), kind, a, b, c));
        }
    }

    void schedule() {
        for (int i = 0; i < 2; i++) {
            input.dim(i).set_min(0);
            output.dim(i).set_min(0);
        }
        sepconv::schedule_activated(output, x, lanes);
        if (rows.last.defined()) {
            sepconv::schedule_row_end(rows.last, output, row);
            for (const sepconv::AxesReduction &reduction : {rows.largest, rows.total}) {
                sepconv::schedule_row_reduction(reduction.partial, reduction.row, reduction.lanes, output, row);
            }
        }
    }

private:
    Var x{"x"}, row{"row"};
    sepconv::AlongAxes rows;
};

}  // namespace

HALIDE_REGISTER_GENERATOR(ActivationTile, activation_tile)
