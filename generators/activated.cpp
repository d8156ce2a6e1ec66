// The activations in float32 arithmetic and integer operations on the bits of floats: no call of a mathematical library, no table.
//
// Halide lets the compiler reorder float arithmetic and assume that it meets no NaN and no infinity. That is wanted in polynomials,
// where it gives fused multiply-adds, and wrong in three places, which therefore use the strict_… functions: where the steps are
// exact only in their order (the last one too: LLVM reorders a strict operand of a free addition), where an operand or the result may
// be infinite or NaN, and where a parameter is known only when called. Arguments of everything else are clamped to a finite range
// first, with NaN put back at the end.
#include "activated.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

using namespace Halide;
using Halide::Internal::Call;

namespace sepconv {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float largest_float = std::numeric_limits<float>::max();
constexpr int infinity_bits = 0x7f800000;
constexpr int magnitude_mask = 0x7fffffff;

// One operation by IEEE 754. Halide's strict_float() would take the operands' own operations with it, and their fused multiply-adds.
Expr strict(Call::IntrinsicOp operation, Type type, const Expr &a, const Expr &b) {
    return Call::make(type, operation, {a, b}, Call::PureIntrinsic);
}
Expr strict_add(const Expr &a, const Expr &b) { return strict(Call::strict_add, Float(32), a, b); }
Expr strict_subtract(const Expr &a, const Expr &b) { return strict(Call::strict_sub, Float(32), a, b); }
Expr strict_multiply(const Expr &a, const Expr &b) { return strict(Call::strict_mul, Float(32), a, b); }
Expr strict_divide(const Expr &a, const Expr &b) { return strict(Call::strict_div, Float(32), a, b); }
// False where either is NaN.
Expr less(const Expr &a, const Expr &b) { return strict(Call::strict_lt, Bool(), a, b); }
Expr same(const Expr &a, const Expr &b) { return strict(Call::strict_eq, Bool(), a, b); }

Expr bits(const Expr &x) { return reinterpret<int>(x); }
Expr from_bits(const Expr &x) { return reinterpret<float>(x); }

// condition ? a : b, whatever a and b are: a select of floats may assume that neither is NaN.
Expr choose(const Expr &condition, const Expr &a, const Expr &b) { return from_bits(select(condition, bits(a), bits(b))); }

// With NaN to the bound, so that the result is finite.
Expr at_most(const Expr &x, float high) { return choose(less(x, high), x, high); }
Expr at_least(const Expr &x, float low) { return choose(less(low, x), x, low); }
// With NaN kept.
Expr not_above(const Expr &x, const Expr &high) { return choose(less(high, x), high, x); }
Expr not_below(const Expr &x, const Expr &low) { return choose(less(x, low), low, x); }
Expr clip(const Expr &x, const Expr &low, const Expr &high) { return not_above(not_below(x, low), high); }

Expr magnitude(const Expr &x) { return from_bits(bits(x) & magnitude_mask); }
Expr negative(const Expr &x) { return bits(x) < 0; }
Expr with_sign(const Expr &x, const Expr &sign) { return from_bits(bits(x) | (bits(sign) & std::numeric_limits<int>::min())); }
// y, but NaN where x is NaN.
Expr or_nan(const Expr &y, const Expr &x) { return choose(same(x, x), y, x); }

// c[0] + c[1] x + c[2] x² + …
Expr polynomial(const Expr &x, const std::vector<float> &c) {
    Expr sum = c.back();
    for (std::size_t i = c.size() - 1; i-- > 0;) {
        sum = sum * x + c[i];
    }
    return sum;
}

// The coefficients of all polynomials here are minimax fits (Remez' exchange, rounded one by one to float32 with the rest refitted).

// x = n ln 2 + rest with a whole n and |rest| <= ln 2 / 2.
struct Reduced {
    Expr shifted;  ///< a float whose low bits are n + bias
    Expr expm1;    ///< exp(rest) − 1
};

// |x| <= 200. The lowest bits of 1.5 · 2^23 + bias + x / ln 2 are the nearest whole number, plus the bias.
Reduced reduce(const Expr &x, int bias) {
    const float shift = 12582912.0f + static_cast<float>(bias);
    // The upper part of ln 2 has 15 bits, so that its product with n is exact, and so is the difference.
    const float ln2_upper = 0x1.62e4p-1f, ln2_lower = 0x1.7f7d1cp-20f;
    const Expr shifted = strict_add(x * 1.44269504f, shift);
    const Expr n = strict_subtract(shifted, shift);
    const Expr rest = strict_subtract(strict_subtract(x, strict_multiply(n, ln2_upper)), strict_multiply(n, ln2_lower));
    // (exp(r) − 1 − r) / r² on |r| <= ln 2 / 2: 1.5e-8 relative to exp(r) − 1.
    const Expr curve = polynomial(rest, {0.49999997f, 0.166665375f, 0.0416677222f, 0.0083672069f, 0.00138441147f});
    return {shifted, rest * rest * curve + rest};
}

// 2^n for a reduction with bias 127: the exponent's bits.
Expr power_of_two(const Expr &shifted) { return from_bits(cast<int>(cast<uint32_t>(reinterpret<uint32_t>(shifted)) << 23)); }

// Below this exp(x) is smaller than any normal float and comes out as 0: n is −127, whose bits as an exponent are those of 0. Nothing
// may be lower, or n would be −128.
constexpr float lowest_exponent = -88.2f;

// exp(x) for lowest_exponent <= x <= 88.
Expr exp_within(const Expr &x) {
    const Reduced reduced = reduce(x, 127);
    const Expr scale = power_of_two(reduced.shifted);
    return reduced.expm1 * scale + scale;
}

// exp(−x) for x >= 0 or NaN (then it is finite).
Expr exp_minus(const Expr &x) { return exp_within(-at_most(x, -lowest_exponent)); }

// exp(x) for any x but NaN (then it is finite). 2^n is multiplied in two halves, so that the largest results, infinity and subnormals
// come out right.
Expr exp_everywhere(const Expr &x) {
    const Reduced reduced = reduce(at_most(at_least(x, -150.0f), 130.0f), 0);
    const Expr n = bits(reduced.shifted) - reinterpret<int>(Expr(12582912.0f));
    const Expr half = n >> 1;
    const auto power = [](const Expr &k) { return from_bits((k + 127) << 23); };
    return strict_multiply(strict_multiply(reduced.expm1 + 1.0f, power(half)), power(n - half));
}

// exp(x) − 1 for x <= 0 or NaN (then it is finite), to full relative accuracy.
Expr expm1_below(const Expr &x) {
    const Reduced reduced = reduce(at_least(x, -40.0f), 127);
    const Expr scale = power_of_two(reduced.shifted);
    return strict_add(reduced.expm1 * scale, strict_subtract(scale, 1.0f));
}

// exp(x) − 1 for any x but NaN (then it is finite). In halves, as 2^128 is no float.
Expr expm1_everywhere(const Expr &x) {
    const Reduced reduced = reduce(at_most(at_least(x, -40.0f), 89.0f), 126);
    const Expr half = power_of_two(reduced.shifted);
    return strict_multiply(strict_add(reduced.expm1 * half, strict_subtract(half, 0.5f)), 2.0f);
}

// log(1 + x) for 0 <= x <= 1: 6e-8 relative.
Expr log1p_unit(const Expr &x) {
    return x * polynomial(x, {0.99999994f, -0.49999094f, 0.333103091f, -0.247698128f, 0.188085943f, -0.130099535f, 0.070308283f,
                              -0.0245254338f, 0.00396394916f});
}

// log(x) for finite x >= 1.
Expr log_above_one(const Expr &x) {
    // x = m 2^n, sqrt(1/2) <= m < sqrt(2).
    const int half_root_bits = 0x3f3504f3;
    const Expr n = (bits(x) - half_root_bits) >> 23;
    const Expr m = strict_subtract(from_bits(bits(x) - (n << 23)), 1.0f);
    // (log(1 + m) − m + m² / 2) / m³: 3e-7 relative to log(1 + m).
    const Expr curve = polynomial(m, {0.333342463f, -0.24983266f, 0.199244767f, -0.1713714f, 0.160248131f, -0.101911575f});
    return cast<float>(n) * 0.693147181f + (m + m * m * (m * curve - 0.5f));
}

// 1 / (1 + exp(−z)) for z = ±x, x >= 0; finite for NaN. 0 where exp(−x) is below the normal floats.
Expr sigmoid_of(const Expr &x, const Expr &minus) {
    const Expr decay = exp_minus(x);
    return choose(minus, decay, 1.0f) / (decay + 1.0f);
}
Expr sigmoid_of(const Expr &x) { return sigmoid_of(magnitude(x), negative(x)); }

// tanh(x) for x >= 0; finite for NaN. From 20 on it is 1 in float32.
Expr tanh_above(const Expr &x) {
    const Expr expm1 = expm1_below(at_most(x, 20.0f) * -2.0f);
    return -expm1 / (expm1 + 2.0f);
}

Expr softplus_tail(const Expr &x) { return log1p_unit(exp_minus(magnitude(x))); }

Expr tanh_shrink(const Expr &x) {
    // Below `near` the difference would cancel: (x − tanh x) / x³ there, 5e-7 relative.
    const float near = 0.7f;
    const Expr t = at_most(magnitude(x), near);
    const Expr square = t * t;
    const Expr small = t * square * polynomial(square, {0.333333194f, -0.133319423f, 0.0537418239f, -0.020546006f, 0.00552129652f});
    const Expr tanh = with_sign(tanh_above(magnitude(x)), x);
    return choose(less(magnitude(x), near), with_sign(small, x), strict_subtract(x, tanh));
}

// x Φ(x), Φ the normal distribution's.
Expr gelu(const Expr &x) {
    // Φ(−t) = exp(−t² / 2) s P(s), s = 1 / (1 + t / 4); 4e-8 relative for small t, growing with exp(t² / 6).
    const Expr t = at_most(magnitude(x), std::sqrt(-2 * lowest_exponent) - 1e-3f);
    const Expr s = 1.0f / (t * 0.25f + 1.0f);
    const Expr curve =
        polynomial(s, {0.0983547568f, 0.116296209f, 0.0101437336f, 0.308437228f, -0.294924408f, 0.356586039f, -0.0948935673f});
    const Expr tail = exp_within(t * t * -0.5f) * (s * curve);
    return strict_multiply(x, choose(negative(x), tail, 1.0f - tail));
}

// x (1 + tanh(y)) / 2 = x / (1 + exp(−2 y)), y = sqrt(2 / π) (x + 0.044715 x³).
Expr gelu_approximate(const Expr &x) {
    const float far = 20.0f;
    const Expr t = at_most(magnitude(x), far);
    const Expr twice = t * (t * t * 0.0713548163f + 1.59576912f);
    return strict_multiply(x, sigmoid_of(twice, negative(x)));
}

// x tanh(softplus(x)) = x (w² − 1) / (w² + 1), w = 1 + exp(x), with exp(−|x|) taken out of both.
Expr mish(const Expr &x) {
    const Expr decay = exp_minus(magnitude(x));
    const Expr minus = negative(x);
    const Expr above = choose(minus, decay * (decay + 2.0f), decay * 2.0f + 1.0f);
    const Expr below = above + 2.0f * choose(minus, 1.0f, decay * decay);
    return strict_multiply(x, above / below);
}

// (x + sqrt(x² + b)) / 2, for negative x as b / 2 / (sqrt(x² + b) − x), which does not cancel.
Expr squareplus(const Expr &x, const Expr &b) {
    // Large x are scaled, so that the square stays finite.
    const float far = 0x1p60f, scale = 0x1p-96f;
    const Expr scaled = less(far, magnitude(x));
    const Expr factor = choose(scaled, scale, 1.0f), inverse = choose(scaled, 1.0f / scale, 1.0f);
    const Expr in_scale = strict_multiply(x, factor);
    const Expr b_in_scale = choose(scaled, strict_multiply(strict_multiply(b, scale), scale), b);
    const Expr square = strict_add(strict_multiply(in_scale, in_scale), b_in_scale);
    const Expr root = strict_multiply(sqrt(at_most(at_least(square, 0.0f), largest_float)), inverse);
    const Expr sum = strict_add(strict_multiply(x, 0.5f), strict_multiply(root, 0.5f));
    const Expr quotient = strict_divide(strict_multiply(b, 0.5f), strict_subtract(root, x));
    const Expr undefined = less(square, 0.0f) || same(x, -infinity);
    return choose(undefined, std::numeric_limits<float>::quiet_NaN(), choose(less(x, 0.0f), quotient, sum));
}

// x > c ? x : 0, clipped to [0, a], minus b max(c − x, 0).
Expr relu(const Expr &x, const Expr &a, const Expr &b, const Expr &c) {
    // TensorFlow keeps a NaN where the threshold is zero, and drops it otherwise.
    const Expr nan_kept = same(c, 0.0f) && !same(x, x);
    const Expr above = clip(choose(less(c, x) || nan_kept, x, 0.0f), 0.0f, a);
    const Expr slope = strict_multiply(b, not_below(strict_subtract(c, x), 0.0f));
    // Without a slope an infinite x must not become 0 · infinity.
    return choose(same(b, 0.0f), above, strict_subtract(above, slope));
}

Expr elu(const Expr &x, const Expr &scale, const Expr &alpha) {
    return choose(less(x, 0.0f), strict_multiply(alpha, expm1_below(at_most(x, 0.0f))), strict_multiply(x, scale));
}

Expr celu(const Expr &x, const Expr &a) {
    const Expr expm1 = expm1_everywhere(strict_divide(not_above(x, 0.0f), a));
    return strict_add(not_below(x, 0.0f), strict_multiply(a, expm1));
}

Expr hard_sigmoid(const Expr &x) { return strict_multiply(clip(strict_add(x, 3.0f), 0.0f, 6.0f), 1.0f / 6.0f); }

Expr sparse_plus(const Expr &x) {
    const Expr half = strict_multiply(strict_add(x, 1.0f), 0.5f);
    return choose(less(x, 1.0f), choose(less(-1.0f, x), strict_multiply(half, half), 0.0f), x);
}

using Formula = std::function<Expr(const Expr &x, const Expr &a, const Expr &b, const Expr &c)>;

const std::map<std::string, Formula> &formulas() {
    using E = const Expr &;
    // TensorFlow's constants of selu.
    const float scale = 1.05070098735548f, scale_alpha = 1.75809934084738f;
    static const std::map<std::string, Formula> table = {
        {"linear", [](E x, E, E, E) { return x; }},
        {"relu", relu},
        {"relu6", [](E x, E, E, E) { return clip(x, 0.0f, 6.0f); }},
        {"leaky_relu", [](E x, E a, E, E) { return choose(less(0.0f, x), x, strict_multiply(a, x)); }},
        {"elu", [](E x, E a, E, E) { return elu(x, 1.0f, a); }},
        {"selu", [=](E x, E, E, E) { return elu(x, scale, scale_alpha); }},
        {"celu", [](E x, E a, E, E) { return celu(x, a); }},
        {"softplus", [](E x, E, E, E) { return strict_add(not_below(x, 0.0f), softplus_tail(x)); }},
        {"softsign", [](E x, E, E, E) { return strict_divide(x, strict_add(magnitude(x), 1.0f)); }},
        {"squareplus", [](E x, E a, E, E) { return squareplus(x, a); }},
        {"soft_shrink",
         [](E x, E a, E, E) {
             const Expr below = choose(less(x, strict_subtract(0.0f, a)), strict_add(x, a), 0.0f);
             return choose(less(a, x), strict_subtract(x, a), below);
         }},
        {"hard_shrink", [](E x, E a, E, E) { return choose(less(a, magnitude(x)), x, 0.0f); }},
        {"hard_tanh", [](E x, E, E, E) { return clip(x, -1.0f, 1.0f); }},
        {"tanh_shrink", [](E x, E, E, E) { return tanh_shrink(x); }},
        {"threshold", [](E x, E a, E b, E) { return choose(less(a, x), x, b); }},
        {"tanh", [](E x, E, E, E) { return or_nan(with_sign(tanh_above(magnitude(x)), x), x); }},
        {"sigmoid", [](E x, E, E, E) { return or_nan(sigmoid_of(x), x); }},
        {"hard_sigmoid", [](E x, E, E, E) { return hard_sigmoid(x); }},
        {"hard_sigmoid_keras2", [](E x, E, E, E) { return clip(strict_add(strict_multiply(x, 0.2f), 0.5f), 0.0f, 1.0f); }},
        {"sparse_plus", [](E x, E, E, E) { return sparse_plus(x); }},
        {"sparse_sigmoid", [](E x, E, E, E) { return clip(strict_multiply(strict_add(x, 1.0f), 0.5f), 0.0f, 1.0f); }},
        {"silu", [](E x, E, E, E) { return strict_multiply(x, sigmoid_of(x)); }},
        {"hard_silu", [](E x, E, E, E) { return strict_multiply(x, hard_sigmoid(x)); }},
        {"gelu", [](E x, E, E, E) { return gelu(x); }},
        {"gelu_approximate", [](E x, E, E, E) { return gelu_approximate(x); }},
        {"exponential", [](E x, E, E, E) { return or_nan(exp_everywhere(x), x); }},
        {"mish", [](E x, E, E, E) { return mish(x); }},
        {"log_sigmoid", [](E x, E, E, E) { return strict_subtract(not_above(x, 0.0f), softplus_tail(x)); }},
    };
    return table;
}

// Integers in the order of the floats that they are made from, every NaN above them all; so that the largest is found exactly, in any
// order and with NaN.
Expr order_of(const Expr &x) {
    const Expr order = bits(x) ^ ((bits(x) >> 31) & magnitude_mask);
    return select((bits(x) & magnitude_mask) > infinity_bits, magnitude_mask, order);
}
Expr in_order(const Expr &order) { return from_bits(order ^ ((order >> 31) & magnitude_mask)); }

using Term = std::function<Expr(const Expr &value)>;
using Combine = std::function<Expr(const Expr &a, const Expr &b)>;

// The dimensions that are no axes.
std::vector<Var> kept(const AxesInput &input) {
    std::vector<Var> dimensions;
    for (std::size_t i = 0; i < input.dimensions.size(); i++) {
        if (!input.along[i]) dimensions.push_back(input.dimensions[i]);
    }
    return dimensions;
}

std::vector<Expr> expressions(const std::vector<Var> &dimensions) { return {dimensions.begin(), dimensions.end()}; }

std::vector<Var> behind(const Var &first, std::vector<Var> others) {
    others.insert(others.begin(), first);
    return others;
}

// All axes from a dimension on, as a domain.
RDom domain_of_axes(const AxesInput &input, std::size_t first) {
    Region region;
    for (std::size_t i = first; i < input.along.size(); i++) {
        if (input.along[i]) region.emplace_back(0, input.extents[i]);
    }
    return RDom(region, "axes");
}

// The dimensions from one on, with the domain's in the place of the axes.
std::vector<Expr> in_domain(const AxesInput &input, const RDom &domain, std::size_t first) {
    std::vector<Expr> at;
    int axis = 0;
    for (std::size_t i = first; i < input.along.size(); i++) {
        at.push_back(input.along[i] ? Expr(domain[axis++]) : Expr(input.dimensions[i]));
    }
    return at;
}

// A reduction of columns; of the rows' results where these are given.
void reduce_axes(AxesReduction &reduction, const std::string &name, const AxesInput &input, const Expr &identity, const Term &term,
                 const Combine &combine) {
    const std::size_t first = reduction.row.defined() ? 1 : 0;
    reduction.axes = domain_of_axes(input, first);
    const std::vector<Expr> at = in_domain(input, reduction.axes, first);
    const std::vector<Expr> to = expressions(kept(input));
    reduction.whole = Func(name);
    reduction.whole(kept(input)) = identity;
    reduction.whole(to) = combine(reduction.whole(to), first > 0 ? Expr(reduction.row(at)) : term(input.at(at)));
}

// Where the innermost dimension is an axis. `last` are the elements after the last whole vector.
AxesReduction reduce_rows(const std::string &name, const AxesInput &input, const Var &lane, const Func &last, int lanes,
                          const Expr &identity, const Term &term, const Combine &combine) {
    AxesReduction reduction;
    reduction.partial = Func(name + "_partial"), reduction.row = Func(name + "_of_row"), reduction.lanes = RDom(0, lanes);
    const RDom vectors(0, input.extents[0] / lanes);
    const std::vector<Var> row(input.dimensions.begin() + 1, input.dimensions.end());
    const std::vector<Expr> at_lane = expressions(behind(lane, row)), at_row = expressions(row);
    std::vector<Expr> from = at_lane, lanes_of_row = at_lane;
    from[0] = vectors * lanes + lane, lanes_of_row[0] = reduction.lanes.x;
    reduction.partial(behind(lane, row)) = term(last(at_lane));
    reduction.partial(at_lane) = combine(reduction.partial(at_lane), term(input.at(from)));
    reduction.row(row) = identity;
    reduction.row(at_row) = combine(reduction.row(at_row), reduction.partial(lanes_of_row));
    if (std::count(input.along.begin(), input.along.end(), true) > 1) reduce_axes(reduction, name, input, identity, term, combine);
    return reduction;
}

// The row's elements after its last whole vector, and −infinity, which no reduction sees, in the lanes behind them.
Func end_of_rows(const AxesInput &input, const Var &lane, int lanes) {
    Func last("last");
    const std::vector<Var> row(input.dimensions.begin() + 1, input.dimensions.end());
    const Expr length = input.extents[0], at = length / lanes * lanes + lane;
    last(behind(lane, row)) = -infinity;
    RDom once(0, 1);
    once.where(at < length);
    std::vector<Expr> from = expressions(behind(lane, row));
    from[0] = at + once;
    last(behind(lane, row)) = input.at(from);
    return last;
}

// The input with the dimension `beside` innermost.
AxesInput columns_of(const AxesInput &input, Func column, bool whole_vectors) {
    const int beside = input.beside();
    AxesInput columns = input;
    auto to_front = [&](auto &of_dimensions) {
        std::rotate(of_dimensions.begin(), of_dimensions.begin() + beside, of_dimensions.begin() + beside + 1);
    };
    to_front(columns.dimensions), to_front(columns.along), to_front(columns.extents);
    std::vector<Expr> from = expressions(input.dimensions);
    if (whole_vectors) from[beside] = min(likely(from[beside]), input.extents[beside] - 1);
    column(columns.dimensions) = input.at(from);
    columns.at = [=](const std::vector<Expr> &at) { return Expr(column(at)); };
    return columns;
}

Expr largest_of(const Expr &a, const Expr &b) { return max(a, b); }
Expr sum_of(const Expr &a, const Expr &b) { return a + b; }

// A number of float32 in a type that sums many: not float32, where a long row's sum of equal terms drifts beyond the tolerance. The terms
// are at most 1, so in fixed point the sum of 2^21 of them is as good as float32, and far from the end of 64 bits; so is that of 2^31
// with fewer bits.
struct SumType {
    Type type;
    Expr unit;

