// Layer: checks what it is given, packs it once, and runs plans. Also what can be asked of the library: targets and pipelines.
#include "sepconv/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "explain.h"
#include "gpu/device.h"
#include "gpu/layer.h"
#include "packing.h"
#include "plan.h"
#include "registry.h"
#include "threads.h"
#include "tile_loop.h"

namespace sepconv {
namespace {

constexpr const char *target_variable = "SEPCONV_TARGET";

std::string known_targets() {
    std::string names;
    for (const BuiltTarget &target : built_targets()) {
        names += fmt::format("{}{}{}", names.empty() ? "" : ", ", target.name, runs_here(target) ? "" : " (not on this CPU)");
    }
    for (const gpu::Api api : gpu::all_apis) {
        if (gpu::is_built(api)) names += fmt::format(", {}", gpu::name(api));
    }
    return names;
}

Dtype type_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::float16 ? Dtype::float16 : Dtype::float32; }

const BuiltTarget &checked_target(std::string_view name, std::string_view source, Arithmetic arithmetic) {
    const BuiltTarget *target = find_target(name);
    if (target == nullptr) throw TargetError(fmt::format("{}: expected one of {}, found \"{}\"", source, known_targets(), name));
    if (target->type != type_of(arithmetic)) {
        throw TargetError(fmt::format("{}: expected a target that computes in {}, found {}, which computes in {}", source,
                                      sepconv::name(type_of(arithmetic)), name, sepconv::name(target->type)));
    }
    if (!runs_here(*target)) throw TargetError(fmt::format("{}: this CPU does not run {} (built in: {})", source, name, known_targets()));
    return *target;
}

const BuiltTarget *best_target(Dtype type) {
    const auto targets = built_targets();
    const auto found =
        std::find_if(targets.begin(), targets.end(), [&](const BuiltTarget &target) { return target.type == type && runs_here(target); });
    return found == targets.end() ? nullptr : &*found;
}

// The GPU that a target or $SEPCONV_TARGET names; none where it names an instruction set, or nothing.
std::optional<gpu::Api> named_gpu(const std::string &name) {
    std::string_view wanted = name;
    if (name.empty()) {
        const char *forced = std::getenv(target_variable);  // NOLINT(concurrency-mt-unsafe)
        if (forced == nullptr) return std::nullopt;
        wanted = forced;
    }
    for (const gpu::Api api : gpu::all_apis) {
        if (wanted == gpu::name(api) && gpu::is_built(api)) return api;
    }
    return std::nullopt;
}

void check_sums(gpu::Api api, Arithmetic arithmetic) {
    if (arithmetic != Arithmetic::float32) {
        throw TargetError(fmt::format("arithmetic: expected float32 on {}, found float16", gpu::name(api)));
    }
}

void check_gpu(gpu::Api api, Arithmetic arithmetic) {
    check_sums(api, arithmetic);
    if (const std::optional<std::string> reason = gpu::why_not(gpu::name(api))) {
        throw TargetError(fmt::format("target: {}: {}", gpu::name(api), *reason));
    }
}

const BuiltTarget &choose_target(const std::string &name, Arithmetic arithmetic) {
    if (!name.empty()) return checked_target(name, "target", arithmetic);
    if (const char *forced = std::getenv(target_variable); forced != nullptr && *forced != '\0') {  // NOLINT(concurrency-mt-unsafe)
        return checked_target(forced, target_variable, arithmetic);
    }
    // Asked once: neither the CPU nor what was built in changes.
    static const std::array<const BuiltTarget *, 2> best = {best_target(Dtype::float32), best_target(Dtype::float16)};
    const Dtype type = type_of(arithmetic);
    const BuiltTarget *const target = best[type == Dtype::float16 ? 1 : 0];
    if (target == nullptr) {
        throw TargetError(fmt::format("arithmetic: no pipeline that computes in {} runs on this CPU (built in: {})", sepconv::name(type),
                                      known_targets()));
    }
    return *target;
}

std::string words(const Shape &shape) { return fmt::format("({}, {}, {}, {})", shape[0], shape[1], shape[2], shape[3]); }

const char *dimensions(DataFormat format) { return format == DataFormat::channels_first ? "(N, C, H, W)" : "(N, H, W, C)"; }

void check_weights(const LayerConfig &config, const Weights &weights) {
    const Shape &depthwise = weights.depthwise_shape, &pointwise = weights.pointwise_shape;
    if (weights.depthwise_kernel == nullptr) throw ShapeError("depthwise_kernel: expected values, found a null pointer");
    if (weights.pointwise_kernel == nullptr) throw ShapeError("pointwise_kernel: expected values, found a null pointer");
    if (depthwise[0] != config.kernel_size[0] || depthwise[1] != config.kernel_size[1] || depthwise[2] < 1 ||
        depthwise[3] != config.depth_multiplier) {
        throw ShapeError(
            fmt::format("depthwise_kernel: expected shape ({}, {}, channels, {}) by kernel_size and depth_multiplier, found {}",
                        config.kernel_size[0], config.kernel_size[1], config.depth_multiplier, words(depthwise)));
    }
    const std::int64_t largest = std::numeric_limits<std::int32_t>::max();
    if (depthwise[2] > largest / depthwise[3] || depthwise[2] * depthwise[3] > largest / 64) {
        throw ShapeError(fmt::format("depthwise_kernel: {} channels times {} are more than {}", depthwise[2], depthwise[3], largest / 64));
    }
    const Shape expected = {1, 1, depthwise[2] * depthwise[3], config.filters};
    if (pointwise != expected) {
        throw ShapeError(fmt::format("pointwise_kernel: expected shape {} by the depthwise_kernel's channels and filters, found {}",
                                     words(expected), words(pointwise)));
    }
    if (config.use_bias) {
        if (weights.bias == nullptr)
            throw ShapeError(fmt::format("bias: use_bias is true: expected shape ({}), found none", config.filters));
        if (weights.bias_size != config.filters) {
            throw ShapeError(fmt::format("bias: expected shape ({}), found ({})", config.filters, weights.bias_size));
        }
    } else if (weights.bias != nullptr || weights.bias_size != 0) {
        throw ShapeError(fmt::format("bias: use_bias is false: expected none, found shape ({})", weights.bias_size));
    }
}

void check_arithmetic(const LayerConfig &config, Arithmetic arithmetic) {
    if (arithmetic == Arithmetic::float16 && config.dtype != Dtype::float16) {
        throw ConfigError(fmt::format("arithmetic: float16 is for layers of dtype float16, found {}", sepconv::name(config.dtype)));
    }
}

// The most elements between any two that one call of a pipeline may reach.
constexpr std::int64_t reach = std::numeric_limits<std::int32_t>::max();

template <typename T>
void check_view(const char *what, const TensorView<T> &view) {
    if (std::find(view.shape.begin(), view.shape.end(), 0) != view.shape.end()) return;
    if (view.data == nullptr) throw ShapeError(fmt::format("{}: expected values, found a null pointer", what));
    if (view.strides[3] != 1 && view.shape[3] > 1) {
        throw ShapeError(fmt::format("{}: expected an innermost stride of 1, found strides {}", what, words(view.strides)));
    }
    constexpr std::int64_t largest = std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::int64_t>(sizeof(T));
    std::int64_t last = 0;
    for (int i = 0; i < 4; i++) {
        if (view.strides[i] < 0 || (view.strides[i] == 0 && view.shape[i] > 1)) {
            throw ShapeError(fmt::format("{}: expected positive strides, found {}", what, words(view.strides)));
        }
        std::int64_t extent;
        if (__builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &extent) || __builtin_add_overflow(last, extent, &last) ||
            last > largest) {
            throw ShapeError(
                fmt::format("{}: shape {} with strides {} is larger than memory", what, words(view.shape), words(view.strides)));
        }
    }
}

