// The schedules of along_axes.h, for every CPU: along the innermost dimension in vectors along a row, otherwise in vectors of columns, for
// which all steps of the activation are made before the next.
#include "schedules/along_axes.h"

#include <algorithm>

#include "schedules/activated.h"

using namespace Halide;

namespace sepconv {
namespace {

constexpr int images = 3;  // the dimension
// Vectors of columns whose sums sparsemax takes side by side: one alone would wait for each addition, at a third of the speed.
constexpr int search_vectors = 4;
constexpr int line = 16;  // columns of a cache line, which are computed together

int beside_of(const OutputAxes &axes) {
    return static_cast<int>(std::find(axes.along.begin(), axes.along.end(), false) - axes.along.begin());
}

// The largest vector that a dimension fills, so that its last one can move inwards.
int lanes_within(int extent, int lanes) {
    while (lanes > extent) lanes /= 2;
    return lanes;
}

// Cuts a loop, the outermost of an image, for threads.
template <typename Loops>
void share(Loops &&loops, const Var &dimension, const Expr &extent, int threads) {
    if (threads < 2) return;
    Var group("group");
    loops.split(dimension, group, dimension, simplify((extent + threads - 1) / threads), TailStrategy::GuardWithIf).parallel(group);
}

class Schedule {
public:
    Schedule(Func output, const AlongAxes &stages, const OutputAxes &axes, int threads, const Target &target)
        : output_(output),
          stages_(stages),
          axes_(axes),
          threads_(threads),
          natural_(target.natural_vector_size<float>()),
          dimensions_(output.args()) {}

    void make() {
        if (stages_.column.defined()) return columns();
        schedule_activated(output_, dimensions_[0], natural_);
        share(output_, dimensions_[images - 1], extent(images - 1), threads_);
        if (!stages_.last.defined()) return;
        if (stages_.largest.whole.defined()) return rows_of_several_axes();
        schedule_row_end(stages_.last, output_, dimensions_[1]);
        for (const AxesReduction &reduction : {stages_.largest, stages_.total}) {
            schedule_row_reduction(reduction.partial, reduction.row, reduction.lanes, output_, dimensions_[1]);
        }
    }

private:
    Expr extent(int dimension) const {
        const int known = axes_.extents[dimension];
        return known > 0 ? Expr(known) : output_.output_buffer().dim(dimension).extent();
    }

    // Each step for the whole image: the next needs all of its rows.
    void rows_of_several_axes() {
        Func(stages_.last).compute_root();
        for (const AxesReduction &reduction : {stages_.largest, stages_.total}) {
            Func partial = reduction.partial, row = reduction.row, whole = reduction.whole;
            const Var lane(partial.args()[0]);
            partial.compute_at(row, dimensions_[1]).store_in(MemoryType::Stack).vectorize(lane);
            partial.update().vectorize(lane);
            row.compute_root().update().atomic().vectorize(reduction.lanes.x);
            share(row.update(), dimensions_[images - 1], extent(images - 1), threads_);
            whole.compute_root();
        }
    }

    // The dimension that has the loop to share: the outermost that is no axis, or −1.
    int shared(int beside) const {
        for (int i = images - 1; i > beside; i--) {
            if (!axes_.along[i]) return i;
        }
        return -1;
    }

    void columns() {
        const int beside = beside_of(axes_), known = axes_.extents[beside];
        const int most = stages_.below.defined() ? search_vectors * natural_ : std::max(natural_, line);
        const int lanes = axes_.whole_vectors() ? most : lanes_within(known, most), vector = std::min(lanes, natural_);
        const TailStrategy tail = axes_.whole_vectors() ? TailStrategy::GuardWithIf : TailStrategy::ShiftInwards;
        Var block("block"), lane("lane");
        output_.split(dimensions_[beside], block, lane, lanes, tail);
        std::vector<VarOrRVar> order;
        if (beside > 0) {
            order = {dimensions_[0], lane};
            schedule_activated(output_, dimensions_[0], natural_);
        } else {
            order = {lane};
            for (std::size_t i = 1; i < dimensions_.size(); i++) {
                if (axes_.along[i]) order.push_back(dimensions_[i]);
            }
            output_.vectorize(lane, vector).unroll(lane);
        }
        order.push_back(block);
        for (std::size_t i = beside + 1; i < dimensions_.size(); i++) {
            if (!axes_.along[i]) order.push_back(dimensions_[i]);
        }
        output_.reorder(order);
        if (const int dimension = shared(beside); dimension >= 0) {
            share(output_, dimensions_[dimension], extent(dimension), threads_);
        } else {
            share(output_, block, simplify((extent(beside) + lanes - 1) / lanes), threads_);
        }

        auto side_by_side = [&](Func func) {
            const Var column(func.args()[0]);
            func.compute_at(output_, block).bound_extent(column, lanes).vectorize(column, vector).unroll(column);
            for (int i = 0; i < func.num_update_definitions(); i++) {
                std::vector<VarOrRVar> inner = {column};
                for (const RVar &element : func.rvars(i)) inner.emplace_back(element);
                func.update(i).reorder(inner).vectorize(column, vector, TailStrategy::RoundUp).unroll(column);
            }
        };
        // A copy where that is small: the columns are read several times, and those a power of two apart do not stay in the cache.
        const bool one_axis = std::count(axes_.along.begin(), axes_.along.end(), true) == 1;
        if (one_axis || axes_.whole_vectors()) side_by_side(stages_.column);
        for (const AxesReduction &reduction : {stages_.largest, stages_.total}) {
            if (reduction.whole.defined()) side_by_side(reduction.whole);
        }
        if (!stages_.below.defined()) return;
        side_by_side(stages_.below);
        side_by_side(stages_.search);
        for (const Func &support : stages_.support) side_by_side(support);
    }

    Func output_;
    const AlongAxes &stages_;
    const OutputAxes &axes_;
    int threads_, natural_;
    std::vector<Var> dimensions_;
};

}  // namespace

bool OutputAxes::whole_vectors() const {
    const int beside = beside_of(*this);
    return beside < static_cast<int>(extents.size()) && extents[beside] == 0;
}

void schedule_along_axes(Func output, const AlongAxes &stages, const OutputAxes &axes, int threads, const Target &target) {
    Schedule(output, stages, axes, threads, target).make();
}

}  // namespace sepconv
