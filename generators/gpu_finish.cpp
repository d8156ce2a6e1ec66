// What is left to do on a GPU where the product's depthwise channels were divided among blocks: one kernel that adds the partial sums and
// the bias and applies an elementwise activation. Every size and every stride is open.
#include <string>
#include <vector>

#include "Halide.h"
#include "activated.h"
#include "schedules/gpu.h"
#include "stages.h"

namespace {

using namespace Halide;

class GpuFinish : public Generator<GpuFinish> {
public:
    /// Of the output, float32 or float16; what is computed is float32, and rounded once.
    GeneratorParam<Type> type{"type", Float(32)};
    /// A name of enum ActivationKind that works along no axes.
    GeneratorParam<std::string> activation{"activation", "linear"};

    /// (d0, d1, d2, d3, slice), added to the bias in the slices' order. Indices are computed in 32 bits: of this as of every other buffer
    /// the distance between the first element and the last must be below 2^31, and so must the number of the output's elements, rounded up
    /// to a whole block of threads (gpu_flat_threads).
    Input<Buffer<float, 5>> partial{"partial"};
    /// (d0, d1, d2, d3), with stride 0 along every dimension but the filters'; of any extents, which are not read.
    Input<Buffer<float, 4>> bias{"bias"};
    /// What they mean stands at enum ActivationKind.
    Input<float> a{"a"}, b{"b"}, c{"c"};
    /// (d0, d1, d2, d3); not the slices' memory.
    Output<Buffer<void, 4>> output{"output"};

    void configure() { output.set_type(sepconv::in_memory(type, target)); }

    void generate() {
        std::vector<Expr> extents;
        for (int i = 0; i < 4; i++) extents.push_back(output.dim(i).extent());
        const RDom slices(0, partial.dim(4).extent(), "slices");
        const std::vector<Expr> at = sepconv::point_of(element, extents);
        std::vector<Expr> of_slice = at;
        of_slice.emplace_back(slices.x);
        sum(element) = bias(at);
        sum(element) += partial(of_slice);

        // What only depends on a parameter is computed outside of the kernel. Of a test that is a bool, which Vulkan's buffers can't have;
        // there each thread reads its own parameters.
        parameters(element) = {Expr(a), Expr(b), Expr(c)};
        elements = RDom(0, sepconv::count_of(extents), "elements");
        const bool own = target.value().has_feature(Target::Vulkan);
        const Expr first = own ? parameters(elements.x)[0] : Expr(a), second = own ? parameters(elements.x)[1] : Expr(b),
                   third = own ? parameters(elements.x)[2] : Expr(c);
        output(d0, d1, d2, d3) = undef(output.type());
        output(sepconv::point_of(elements.x, extents)) =
            sepconv::to_memory(sepconv::activated(sum(elements.x), activation, first, second, third), output.type());
    }

    void schedule() {
        for (int i = 0; i < 5; i++) {
            partial.dim(i).set_min(0);
            if (i == 4) break;
            bias.dim(i).set_min(0);
            output.dim(i).set_min(0);
            // Open in every dimension, the innermost too.
            output.dim(i).set_stride(Expr());
        }
        partial.dim(0).set_stride(Expr());
        bias.dim(0).set_stride(Expr());
        const RVar thread = sepconv::schedule_gpu_flat(output.update(), elements);
        sum.compute_at(output, thread).store_in(MemoryType::Register);
        if (target.value().has_feature(Target::Vulkan)) parameters.compute_at(output, thread).store_in(MemoryType::Register);
    }

private:
    Var element{"element"}, d0{"d0"}, d1{"d1"}, d2{"d2"}, d3{"d3"};
    RDom elements;
    Func sum{"sum"}, parameters{"parameters"};
};

}  // namespace

HALIDE_REGISTER_GENERATOR(GpuFinish, gpu_finish)
