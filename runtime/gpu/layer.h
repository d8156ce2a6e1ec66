// A layer on GPUs: its weights in memory of each context that runs it, and the runs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/device.h"
#include "gpu/plan.h"
#include "sepconv/gpu.h"
#include "sepconv/layer.h"

namespace sepconv::gpu {

/// Immutable but for the weights' copies, which are made once for each context, when it first runs the layer.
class GpuLayer {
public:
    /// @param weights  checked against the config, and rounded to its dtype
    /// @param api      of which there is a device here
    /// @param only     what the plans are held to; for tests and measurements
    GpuLayer(const LayerConfig &config, const Weights &weights, Api api, const Only &only = {});
    ~GpuLayer();
    GpuLayer(const GpuLayer &) = delete;
    GpuLayer &operator=(const GpuLayer &) = delete;

    /// On tensors of the host, which were checked: copies there and back, and waits. T: float or float16, by the config's dtype.
    template <typename T>
    void run(const TensorView<const T> &input, const TensorView<T> &output) const;

    /// On tensors of the device: enqueues, and waits for nothing.
    template <typename T>
    void enqueue(const TensorView<const T> &input, const TensorView<T> &output, Stream stream) const;

    /// A tensor in a device's memory, float or float16 by the config's dtype. Strides count elements; the innermost is 1.
    struct Tensor {
        Memory memory;
        Shape shape, strides;
    };
    /// What enqueue() does, on any API's memory. That of OpenCL and Vulkan has no addresses: a tensor begins where its memory does.
    void launch(Device &device, Stream stream, const Tensor &input, const Tensor &output) const;

    std::string explain(const Shape &input, const Shape &output, bool json) const;
    Api api() const { return api_; }

private:
    struct OnDevice;
    Device &device() const;
    const OnDevice &weights_on(Device &device) const;
    Plan plan(const Device &device, const Shape &input, const Access &access) const;

    LayerConfig config_;
    std::int64_t channels_;
    Api api_;
    Only only_;
    std::uint64_t number_;  ///< of this layer alone, in the whole process
    // As they go up: (q, x, y); (filter, q) in the layer's dtype; (filter).
    std::vector<float> taps_, bias_;
    std::vector<char> panel_;
    mutable std::mutex mutex_;
    mutable std::map<std::uint64_t, std::unique_ptr<OnDevice>> on_devices_;
};

/// What GpuLayer::explain says, of a layer on a GPU that need not be there.
std::string explain(const Plan &plan, const LayerConfig &config, const std::string &where, const Shape &input, const Shape &output,
                    bool json);

}  // namespace sepconv::gpu
