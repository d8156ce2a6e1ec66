// A layer on GPUs: packs the weights, takes them to each context once, and starts the functions of a plan.
#include "gpu/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "activation.h"
#include "gpu/calls.h"
#include "gpu/device.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

std::atomic<std::uint64_t> layers_made = 0;

// The most elements between any two that a function may reach: its indices have 32 bits.
constexpr std::int64_t reach = std::numeric_limits<std::int32_t>::max();

std::int64_t elements(const Shape &shape) { return shape[0] * shape[1] * shape[2] * shape[3]; }

// From the first element of a view to one past the last.
std::int64_t span(const Shape &shape, const Shape &strides) {
    std::int64_t last = 0;
    for (int i = 0; i < 4; i++) last += (shape[i] - 1) * strides[i];
    return last + 1;
}

halide_type_t type_of(Dtype type) {
    return type == Dtype::float16 ? halide_type_t(halide_type_float, 16, 1) : halide_type_t(halide_type_float, 32, 1);
}

std::int64_t bytes_of(Dtype type) { return type == Dtype::float16 ? 2 : 4; }

// A buffer of the device as the functions take it.
template <int Rank>
struct DeviceBuffer {
    DeviceBuffer(Memory memory, Dtype type, const std::array<std::int64_t, Rank> &extents, const std::array<std::int64_t, Rank> &strides) {
        for (int i = 0; i < Rank; i++) {
            dimensions[i] = halide_dimension_t(0, static_cast<std::int32_t>(extents[i]), static_cast<std::int32_t>(strides[i]));
        }
        buffer.device = memory;
        buffer.type = type_of(type);
        buffer.dimensions = Rank;
        buffer.dim = dimensions.data();
    }
    DeviceBuffer(const DeviceBuffer &) = delete;
    DeviceBuffer &operator=(const DeviceBuffer &) = delete;
    operator halide_buffer_t *() { return &buffer; }

    std::array<halide_dimension_t, Rank> dimensions;
    halide_buffer_t buffer = {};
};

// Memory in a stream's order, which is given back at the end of the scope.
class InOrder {
public:
    InOrder(Device &device, std::size_t bytes, Stream stream)
        : device_(device), stream_(stream), memory_(device.allocate_in_order(bytes, stream)) {}
    ~InOrder() {
        try {
            device_.free_in_order(memory_, stream_);
        } catch (const Error &) {  // NOLINT(bugprone-empty-catch)
            // The failure that led here is the one to report; where there is none, the next call of the driver will report it.
        }
    }
    InOrder(const InOrder &) = delete;
    InOrder &operator=(const InOrder &) = delete;
    Memory memory() const { return memory_; }

private:
    Device &device_;
    Stream stream_;
    Memory memory_;
};

void wait_in_spite_of_failures(Device &device, Stream stream) noexcept {
    try {
        device.synchronize(stream);
    } catch (...) {  // NOLINT(bugprone-empty-catch): the failure that led here is the one to report
    }
}

}  // namespace

struct GpuLayer::OnDevice {
    explicit OnDevice(Device &device) : device(device) {}
    ~OnDevice() {
        for (const Memory memory : {taps, panel, bias, zeros}) device.free(memory);
    }
    OnDevice(const OnDevice &) = delete;
    OnDevice &operator=(const OnDevice &) = delete;

    Device &device;
    Memory taps = 0, panel = 0, bias = 0, zeros = 0;
};

GpuLayer::GpuLayer(const LayerConfig &config, const Weights &weights, Api api, const Only &only)
    : config_(config), channels_(weights.depthwise_shape[2]), api_(api), only_(only), number_(++layers_made) {
    check_dtype(api, config.dtype);
    const std::int64_t multiplier = config.depth_multiplier, depth = channels_ * multiplier, filters = config.filters;
    const std::int64_t rows = padded_depth(depth), width = padded_filters(filters);
    const std::int64_t window = static_cast<std::int64_t>(config.kernel_size[0]) * config.kernel_size[1];
    if (rows > reach / width || rows > reach / window) {
        throw ShapeError(fmt::format("pointwise_kernel: expected weights below 2^31 elements, found {} depthwise channels and {} filters",
                                     depth, filters));
    }
    // Keras' (i, j, c, m) is (q, j, i) here, whose q = c·M + m.
    taps_.assign(rows * window, 0);
    for (std::int64_t tap = 0; tap < window; tap++) {
        std::copy_n(weights.depthwise_kernel + tap * depth, depth, taps_.begin() + tap * rows);
    }
    bias_.assign(width, 0);
    if (weights.bias != nullptr) std::copy_n(weights.bias, filters, bias_.begin());
    panel_.assign(rows * width * bytes_of(config.dtype), 0);
    const auto fill = [&](auto *panel) {
        for (std::int64_t q = 0; q < depth; q++) {
            std::transform(weights.pointwise_kernel + q * filters, weights.pointwise_kernel + (q + 1) * filters, panel + q * width,
                           [](float value) { return static_cast<std::remove_reference_t<decltype(*panel)>>(value); });
        }
    };
    if (config.dtype == Dtype::float16) {
        fill(reinterpret_cast<float16 *>(panel_.data()));
    } else {
        fill(reinterpret_cast<float *>(panel_.data()));
    }
}