    SumType(bool float64, const AxesInput &input) : type(float64 ? Float(64) : Int(64)), unit(1.0f) {
        if (float64) return;
        Expr terms = 1;
        for (std::size_t i = 0; i < input.along.size(); i++) {
            if (input.along[i]) terms *= input.extents[i];
        }
        unit = simplify(select(terms <= 1 << 21, 0x1p40f, 0x1p30f));
    }
    Expr of(const Expr &value) const { return cast(type, type.is_float() ? value : value * unit); }
    Expr value(const Expr &sum) const { return type.is_float() ? cast<float>(sum) : cast<float>(sum) / unit; }
};

AlongAxes softmax(const AxesInput &input, const std::string &kind, int lanes, bool float64, bool whole_vectors) {
    AlongAxes stages;
    Var lane("lane");
    AxesInput source = input;
    const bool by_rows = input.along[0] && lanes > 0;
    if (by_rows) {
        stages.last = end_of_rows(input, lane, lanes);
    } else if (!input.along[0]) {
        stages.column = Func("column");
        source = columns_of(input, stages.column, whole_vectors);
    }
    const auto reduce = [&](const std::string &name, const Expr &identity, const Term &term, const Combine &combine) {
        AxesReduction reduction;
        if (by_rows) return reduce_rows(name, input, lane, stages.last, lanes, identity, term, combine);
        reduce_axes(reduction, name, source, identity, term, combine);
        return reduction;
    };
    const std::vector<Expr> at = expressions(kept(input));
    stages.largest = reduce("largest", std::numeric_limits<int>::min(), order_of, largest_of);
    const Expr top = in_order(stages.largest.result()(at));
    const auto exponential = [&](const Expr &value) { return exp_within(at_least(strict_subtract(value, top), lowest_exponent)); };
    const SumType sums(float64, input);
    stages.total = reduce("total", cast(sums.type, 0), [&](const Expr &value) { return sums.of(exponential(value)); }, sum_of);
    const Expr total = sums.value(stages.total.result()(at));
    // The answer where there is one; NaN spoils what it is applied to.
    const auto for_all = [&](const Expr &value) {
        return choose((bits(top) & magnitude_mask) < infinity_bits, value, std::numeric_limits<float>::quiet_NaN());
    };
    const Expr value = source.at(expressions(source.dimensions));
    if (kind == "softmax") {
        stages.value = strict_multiply(exponential(value), for_all(1.0f / total));
    } else {
        stages.value = strict_subtract(strict_subtract(value, top), for_all(log_above_one(total)));
    }
    return stages;
}

// The threshold tau, at which the values above it exceed it by 1 in all, is found as t = largest value − tau, which is the largest output:
// by its bits from the first on, in sums of float32, and then by Newton's iteration from what is above that threshold, in exact ones.
AlongAxes sparsemax(const AxesInput &input, bool float64, bool whole_vectors) {
    // Their rest is 2^-19 of t at the most, as t is between 1 and 1 / length: 31 exponents of floats, which 28 bits count.
    constexpr int bits_of_t = 28, bits_found = 24;
    constexpr int newton_steps = 2;
    AlongAxes stages;
    stages.column = Func("column");
    const AxesInput columns = columns_of(input, stages.column, whole_vectors);
    const std::vector<Var> outputs = kept(input);
    const std::vector<Expr> at = expressions(outputs);
    reduce_axes(stages.largest, "largest", columns, std::numeric_limits<int>::min(), order_of, largest_of);
    const Expr top = in_order(stages.largest.result()(at));
    // Nothing below −1 is in the support, whatever the others are.
    const auto relative = [&](const Expr &value) { return at_least(strict_subtract(value, top), -2.0f); };
    stages.below = Func("below");
    stages.below(columns.dimensions) = relative(stages.column(columns.dimensions));

    const std::size_t axis = std::find(input.along.begin(), input.along.end(), true) - input.along.begin();
    const Expr length = input.extents[axis];
    // A step begins from what the one before has found, which its loop over the elements leaves alone.
    stages.search = Func("search");
    Var step("step");
    const auto state = [&](const Expr &of_step) {
        std::vector<Expr> index = at;
        index.push_back(of_step);
        return stages.search(index);
    };
    std::vector<Var> states = outputs;
    states.push_back(step);
    stages.search(states) = Tuple(bits(1.0f / cast<float>(length)), select(step == 0, 1.0f, 0.0f));
    stages.steps = RDom(0, length, 1, bits_found, "steps");
    const RVar &now = stages.steps.y;
    const auto bit = [](const Expr &of_step) { return 1 << (bits_of_t - of_step); };
    const auto found_before = [&](const Expr &of_step) {
        const FuncRef before = state(of_step - 1);
        return before[0] + select(before[1] < 1.0f, bit(of_step - 1), 0);
    };
    const Expr found = found_before(now);
    const Expr excess = stages.below(in_domain(columns, stages.steps, 0)) + from_bits(found + bit(now));
    state(now) = Tuple(found, state(now)[1] + max(excess, 0.0f));

    Expr t = from_bits(found_before(bits_found + 1));
    const SumType sums(float64, input);
    for (int i = 0; i < newton_steps; i++) {
        const RDom elements = domain_of_axes(columns, 0);
        Func support("support");
        support(outputs) = Tuple(cast(sums.type, 0), 0);
        const Expr value = stages.below(in_domain(columns, elements, 0));
        const Expr inside = value > -t;
        const FuncRef before = support(at);
        support(at) = Tuple(before[0] + sums.of(select(inside, value, 0.0f)), before[1] + cast<int>(inside));
        t = sums.value(sums.of(1.0f) - support(at)[0]) / cast<float>(max(support(at)[1], 1));
        stages.support.push_back(support);
    }
    // Rows are read along themselves again.
    const Expr value = input.along[0] ? input.at(expressions(input.dimensions)) : stages.column(columns.dimensions);
    const Expr none = choose(same(top, infinity), strict_add(value, infinity), std::numeric_limits<float>::quiet_NaN());
    stages.value = choose((bits(top) & magnitude_mask) < infinity_bits, max(relative(value) + t, 0.0f), none);
    return stages;
}

AlongAxes glu(const AxesInput &input) {
    AlongAxes stages;
    std::vector<Expr> at = expressions(input.dimensions);
    const Expr value = input.at(at);
    for (std::size_t i = 0; i < at.size(); i++) {
        if (input.along[i]) at[i] += input.extents[i];
    }
    const Expr gate = input.at(at);
    stages.value = strict_multiply(value, or_nan(sigmoid_of(gate), gate));
    return stages;
}

}  // namespace

Expr activated(const Expr &x, const std::string &kind, const Expr &a, const Expr &b, const Expr &c) {
    const auto found = formulas().find(kind);
    if (found == formulas().end()) {
        throw CompileError("expected an elementwise activation, found \"" + kind + "\"");
    }
    return found->second(x, a, b, c);
}

int AxesInput::beside() const { return static_cast<int>(std::find(along.begin(), along.end(), false) - along.begin()); }

bool works_along_axes(const std::string &kind) {
    return kind == "softmax" || kind == "log_softmax" || kind == "sparsemax" || kind == "glu";
}

AlongAxes along_axes(const AxesInput &input, const std::string &kind, int lanes, bool float64, bool whole_vectors) {
    if (kind == "glu") return glu(input);
    if (kind == "sparsemax") return sparsemax(input, float64, whole_vectors);
    if (kind == "softmax" || kind == "log_softmax") return softmax(input, kind, lanes, float64, whole_vectors);
    throw CompileError("expected softmax, log_softmax, sparsemax or glu, found \"" + kind + "\"");
}

}  // namespace sepconv
