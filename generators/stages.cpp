// The algorithm of stages.h.
#include "stages.h"

using namespace Halide;

namespace sepconv {

Expr padded_stage(const At &inside, Expr x, Expr y, Expr width, Expr height) {
    // `likely` makes Halide split the loops into a border and an inside without tests.
    const Expr in_image = likely(x >= 0) && likely(x < width) && likely(y >= 0) && likely(y < height);
    const Expr value = inside(clamp(likely(x), 0, width - 1), clamp(likely(y), 0, height - 1));
    return select(in_image, value, cast(value.type(), 0));
}

Expr padded_columns_stage(const At &inside, Expr x, Expr y, Expr width) {
    // The clamp is not `likely`: where Halide decides that alone it drops it, and the select still loads from beside the image.
    const Expr value = inside(clamp(x, 0, width - 1), y);
    return select(likely(x >= 0) && likely(x < width), value, cast(value.type(), 0));
}

namespace {

Expr sum_of(const Expr &a, const Expr &b, bool keep_order) { return keep_order ? strict_float(a + b) : a + b; }

}  // namespace

bool keep_order(const Target &target) {
    if (target.has_gpu_feature()) return false;
    return target.arch == Target::WebAssembly || (target.arch == Target::X86 && !target.has_feature(Target::FMA));
}

Type in_memory(Type type, const Target &target) {
    if (type != Float(16)) return type;
    // Not every device of OpenCL has the type.
    if (target.has_gpu_feature()) return target.has_feature(Target::OpenCL) ? Type(UInt(16)) : type;
    const bool converts = target.arch == Target::X86 ? target.has_feature(Target::F16C) : target.arch == Target::ARM;
    return converts ? type : Type(UInt(16));
}

Expr from_memory(const Expr &stored, Type computed) {
    if (stored.type() == UInt(16)) return cast(computed, Internal::float16_to_float32(stored));
    return cast(computed, stored);
}

Expr to_memory(const Expr &computed, Type stored) {
    if (stored != UInt(16)) return cast(stored, computed);
    // Halide's function makes infinity of a NaN.
    const Expr value = cast<float>(computed), word = reinterpret<std::uint32_t>(value);
    const Expr is_nan = (word & Expr(0x7fffffffu)) > Expr(0x7f800000u),
               nan = cast(stored, (word >> 16) & Expr(0x8000u)) | cast(stored, 0x7e00);
    return select(is_nan, nan, reinterpret(stored, Internal::float32_to_float16(value)));
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

Expr both_lanes(const Expr &initial, const Expr &even, const Expr &odd) { return strict_float(initial + (even + odd)); }

Expr count_of(const std::vector<Expr> &extents) {
    Expr count = 1;
    for (const Expr &extent : extents) count *= extent;
    return count;
}

std::vector<Expr> point_of(const Expr &place, const std::vector<Expr> &extents) {
    // Without signs, which division would take several instructions to respect; and never by 0, which Halide would test for.
    const auto within = [](const Expr &i, const Expr &extent) { return unsafe_promise_clamped(cast<int>(i), 0, extent - 1); };
    std::vector<Expr> point;
    Expr rest = cast<std::uint32_t>(place);
    for (std::size_t i = 0; i + 1 < extents.size(); i++) {
        const Expr extent = max(cast<std::uint32_t>(extents[i]), Expr(1u)), next = rest / extent;
        point.push_back(within(rest - next * extent, extents[i]));
        rest = next;
    }
    point.push_back(within(rest, extents.back()));
    return point;
}

Expr clamped_stage(Expr x, Expr low, Expr high) {
    // A comparison with NaN is false, so the value itself has to be the branch that is taken then.
    const Expr above = strict_float(select(x < low, low, x));
    return strict_float(select(above > high, high, above));
}

}  // namespace sepconv
