// The algorithm of stages.h.
#include "stages.h"

using namespace Halide;

namespace sepconv {

Expr padded_stage(const At &inside, Expr x, Expr y, Expr width, Expr height) {
    // `likely` makes Halide split the loops into a border and an inside without tests.
    const Expr in_image = likely(x >= 0) && likely(x < width) && likely(y >= 0) && likely(y < height);
    return select(in_image, inside(clamp(likely(x), 0, width - 1), clamp(likely(y), 0, height - 1)), 0.0f);
}

Expr padded_columns_stage(const At &inside, Expr x, Expr y, Expr width) {
    // The clamp is not `likely`: where Halide decides that alone it drops it, and the select still loads from beside the image.
    return select(likely(x >= 0) && likely(x < width), inside(clamp(x, 0, width - 1), y), 0.0f);
}

namespace {

Expr sum_of(const Expr &a, const Expr &b, bool keep_order) { return keep_order ? strict_float(a + b) : a + b; }

}  // namespace

bool keep_order(const Target &target) {
    if (target.has_gpu_feature()) return false;
    return target.arch == Target::WebAssembly || (target.arch == Target::X86 && !target.has_feature(Target::FMA));
}

Func depthwise_stage(const std::vector<Var> &dimensions, Var x, Var y, const Window &window, RDom taps, const At &padded, const At &tap,
                     bool keep_order) {
    Func depthwise("depthwise");
    const Expr column = x * window.stride_x + taps.x * window.dilation_x, row = y * window.stride_y + taps.y * window.dilation_y;
    const Expr product = padded(column, row) * tap(taps.x, taps.y);
    depthwise(dimensions) = cast(product.type(), 0.0f);
    depthwise(dimensions) = sum_of(depthwise(dimensions), product, keep_order);
    return depthwise;
}

Func pointwise_stage(const std::vector<Var> &dimensions, Expr bias, const std::vector<Reduction> &parts, bool keep_order) {
    Func pointwise("pointwise");
    pointwise(dimensions) = bias;
    for (const Reduction &part : parts) {
        pointwise(dimensions) = sum_of(pointwise(dimensions), part.depthwise * part.weight, keep_order);
    }
    return pointwise;
}

Expr clamped_stage(Expr x, Expr low, Expr high) {
    // A comparison with NaN is false, so the value itself has to be the branch that is taken then.
    const Expr above = strict_float(select(x < low, low, x));
    return strict_float(select(above > high, high, above));
}

}  // namespace sepconv