GpuLayer::~GpuLayer() = default;

Device &GpuLayer::device() const { return device_of(name(api_)); }

const GpuLayer::OnDevice &GpuLayer::weights_on(Device &device) const {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<OnDevice> &found = on_devices_[device.id()];
    if (found != nullptr) return *found;
    auto made = std::make_unique<OnDevice>(device);
    const auto up = [&](Memory &memory, const void *values, std::size_t bytes) {
        memory = device.allocate(bytes);
        device.upload(memory, values, bytes, {});
    };
    const std::vector<float> zeros(bias_.size(), 0.0f);
    try {
        up(made->taps, taps_.data(), taps_.size() * sizeof(float));
        up(made->panel, panel_.data(), panel_.size());
        up(made->bias, bias_.data(), bias_.size() * sizeof(float));
        up(made->zeros, zeros.data(), zeros.size() * sizeof(float));
        // Any stream may read them from now on.
        device.synchronize({});
    } catch (...) {
        wait_in_spite_of_failures(device, {});
        throw;
    }
    found = std::move(made);
    return *found;
}

Plan GpuLayer::plan(const Device &device, const Shape &input, const Access &access) const {
    struct Entry {
        std::uint64_t layer = 0, device = 0;
        Shape input = {};
        Access access;
        Plan plan;
    };
    constexpr std::size_t entries = 16;
    thread_local std::array<Entry, entries> cache;
    Entry &entry = cache[(number_ * 31 + static_cast<std::uint64_t>(input[0] + input[1] * 7 + input[2] * 5 + input[3] * 3)) % entries];
    if (entry.layer != number_ || entry.device != device.id() || entry.input != input || !(entry.access == access)) {
        entry.layer = 0;
        entry.plan = make_plan(config_, channels_, api_, machine_of(&device), input, access, only_);
        entry.layer = number_, entry.device = device.id(), entry.input = input, entry.access = access;
    }
    return entry.plan;
}