// Output elements must not share memory; strides that grow outwards by whole inner extents never do.
template <typename T>
void check_disjoint(const TensorView<T> &view) {
    std::array<int, 4> order = {0, 1, 2, 3};
    std::sort(order.begin(), order.end(), [&](int a, int b) { return view.strides[a] < view.strides[b]; });
    std::int64_t covered = 0;
    for (const int i : order) {
        if (view.shape[i] <= 1) continue;
        if (view.strides[i] <= covered) {
            throw ShapeError(fmt::format("output: elements overlap with shape {} and strides {}", words(view.shape), words(view.strides)));
        }
        covered += (view.shape[i] - 1) * view.strides[i];
    }
}

template <typename T>
void check_reach(const Plan &plan, const TensorView<const T> &input, const TensorView<T> &output) {
    const bool first = plan.format == DataFormat::channels_first;
    auto too_far = [](std::int64_t a, std::int64_t a_stride, std::int64_t b, std::int64_t b_stride, std::int64_t rest) {
        std::int64_t x, y, sum;
        return __builtin_mul_overflow(a, a_stride, &x) || __builtin_mul_overflow(b, b_stride, &y) || __builtin_add_overflow(x, y, &sum) ||
               __builtin_add_overflow(sum, rest, &sum) || sum > reach;
    };
    const std::int64_t width = plan.x.span(plan.tile_width), height = plan.y.span(plan.tile_height);
    if (too_far(std::min(width, plan.x.input), input.strides[first ? 3 : 2], std::min(height * plan.y.step, plan.y.input),
                input.strides[first ? 2 : 1], plan.channels)) {
        throw ShapeError(fmt::format("input: {} rows {} elements apart, that one tile reads, exceed 2^31 elements", height,
                                     input.strides[first ? 2 : 1]));
    }
    if (too_far(plan.tile_width, output.strides[first ? 3 : 2], plan.tile_height * plan.y.step, output.strides[first ? 2 : 1],
                plan.filters)) {
        throw ShapeError(fmt::format("output: {} rows {} elements apart, that one tile writes, exceed 2^31 elements", plan.tile_height,
                                     output.strides[first ? 2 : 1]));
    }
    if (plan.scratch_values > static_cast<std::size_t>(reach) || plan.strip_values > static_cast<std::size_t>(reach)) {
        throw ShapeError(
            fmt::format("input: the depthwise result of one tile ({} rows of {} pixels with {} channels) exceeds 2^31 elements",
                        plan.tile_height, plan.tile_width, plan.channels * plan.multiplier));
    }
}

