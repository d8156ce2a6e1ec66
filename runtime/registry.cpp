// The generated registry made into arrays, and the choice of a target.
#include "registry.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#define SEPCONV_TARGET(...)
#define SEPCONV_TARGET_ELSEWHERE(...)
#define SEPCONV_ROW_ELSEWHERE(...)
#define SEPCONV_ROW(stage, name, target, covers, ...) SEPCONV_DECLARE_##stage(sepconv_##name##_##target)
#define SEPCONV_DECLARE_padded(symbol) int symbol(halide_buffer_t *, int, int, int, int, int, halide_buffer_t *);
#define SEPCONV_DECLARE_depthwise(symbol) int symbol(halide_buffer_t *, halide_buffer_t *, int, int, int, int, int, int, halide_buffer_t *);
#define SEPCONV_DECLARE_pointwise(symbol) \
    int symbol(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, int, int, int, int, float, float, halide_buffer_t *);
#define SEPCONV_DECLARE_activated(symbol) int symbol(halide_buffer_t *, float, float, float, halide_buffer_t *);
#define SEPCONV_DECLARE_copied(symbol) int symbol(halide_buffer_t *, halide_buffer_t *);
#define SEPCONV_DECLARE_transposed(symbol) int symbol(halide_buffer_t *, halide_buffer_t *);
extern "C" {
#include "sepconv_registry.inc"
}
#undef SEPCONV_TARGET
#undef SEPCONV_ROW

namespace sepconv {
namespace {

constexpr Row with(Row row, PaddedFunction function) {
    row.padded = function;
    return row;
}
constexpr Row with(Row row, DepthwiseFunction function) {
    row.depthwise = function;
    return row;
}
constexpr Row with(Row row, PointwiseFunction function) {
    row.pointwise = function;
    return row;
}
constexpr Row with(Row row, ActivatedFunction function) {
    row.activated = function;
    return row;
}
constexpr Row with(Row row, MovedFunction function) {
    row.moved = function;
    return row;
}

#define SEPCONV_TARGET(name, halide, lanes, sums, type) {#name, halide, lanes, sums, Dtype::type},
#define SEPCONV_ROW(...)
constexpr BuiltTarget targets[] = {
#include "sepconv_registry.inc"
};
#undef SEPCONV_TARGET
#undef SEPCONV_TARGET_ELSEWHERE
#define SEPCONV_TARGET(...)
#define SEPCONV_TARGET_ELSEWHERE(name, halide, lanes, sums, type) {#name, halide, lanes, sums, Dtype::type},
constexpr BuiltTarget elsewhere[] = {
#include "sepconv_registry.inc"
};
#undef SEPCONV_TARGET_ELSEWHERE
#undef SEPCONV_ROW
#define SEPCONV_TARGET_ELSEWHERE(...)

#define SEPCONV_DESCRIBE(stage, name, target, covers, image_type, type, ...)                            \
    Row {                                                                                               \
        #name, Stage::stage, #target, covers, Dtype::image_type, Dtype::type, RowParams { __VA_ARGS__ } \
    }
#define SEPCONV_ROW(stage, name, target, ...) with(SEPCONV_DESCRIBE(stage, name, target, __VA_ARGS__), &sepconv_##name##_##target),
constexpr Row rows[] = {
#include "sepconv_registry.inc"
};
#undef SEPCONV_ROW
#undef SEPCONV_ROW_ELSEWHERE
#define SEPCONV_ROW(...)
#define SEPCONV_ROW_ELSEWHERE(...) SEPCONV_DESCRIBE(__VA_ARGS__),
constexpr Row rows_elsewhere[] = {
#include "sepconv_registry.inc"
};
#undef SEPCONV_TARGET
#undef SEPCONV_TARGET_ELSEWHERE
#undef SEPCONV_ROW
#undef SEPCONV_ROW_ELSEWHERE

// The targets in their order, and of each the stages in theirs.
constexpr int group(std::string_view target, Stage stage) {
    int index = 0;
    while (index < static_cast<int>(std::size(targets)) && target != targets[index].name) index++;
    if (index == static_cast<int>(std::size(targets))) {
        while (target != elsewhere[index - std::size(targets)].name) index++;
    }
    constexpr int most_stages = 16;
    return index * most_stages + static_cast<int>(stage);
}

// The rows by group, those of one in the order of the table: a plan looks for its rows each time that a shape is new.
constexpr std::size_t row_count = std::size(rows) + std::size(rows_elsewhere);
constexpr const Row &row_at(std::size_t index) { return index < std::size(rows) ? rows[index] : rows_elsewhere[index - std::size(rows)]; }
constexpr std::array<std::pair<int, std::size_t>, row_count> order = [] {
    std::array<std::pair<int, std::size_t>, row_count> list;
    for (std::size_t i = 0; i < row_count; i++) list[i] = {group(row_at(i).target, row_at(i).stage), i};
    std::sort(list.begin(), list.end());
    return list;
}();
constexpr std::array<Row, row_count> grouped_rows = [] {
    std::array<Row, row_count> list = {};
    for (std::size_t i = 0; i < row_count; i++) list[i] = row_at(order[i].second);
    return list;
}();

struct Feature {
    std::string_view name;
    halide_target_feature_t feature;
};
constexpr Feature features[] = {{"sse41", halide_target_feature_sse41},
                                {"avx", halide_target_feature_avx},
                                {"avx2", halide_target_feature_avx2},
                                {"fma", halide_target_feature_fma},
                                {"f16c", halide_target_feature_f16c},
                                {"avx512", halide_target_feature_avx512},
                                {"avx512_skylake", halide_target_feature_avx512_skylake},
                                {"arm_fp16", halide_target_feature_arm_fp16}};

}  // namespace

const char *name(Stage stage) {
    switch (stage) {
        case Stage::padded:
            return "padded";
        case Stage::depthwise:
            return "depthwise";
        case Stage::pointwise:
            return "pointwise";
        case Stage::activated:
            return "activated";
        case Stage::copied:
            return "copied";
        case Stage::transposed:
            return "transposed";
    }
    return "";
}

std::span<const Row> all_rows() { return rows; }

std::span<const Row> rows_of(const BuiltTarget &target, Stage stage) {
    const int wanted = group(target.name, stage);
    const auto begin = std::lower_bound(order.begin(), order.end(), std::pair(wanted, std::size_t(0)));
    const auto end = std::lower_bound(begin, order.end(), std::pair(wanted + 1, std::size_t(0)));
    return std::span(grouped_rows).subspan(begin - order.begin(), end - begin);
}

std::span<const BuiltTarget> built_targets() { return targets; }

std::span<const BuiltTarget> targets_elsewhere() { return elsewhere; }

const BuiltTarget *find_target(std::string_view name) {
    for (const BuiltTarget &target : targets) {
        if (name == target.name) return &target;
    }
    return nullptr;
}

bool runs_here(const BuiltTarget &target) {
    constexpr int words = (halide_target_feature_end + 63) / 64;
    std::array<std::uint64_t, words> wanted = {};
    std::string_view rest = target.halide;
    while (!rest.empty()) {
        const std::string_view word = rest.substr(0, rest.find('-'));
        for (const Feature &feature : features) {
            if (word == feature.name) wanted[feature.feature / 64] |= std::uint64_t(1) << (feature.feature % 64);
        }
        rest.remove_prefix(word.size() == rest.size() ? word.size() : word.size() + 1);
    }
    return halide_can_use_target_features(words, wanted.data()) != 0;
}

}  // namespace sepconv