void GpuLayer::launch(Device &device, Stream stream, const Tensor &input, const Tensor &output) const {
    const bool first = config_.data_format == DataFormat::channels_first;
    const std::int64_t value_bytes = bytes_of(config_.dtype);
    const auto by_vectors = [&](const Tensor &tensor) {
        // Memory of OpenCL and Vulkan has no address; it begins where any vector may.
        if (api_ == Api::cuda && tensor.memory % (lanes * value_bytes) != 0) return false;
        for (int i = 0; i < 3; i++) {
            if (tensor.shape[i] > 1 && tensor.strides[i] % lanes != 0) return false;
        }
        return true;
    };
    const Plan plan = this->plan(device, input.shape, {by_vectors(input), by_vectors(output)});
    const OnDevice &weights = weights_on(device);
    GpuCall call{&device, stream, {}, 0, {}};

    // The product, in the order of its dimensions: (f, x, y, n).
    const auto in_order = [&](const Shape &shape) {
        return first ? std::array<std::int64_t, 4>{shape[1], shape[3], shape[2], shape[0]}
                     : std::array<std::int64_t, 4>{shape[3], shape[2], shape[1], shape[0]};
    };
    const auto reversed = [](const Shape &shape) { return std::array<std::int64_t, 4>{shape[3], shape[2], shape[1], shape[0]}; };
    const Shape product = first ? Shape{plan.batch, plan.filters, plan.y.output, plan.x.output}
                                : Shape{plan.batch, plan.y.output, plan.x.output, plan.filters};
    const Shape product_strides = TensorView<float>::dense_strides(product);
    const std::int64_t image = elements(product) / plan.batch;

    // As many images at once as 32 bits count, of every tensor.
    const auto apart = [&](const Tensor &tensor) { return plan.batch > 1 ? tensor.strides[0] : 0; };
    const std::int64_t largest = std::max({apart(input), apart(output), plan.is_partial() ? plan.slices * image : 0,
                                           span({1, input.shape[1], input.shape[2], input.shape[3]}, input.strides),
                                           span({1, output.shape[1], output.shape[2], output.shape[3]}, output.strides)});
    if (largest > reach) throw ShapeError(fmt::format("input: one image and its strides exceed 2^31 elements (found {})", largest));
    const std::int64_t at_once = std::min(plan.batch, reach / largest);
    std::array<bool, 4> along = {};
    resolve_axes(config_.activation, along);
    if (along[0] && at_once < plan.batch) {
        throw ShapeError(fmt::format("input: expected a batch below 2^31 elements for {} along it, found {} images {} elements apart",
                                     sepconv::name(config_.activation.kind), plan.batch, largest));
    }

    for (std::int64_t n = 0; n < plan.batch; n += at_once) {
        const std::int64_t images = std::min(at_once, plan.batch - n);
        Shape input_shape = input.shape, output_shape = output.shape, product_shape = product;
        input_shape[0] = product_shape[0] = images;
        // An activation along the batch may leave fewer; it has all of them at once.
        if (!along[0]) output_shape[0] = images;
        // Other memory than CUDA's has no addresses to add to; what it runs on was made dense, and small enough.
        if (n > 0 && api_ != Api::cuda) throw ShapeError(fmt::format("input: expected a batch below 2^31 elements for {}", name(api_)));
        const Memory from = input.memory + static_cast<Memory>(n * input.strides[0] * value_bytes);
        const Memory to = output.memory + static_cast<Memory>(n * output.strides[0] * value_bytes);
        DeviceBuffer<4> image_buffer(from, config_.dtype, in_order(input_shape), in_order(input.strides));
        DeviceBuffer<4> output_buffer(to, config_.dtype, plan.axes != nullptr ? reversed(output_shape) : in_order(output_shape),
                                      plan.axes != nullptr ? reversed(output.strides) : in_order(output.strides));
        const std::int64_t depth = padded_depth(plan.depth()), width = padded_filters(plan.filters);
        DeviceBuffer<3> taps(weights.taps, Dtype::float32, {depth, plan.x.kernel, plan.y.kernel}, {1, depth, depth * plan.x.kernel});
        DeviceBuffer<2> panel(weights.panel, config_.dtype, {width, depth}, {1, width});
        DeviceBuffer<1> bias(plan.is_partial() ? weights.zeros : weights.bias, Dtype::float32, {width}, {1});
        const auto run_layer = [&](DeviceBuffer<4> &result) {
            call.how = {plan.layer->params.registers, false};
            const auto quarter = [](const DeviceBuffer<4> &buffer, int i) { return buffer.dimensions[i].stride / lanes; };
            const auto narrow = [](std::int64_t value) { return static_cast<int>(value); };
            plan.layer->layer(&call, image_buffer, taps, panel, bias, narrow(plan.multiplier), narrow(plan.x.stride), narrow(plan.y.stride),
                              narrow(plan.x.dilation), narrow(plan.y.dilation), narrow(plan.x.before), narrow(plan.y.before), plan.chunks,
                              plan.slices, narrow(depth / lanes), narrow(width / lanes), quarter(image_buffer, 1), quarter(image_buffer, 2),
                              quarter(image_buffer, 3), quarter(result, 1), quarter(result, 2), quarter(result, 3), plan.low, plan.high,
                              result);
            call.check();
        };
        if (!plan.is_partial()) {
            run_layer(output_buffer);
            continue;
        }

        const InOrder sums(device, images * plan.slices * image * sizeof(float), stream);
        Shape slices_shape = product_shape;
        slices_shape[0] = images * plan.slices;
        DeviceBuffer<4> slices(sums.memory(), Dtype::float32, in_order(slices_shape), in_order(product_strides));
        run_layer(slices);
        call.how = {};
        // Image n's slices lie one behind the other. Dimensions innermost first, whichever the filters' is.
        const std::array<std::int64_t, 4> extents = reversed(product_shape), strides = reversed(product_strides);
        DeviceBuffer<5> partial(sums.memory(), Dtype::float32, {extents[0], extents[1], extents[2], extents[3], plan.slices},
                                {strides[0], strides[1], strides[2], strides[3] * plan.slices, strides[3]});
        std::array<std::int64_t, 4> bias_strides = {0, 0, 0, 0};
        bias_strides[first ? 2 : 0] = 1;
        DeviceBuffer<4> spread_bias(weights.bias, Dtype::float32, extents, bias_strides);
        const Activation &activation = config_.activation;
        const auto run_finish = [&](halide_buffer_t *result) {
            plan.finish->finish(&call, partial, spread_bias, activation.a, activation.b, activation.c, result);
            call.check();
        };
        if (plan.axes == nullptr) {
            DeviceBuffer<4> finished(to, config_.dtype, reversed(output_shape), reversed(output.strides));
            run_finish(finished);
            continue;
        }
        const InOrder whole(device, images * image * sizeof(float), stream);
        DeviceBuffer<4> before(whole.memory(), Dtype::float32, extents, strides);
        run_finish(before);
        plan.axes->axes(&call, before, along[3], along[2], along[1], along[0], output_buffer);
        call.check();
    }
}

