// softmax, log_softmax, sparsemax or glu on a GPU along dimensions that only the call names, after the fused kernel has computed what they
// are applied to. One kernel; every size and every stride is open.
#include <string>
#include <vector>

#include "Halide.h"
#include "activated.h"
#include "schedules/gpu.h"
#include "stages.h"

namespace {

using namespace Halide;

class GpuAxes : public Generator<GpuAxes> {
public:
    /// Of the output, float32 or float16; what is computed is float32, and rounded once.
    GeneratorParam<Type> type{"type", Float(32)};
    /// softmax, log_softmax, sparsemax or glu.
    GeneratorParam<std::string> activation{"activation", "softmax"};

    /// (d0, d1, d2, d3), float32. Indices are computed in 32 bits: the distance between the first element and the last must be below 2^31,
    /// of the output too, and so must the number of the output's elements, rounded up to a whole block of threads (gpu_flat_threads).
    Input<Buffer<float, 4>> input{"input"};
    /// Whether it works along a dimension, 0 or 1. softmax may along several, the others along exactly one.
    Input<int> along0{"along0"}, along1{"along1"}, along2{"along2"}, along3{"along3"};
    /// (d0, d1, d2, d3); for glu half as long as the input along its dimension. Not the input's memory.
    Output<Buffer<void, 4>> output{"output"};

    void configure() { output.set_type(sepconv::in_memory(type, target)); }

    void generate() {
        const std::string kind = activation;
        axes = {along0, along1, along2, along3};
        for (const Expr &axis : axes) along.push_back(axis != 0);
        for (int i = 0; i < 4; i++) {
            extents.push_back(output.dim(i).extent());
            kept.push_back(if_axis(i, 1, extents[i]));
            reduced.push_back(if_axis(i, extents[i], 1));
        }
        output(d0, d1, d2, d3) = undef(output.type());
        if (kind == "glu") {
            glu();
        } else if (kind == "sparsemax") {
            along_one_axis();
        } else {
            along_several_axes();
        }
    }

    void schedule() {
        for (int i = 0; i < 4; i++) {
            input.dim(i).set_min(0);
            output.dim(i).set_min(0);
        }
        // Open in every dimension, the innermost too.
        input.dim(0).set_stride(Expr());
        output.dim(0).set_stride(Expr());
        if (activation.value() == "glu") {
            sepconv::schedule_gpu_flat(output.update(), threads.elements);
            return;
        }
        int update = 0;
        if (blocks.stages.value.defined()) sepconv::schedule_gpu_line_blocks(output, update++, blocks);
        sepconv::schedule_gpu_line_threads(output, update, threads);
    }

private:
    // The formulas see the tensor as lines: all that is reduced to one result is a line, and the lines are counted through.

    bool on_vulkan() const { return target.value().has_feature(Target::Vulkan); }

    // One value for an axis, another for other dimensions. A condition that is the same for all threads is computed outside of the kernel,
    // which takes it as a bool; Vulkan's buffers can't have one.
    Expr if_axis(int dimension, const Expr &value, const Expr &other) const {
        if (on_vulkan()) return other + (value - other) * axes[dimension];
        return select(along[dimension], value, other);
    }

    static std::vector<Expr> sum_of(std::vector<Expr> a, const std::vector<Expr> &b) {
        for (std::size_t i = 0; i < a.size(); i++) a[i] += b[i];
        return a;
    }

    // A line of two elements, value and gate, for each element of the output.
    void glu() {
        const auto at = [&](const std::vector<Expr> &half_and_place) {
            std::vector<Expr> point = sepconv::point_of(half_and_place[1], extents);
            for (int i = 0; i < 4; i++) point[i] += if_axis(i, half_and_place[0] * extents[i], 0);
            return Expr(input(point));
        };
        const RDom elements(0, sepconv::count_of(extents), "elements");
        threads.elements = elements;
        Func value("value");
        value(e0, line) = sepconv::along_axes({at, {e0, line}, {true, false}, {1, sepconv::count_of(extents)}}, "glu", 0).value;
        store(sepconv::point_of(elements.x, extents), value(0, elements.x));
    }

    std::vector<Expr> on_axis(const Expr &element) const {
        std::vector<Expr> point;
        for (int i = 0; i < 4; i++) point.push_back(if_axis(i, element, 0));
        return point;
    }

    void along_one_axis() {
        const auto at = [&](const std::vector<Expr> &place) {
            return Expr(input(sum_of(sepconv::point_of(place[1], kept), on_axis(place[0]))));
        };
        const Expr length = sepconv::count_of(reduced), lines = sepconv::count_of(kept);
        const RDom elements(0, length, 0, lines, "elements");
        threads = {sepconv::along_axes({at, {e0, line}, {true, false}, {length, lines}}, activation, 0, false), elements};
        Func value("value");
        value(e0, line) = threads.stages.value;
        store(sum_of(sepconv::point_of(elements.y, kept), on_axis(elements.x)), value(elements.x, elements.y));
    }

    // A line has four dimensions: those that are no axes are 1 long.
    void along_several_axes() {
        const auto at = [&](const std::vector<Expr> &place) {
            return Expr(input(sum_of(sepconv::point_of(place[4], kept), {place.begin(), place.end() - 1})));
        };
        const Expr lines = sepconv::count_of(kept);
        std::vector<Expr> sizes = reduced;
        sizes.push_back(lines);
        const sepconv::AxesInput view = {at, {e0, e1, e2, e3, line}, {true, true, true, true, false}, sizes};
        // Of several definitions that are not asked for the host starts no kernel, for Vulkan one without blocks.
        const auto domain = [&](const Expr &where) {
            const Expr asked_for = on_vulkan() ? select(where, lines, 0) : lines;
            RDom elements({{0, reduced[0]}, {0, reduced[1]}, {0, reduced[2]}, {0, reduced[3]}, {0, asked_for}}, "elements");
            if (!on_vulkan()) elements.where(where);
            return elements;
        };
        const Expr by_blocks = along[0] && extents[0] >= sepconv::gpu_row_lanes;
        blocks = {sepconv::along_axes(view, activation, sepconv::gpu_row_lanes, false), domain(by_blocks)};
        threads = {sepconv::along_axes(view, activation, 0, false), domain(!by_blocks)};
        for (const sepconv::GpuLines &lines : {blocks, threads}) {
            std::vector<Expr> place;
            for (int i = 0; i < 5; i++) place.emplace_back(lines.elements[i]);
            Func value("value");
            value(view.dimensions) = lines.stages.value;
            store(sum_of(sepconv::point_of(place[4], kept), {place.begin(), place.end() - 1}), value(place));
        }
    }

    // As an update, the first of all defining nothing else.
    void store(const std::vector<Expr> &at, const Expr &value) { output(at) = sepconv::to_memory(value, output.type()); }

    Var e0{"e0"}, e1{"e1"}, e2{"e2"}, e3{"e3"}, line{"line"}, d0{"d0"}, d1{"d1"}, d2{"d2"}, d3{"d3"};
    std::vector<Expr> axes, along, extents, kept, reduced;  ///< of each dimension; kept and reduced are 1 where the other is the extent
    sepconv::GpuLines blocks, threads;
};

}  // namespace

HALIDE_REGISTER_GENERATOR(GpuAxes, gpu_axes)