// Weights of a layer that stores float16, rounded to it.
class RoundedWeights {
public:
    RoundedWeights(const LayerConfig &config, const Weights &weights) : weights_(weights) {
        if (config.dtype != Dtype::float16) return;
        weights_.depthwise_kernel = rounded(weights.depthwise_kernel, elements(weights.depthwise_shape), depthwise_);
        weights_.pointwise_kernel = rounded(weights.pointwise_kernel, elements(weights.pointwise_shape), pointwise_);
        if (weights.bias != nullptr) weights_.bias = rounded(weights.bias, weights.bias_size, bias_);
    }
    const Weights &view() const { return weights_; }

private:
    static std::int64_t elements(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }
    static const float *rounded(const float *values, std::int64_t count, std::vector<float> &to) {
        to.resize(count);
        std::transform(values, values + count, to.begin(), [](float value) { return static_cast<float>(float16(value)); });
        return to.data();
    }
    Weights weights_;
    std::vector<float> depthwise_, pointwise_, bias_;
};

std::atomic<std::uint64_t> layers_made = 0;

}  // namespace

namespace {
Arithmetic arithmetic_of(const BuiltTarget &target) { return target.type == Dtype::float16 ? Arithmetic::float16 : Arithmetic::float32; }
}  // namespace

struct Layer::Packed {
    LayerConfig config;
    std::int64_t channels;
    const BuiltTarget *target;  ///< null where it runs on a GPU
    std::string target_name;
    PackedWeights weights;
    std::uint64_t id;                       ///< of this layer alone, in the whole process
    std::unique_ptr<gpu::GpuLayer> on_gpu;  ///< it has the weights then

    // The plan for a shape; from the calling thread's few last ones where it is there, so that a run allocates nothing.
    const Plan &plan(const Shape &input, bool rows_contiguous, int concurrency) const {
        struct Entry {
            std::uint64_t id = 0;
            Shape input = {};
            bool rows_contiguous = false;
            int concurrency = 0;
            Plan plan;
        };
        constexpr std::size_t entries = 16;
        thread_local std::array<Entry, entries> cache;
        const std::uint64_t mixed = id * 31 + static_cast<std::uint64_t>(input[1] * 7 + input[2] * 5 + input[3] * 3 + input[0]);
        Entry &entry = cache[mixed % entries];
        if (entry.id != id || entry.input != input || entry.rows_contiguous != rows_contiguous || entry.concurrency != concurrency) {
            entry.id = 0;
            entry.plan = make_plan(config, weights, *target, input, rows_contiguous, concurrency);
            entry.id = id, entry.input = input, entry.rows_contiguous = rows_contiguous, entry.concurrency = concurrency;
        }
        return entry.plan;
    }

    // @return whether there is anything to compute
    template <typename T>
    bool check(const TensorView<const T> &input, const TensorView<T> &output) const {
        constexpr Dtype given = std::is_same_v<T, float16> ? Dtype::float16 : Dtype::float32;
        if (given != config.dtype) {
            throw ShapeError(fmt::format("input: expected tensors of {} by the layer's dtype, found {}", sepconv::name(config.dtype),
                                         sepconv::name(given)));
        }
        const Shape expected = output_shape(input.shape);
        if (output.shape != expected) {
            throw ShapeError(fmt::format("output: expected shape {} for the input's {}, found {}", words(expected), words(input.shape),
                                         words(output.shape)));
        }
        check_view("input", input);
        check_view("output", output);
        check_disjoint(output);
        if (expected[0] == 0) return false;
        if (static_cast<const T *>(output.data) == input.data) throw ShapeError("output: expected memory of its own, found the input's");
        return true;
    }

