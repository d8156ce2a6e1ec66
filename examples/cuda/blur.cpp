// Blurs a picture and turns it grey on an NVIDIA GPU: the layer of examples/link on tensors that are in the device's memory, enqueued on a
// stream of the program's own, and the same layer compiled for this picture. Both are compared with what the CPU computes. Ends with 77
// where there is no device.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "blur_on_gpu.h"
#include "sepconv/sepconv.h"

namespace {

constexpr int height = BLUR_ON_GPU_INPUT_HEIGHT, width = BLUR_ON_GPU_INPUT_WIDTH, channels = BLUR_ON_GPU_INPUT_CHANNELS;
constexpr int no_device = 77;
constexpr double tolerance = 1e-5;  // of values up to 1

using Values = std::vector<float>;

void check(cudaError_t code) {
    if (code != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(code));
}

// A tensor in the device's memory.
class DeviceValues {
public:
    explicit DeviceValues(std::size_t count) { check(cudaMalloc(reinterpret_cast<void **>(&values_), count * sizeof(float))); }
    ~DeviceValues() { cudaFree(values_); }
    DeviceValues(const DeviceValues &) = delete;
    DeviceValues &operator=(const DeviceValues &) = delete;
    float *get() const { return values_; }

private:
    float *values_ = nullptr;
};

// Why no layer runs on a CUDA device here, or nothing.
std::string why_not() {
    for (const sepconv::Gpu &gpu : sepconv::gpus()) {
        if (gpu.target == "cuda") return gpu.why_not;
    }
    return "this sepconv is built without it";
}

Values on_stream(const sepconv::Layer &layer, const Values &picture) {
    Values grey(height * width);
    const DeviceValues input(picture.size()), output(grey.size());
    cudaStream_t stream;
    check(cudaStreamCreate(&stream));
    check(cudaMemcpyAsync(input.get(), picture.data(), picture.size() * sizeof(float), cudaMemcpyHostToDevice, stream));
    layer.enqueue({input.get(), {1, height, width, channels}}, {output.get(), {1, height, width, 1}}, {stream});
    check(cudaMemcpyAsync(grey.data(), output.get(), grey.size() * sizeof(float), cudaMemcpyDeviceToHost, stream));
    check(cudaStreamSynchronize(stream));
    check(cudaStreamDestroy(stream));
    return grey;
}

// With tensors of the host: the library copies them.
Values compiled(const Values &picture) {
    Values grey(height * width);
    const int code = blur_on_gpu(picture.data(), grey.data());
    if (code != 0) throw std::runtime_error(std::string("blur_on_gpu: ") + blur_on_gpu_error(code));
    return grey;
}

bool agrees(const char *what, const Values &found, const Values &expected) {
    double largest = 0;
    for (std::size_t i = 0; i < expected.size(); i++) {
        const double difference = std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        largest = std::isnan(difference) ? difference : std::max(largest, difference);
        if (std::isnan(largest)) break;
    }
    std::printf("%-22s largest difference from the CPU %.2e\n", what, largest);
    return largest <= tolerance;
}

}  // namespace

int main() try {
    if (const std::string why = why_not(); !why.empty()) {
        std::printf("no CUDA device: %s\n", why.c_str());
        return no_device;
    }
    const Values average(3 * 3 * channels, 1.0F / 9), luminance = {0.299F, 0.587F, 0.114F};
    const sepconv::LayerConfig config = sepconv::parse_config(R"({
        "filters": 1, "kernel_size": 3, "padding": "same", "data_format": "channels_last", "activation": "relu", "use_bias": false})");
    sepconv::Weights weights;
    weights.depthwise_kernel = average.data();
    weights.depthwise_shape = {3, 3, channels, 1};
    weights.pointwise_kernel = luminance.data();
    weights.pointwise_shape = {1, 1, channels, 1};

    Values picture(height * width * channels);
    for (std::size_t i = 0; i < picture.size(); i++) picture[i] = static_cast<float>(i * 37 % 256) / 255;
    Values expected(height * width);
    const sepconv::Layer on_cpu(config, weights);
    on_cpu.run({picture.data(), {1, height, width, channels}}, {expected.data(), {1, height, width, 1}});

    check(cudaSetDevice(0));  // makes its context current, in which the layer then runs
    check(cudaFree(nullptr));
    const sepconv::Layer on_gpu(config, weights, "cuda");
    const bool enqueued = agrees("enqueued on a stream:", on_stream(on_gpu, picture), expected);
    return agrees("compiled for it:", compiled(picture), expected) && enqueued ? 0 : 1;
} catch (const std::exception &error) {  // sepconv::Error is one
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