template <typename T>
void GpuLayer::enqueue(const TensorView<const T> &input, const TensorView<T> &output, Stream stream) const {
    if (api_ != Api::cuda) {
        throw TargetError(fmt::format("target: expected a layer for cuda to run on memory of the device, found one for {}", name(api_)));
    }
    Device &device = this->device();
    const Device::Current current(device);
    launch(device, stream, {reinterpret_cast<Memory>(input.data), input.shape, input.strides},
           {reinterpret_cast<Memory>(output.data), output.shape, output.strides});
}

namespace {

bool is_dense(const Shape &shape, const Shape &strides) {
    const Shape dense = TensorView<float>::dense_strides(shape);
    for (int i = 0; i < 4; i++) {
        if (shape[i] > 1 && strides[i] != dense[i]) return false;
    }
    return true;
}

// Copies row by row between a view and a dense tensor of its shape.
template <typename T, typename Copy>
void each_row(const TensorView<T> &view, const Copy &copy) {
    std::int64_t row = 0;
    for (std::int64_t i = 0; i < view.shape[0]; i++) {
        for (std::int64_t j = 0; j < view.shape[1]; j++) {
            for (std::int64_t k = 0; k < view.shape[2]; k++) {
                copy(view.data + i * view.strides[0] + j * view.strides[1] + k * view.strides[2], row++ * view.shape[3], view.shape[3]);
            }
        }
    }
}

}  // namespace

template <typename T>
void GpuLayer::run(const TensorView<const T> &input, const TensorView<T> &output) const {
    Device &device = this->device();
    const Device::Current current(device);
    const Stream stream;
    const auto bytes = [](const Shape &shape) { return static_cast<std::size_t>(elements(shape)) * sizeof(T); };
    const InOrder from(device, bytes(input.shape), stream), to(device, bytes(output.shape), stream);
    std::vector<T> gathered;
    const T *values = input.data;
    if (!is_dense(input.shape, input.strides)) {
        gathered.resize(elements(input.shape));
        each_row(input, [&](const T *row, std::int64_t at, std::int64_t count) { std::copy_n(row, count, gathered.begin() + at); });
        values = gathered.data();
    }
    // Where something fails the output is left as it was: a failure shows at the latest while all is waited for.
    std::vector<T> results(elements(output.shape));
    try {
        device.upload(from.memory(), values, bytes(input.shape), stream);
        launch(device, stream, {from.memory(), input.shape, TensorView<T>::dense_strides(input.shape)},
               {to.memory(), output.shape, TensorView<T>::dense_strides(output.shape)});
        device.download(results.data(), to.memory(), bytes(output.shape), stream);
        device.synchronize(stream);
    } catch (...) {
        // What was enqueued before the failure may still read the caller's memory, or write here.
        wait_in_spite_of_failures(device, stream);
        throw;
    }
    if (is_dense(output.shape, output.strides)) {
        std::copy(results.begin(), results.end(), output.data);
    } else {
        each_row(output, [&](T *row, std::int64_t at, std::int64_t count) { std::copy_n(results.begin() + at, count, row); });
    }
}

std::string GpuLayer::explain(const Shape &input, const Shape &output, bool json) const {
    const Device &device = this->device();
    return gpu::explain(plan(device, input, {}), config_, device.name(), input, output, json);
}

template void GpuLayer::run(const TensorView<const float> &, const TensorView<float> &) const;
template void GpuLayer::run(const TensorView<const float16> &, const TensorView<float16> &) const;
template void GpuLayer::enqueue(const TensorView<const float> &, const TensorView<float> &, Stream) const;
template void GpuLayer::enqueue(const TensorView<const float16> &, const TensorView<float16> &, Stream) const;

}  // namespace sepconv::gpu