    template <typename T>
    void enqueue(const TensorView<const T> &input, const TensorView<T> &output, CudaStream stream) const {
        if (on_gpu == nullptr) {
            throw TargetError(
                fmt::format("target: expected a layer for cuda to run on memory of the device, found one for {}", target_name));
        }
        if (check(input, output)) on_gpu->enqueue(input, output, {stream.handle});
    }

    template <typename T>
    void run(const TensorView<const T> &input, const TensorView<T> &output, const Execution &how) const {
        if (how.threads < 0) throw ExecutionError(fmt::format("threads: expected 0 or more, found {}", how.threads));
        if (!check(input, output)) return;
        if (on_gpu != nullptr) return on_gpu->run(input, output);

        const int threads = how.threads > 0 ? how.threads : machine_threads();
        const int concurrency = how.executor != nullptr ? std::max(1, how.executor->concurrency()) : threads;
        const bool first = config.data_format == DataFormat::channels_first;
        const bool rows_contiguous =
            first ? output.strides[2] == output.shape[3] : output.strides[1] == output.shape[2] * output.strides[2];
        // A copy: an executor may start another run on this thread, and that one put its plan in the place of this one.
        const Plan chosen = plan(input.shape, rows_contiguous, concurrency);
        check_reach(chosen, input, output);
        run_plan(chosen, weights, config.activation, input, output, how, threads);
    }

    Shape output_shape(const Shape &input) const {
        const std::int64_t found = input[config.data_format == DataFormat::channels_first ? 1 : 3];
        if (found != channels) {
            throw ShapeError(fmt::format("input: expected {} channels by the depthwise_kernel, found {} in {} = {}", channels, found,
                                         dimensions(config.data_format), words(input)));
        }
        for (const std::int64_t extent : input) {
            if (extent > reach) throw ShapeError(fmt::format("input: expected extents below 2^31, found {}", words(input)));
        }
        return sepconv::output_shape(config, input);
    }
};

Layer::Layer(const LayerConfig &config, const Weights &weights, const std::string &target, Arithmetic arithmetic) {
    validate(config);
    check_weights(config, weights);
    check_arithmetic(config, arithmetic);
    const RoundedWeights rounded(config, weights);
    const std::int64_t channels = weights.depthwise_shape[2];
    if (const std::optional<gpu::Api> api = named_gpu(target)) {
        check_gpu(*api, arithmetic);
        packed_ = std::make_shared<const Packed>(Packed{
            config, channels, nullptr, gpu::name(*api), {}, ++layers_made, std::make_unique<gpu::GpuLayer>(config, rounded.view(), *api)});
        return;
    }
    const BuiltTarget &chosen = choose_target(target, arithmetic);
    packed_ = std::make_shared<const Packed>(
        Packed{config, channels, &chosen, chosen.name, pack(config, rounded.view(), chosen), ++layers_made, nullptr});
}

Layer::~Layer() = default;
Layer::Layer(const Layer &) = default;
Layer::Layer(Layer &&) noexcept = default;
Layer &Layer::operator=(const Layer &) = default;
Layer &Layer::operator=(Layer &&) noexcept = default;

const LayerConfig &Layer::config() const { return packed_->config; }
std::int64_t Layer::input_channels() const { return packed_->channels; }
const std::string &Layer::target() const { return packed_->target_name; }
Arithmetic Layer::arithmetic() const { return packed_->target == nullptr ? Arithmetic::float32 : arithmetic_of(*packed_->target); }
Shape Layer::output_shape(const Shape &input) const { return packed_->output_shape(input); }

void Layer::run(TensorView<const float> input, TensorView<float> output, const Execution &how) const { packed_->run(input, output, how); }
void Layer::run(TensorView<const float16> input, TensorView<float16> output, const Execution &how) const {
    packed_->run(input, output, how);
}

void Layer::enqueue(TensorView<const float> input, TensorView<float> output, CudaStream stream) const {
    packed_->enqueue(input, output, stream);
}
void Layer::enqueue(TensorView<const float16> input, TensorView<float16> output, CudaStream stream) const {
    packed_->enqueue(input, output, stream);
}

std::string Layer::explain(const Shape &input, bool json) const {
    const Shape output = packed_->output_shape(input);
    if (packed_->on_gpu != nullptr) return packed_->on_gpu->explain(input, output, json);
    const Plan plan = make_plan(packed_->config, packed_->weights, *packed_->target, input, true, machine_threads());
    return sepconv::explain(plan, packed_->config, packed_->weights, *packed_->target, input, output, json);
}

namespace {

// The words of a target between its dashes.
std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (;;) {
        const std::size_t end = text.find('-');
        words.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return words;
        text.remove_prefix(end + 1);
    }
}

// Whether a machine as Halide writes it runs a target of the table: of the features that the table lists the first implies the others.
bool covers(const std::vector<std::string_view> &machine, const BuiltTarget &target) {
    constexpr std::size_t named = 3;  // architecture in two words, and system
    const std::vector<std::string_view> wanted = words_of(target.halide);
    return machine.size() >= named && machine[0] == wanted[0] && machine[1] == wanted[1] &&
           (wanted.size() == named || std::find(machine.begin() + named, machine.end(), wanted[named]) != machine.end());
}

const BuiltTarget &target_for(const std::string &name, Arithmetic arithmetic) {
    const std::vector<std::string_view> machine = words_of(name);
    std::string names;
    for (const std::span<const BuiltTarget> targets : {built_targets(), targets_elsewhere()}) {
        for (const BuiltTarget &target : targets) {
            if (target.type != type_of(arithmetic)) continue;
            if (name == target.name || covers(machine, target)) return target;
            names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", target.name, target.halide);
        }
    }
    throw TargetError(fmt::format("target: expected one of {}, found \"{}\"", names, name));
}

}  // namespace

std::string explain_for(const std::string &name, const LayerConfig &config, const Shape &input, Arithmetic arithmetic, bool json) {
    const Shape output = output_shape(config, input);
    check_arithmetic(config, arithmetic);
    for (const gpu::Api api : gpu::all_apis) {
        const std::vector<std::string_view> machine = words_of(name);
        if (!gpu::is_built(api) || std::find(machine.begin(), machine.end(), gpu::name(api)) == machine.end()) continue;
        check_sums(api, arithmetic);
        return gpu::explain(gpu::make_plan(config, input[config.data_format == DataFormat::channels_first ? 1 : 3], api,
                                           gpu::machine_of(nullptr), input, {}),
                            config, "", input, output, json);
    }
    const BuiltTarget &target = target_for(name, arithmetic);
    const std::int64_t channels = input[config.data_format == DataFormat::channels_first ? 1 : 3];
    const Shape depthwise = {config.kernel_size[0], config.kernel_size[1], channels, config.depth_multiplier};
    const Shape pointwise = {1, 1, channels * config.depth_multiplier, config.filters};
    const auto elements = [](const Shape &shape) { return static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]); };
    const std::vector<float> zeros(std::max({elements(depthwise), elements(pointwise), static_cast<std::size_t>(config.filters)}));
    const Weights weights = {
        zeros.data(), depthwise, zeros.data(), pointwise, config.use_bias ? zeros.data() : nullptr, config.use_bias ? config.filters : 0};
    check_weights(config, weights);
    const PackedWeights packed = pack(config, weights, target);
    return explain(make_plan(config, packed, target, input, true, machine_threads()), config, packed, target, input, output, json);
}

std::vector<Target> targets() {
    std::vector<Target> list;
    for (const BuiltTarget &target : built_targets()) {
        list.push_back({target.name, target.halide, runs_here(target), arithmetic_of(target)});
    }
    return list;
}

std::vector<Gpu> gpus() {
    std::vector<Gpu> list;
    for (const gpu::Api api : gpu::all_apis) {
        if (!gpu::is_built(api)) continue;
        Gpu found{gpu::name(api), {}, gpu::why_not(gpu::name(api)).value_or("")};
        if (found.why_not.empty()) found.device = gpu::device_name(found.target);
        list.push_back(std::move(found));
    }
    return list;
}

std::string default_target(Arithmetic arithmetic) {
    if (const std::optional<gpu::Api> api = named_gpu({})) {
        check_gpu(*api, arithmetic);
        return gpu::name(*api);
    }
    return choose_target({}, arithmetic).name;
}

std::vector<Pipeline> pipelines() {
    std::vector<Pipeline> list;
    for (const Row &row : all_rows()) list.push_back({row.name, sepconv::name(row.stage), row.target, row.covers});
    for (const gpu::Row &row : gpu::rows()) list.push_back({row.name, gpu::name(row.stage), gpu::name(row.api), row.covers});
    return list;
}

std::string version() { return SEPCONV_VERSION; }

}  // namespace sepconv
