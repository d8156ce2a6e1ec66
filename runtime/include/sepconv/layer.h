// Layer: one depthwise-separable convolution with its weights packed, ready to run on any image.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sepconv/config.h"
#include "sepconv/export.h"
#include "sepconv/float16.h"
#include "sepconv/gpu.h"
#include "sepconv/tensor.h"

namespace sepconv {

/// A layer's weights in Keras' own order and layout, whatever the data format. Dense; read once by Layer and not kept.
struct Weights {
    const float *depthwise_kernel = nullptr;
    Shape depthwise_shape = {};  ///< (kh, kw, C, M)
    const float *pointwise_kernel = nullptr;
    Shape pointwise_shape = {};  ///< (1, 1, C·M, F)
    const float *bias = nullptr;
    std::int64_t bias_size = 0;  ///< F, or 0 where use_bias is false
};

/// What a layer of dtype float16 computes in. A layer of float32 has no choice.
enum class Arithmetic {
    /// Products and sums in float32; each result is rounded to float16 once, after the activation. On every machine.
    float32,
    /// Products and sums in float16, twice as many at once. Each addition rounds: a sum of 1000 products is off by some thousandths of the
    /// largest result. Where the CPU computes in half precision, and pipelines are built for it (ARM).
    float16,
};

/// Runs a number of tasks, in any order and on any threads. Lets a program use its own threads for a layer.
class SEPCONV_EXPORT Executor {
public:
    virtual ~Executor() = default;
    /// How many tasks can usefully run at once; at least 1.
    virtual int concurrency() const = 0;
    /// Calls task(context, i) once for every i in [0, count) and returns when all have returned. Tasks do not throw.
    virtual void parallel_for(int count, void (*task)(void *context, int index), void *context) = 0;
};

/// How a run is carried out. The result does not depend on it, bit for bit.
struct Execution {
    /// Threads of the library's own pool, the calling thread included; 0: as many as the machine has.
    int threads = 0;
    /// Where set, it runs the tasks instead of the library's own pool.
    Executor *executor = nullptr;
};

/// output = activation(pointwise(depthwise(input)) + bias)
///
///     dw[n,oy,ox,c·M+m] = Σ_{i,j} xpad[n, oy·sy + i·dy, ox·sx + j·dx, c] · depthwise_kernel[i,j,c,m]
///     y[n,oy,ox,f]      = act( Σ_q dw[n,oy,ox,q] · pointwise_kernel[0,0,q,f] + bias[f] )
///
/// Immutable once made: copies share the packed weights, and one Layer may run on several threads at once.
class SEPCONV_EXPORT Layer {
public:
    /// Checks the weights against the config and packs them for one instruction set.
    /// @param target  one of targets(): "avx512", "avx2", "sse41", on ARM "neon", "neon_fp16"; or of gpus(): "cuda", "opencl", "vulkan"; or
    /// empty:
    ///                $SEPCONV_TARGET where it is set, else the best that this CPU runs.
    /// @param arithmetic  float16 only for a config of dtype float16, on a target of that arithmetic
    /// @throws ConfigError, ShapeError (weights that do not fit the config), TargetError
    Layer(const LayerConfig &config, const Weights &weights, const std::string &target = {}, Arithmetic arithmetic = Arithmetic::float32);
    ~Layer();
    Layer(const Layer &);
    Layer(Layer &&) noexcept;
    Layer &operator=(const Layer &);
    Layer &operator=(Layer &&) noexcept;

    const LayerConfig &config() const;
    /// Channels of the input, C.
    std::int64_t input_channels() const;
    /// The name of the instruction set that the weights are packed for.
    const std::string &target() const;
    Arithmetic arithmetic() const;
    /// @throws ShapeError
    Shape output_shape(const Shape &input) const;

    /// Computes the layer on a batch of images.
    ///
    /// @param input   (N, H, W, C) or (N, C, H, W) by the config's data_format; not modified.
    /// @param output  shaped output_shape(input.shape); must not overlap the input.
    /// @throws ShapeError  if a shape or stride does not fit the layer; the output is then untouched.
    /// Thread-safe on one Layer. Allocates only on a thread's first call with a shape. Bitwise the same for every thread count.
    void run(TensorView<const float> input, TensorView<float> output, const Execution &how = {}) const;
    /// The same for a layer of dtype float16. Tensors of the other type are a ShapeError.
    void run(TensorView<const float16> input, TensorView<float16> output, const Execution &how = {}) const;

    /// Enqueues the layer on a stream of CUDA, on tensors that are in the device's memory: nothing is copied and nothing is waited for. For
    /// a layer whose target is "cuda". The context is the calling thread's current one, or where it has none the primary context of device
    /// 0. The weights are copied there when it runs the layer for the first time, before anything that is captured into a graph.
    ///
    /// @param input   as for run(), but `data` is a CUdeviceptr, and so for the output. Fastest where it is a multiple of 16 bytes.
    /// @throws ShapeError  as run(); TargetError where the layer has another target; ExecutionError where the driver refuses.
    /// Thread-safe on one Layer, on any streams.
    void enqueue(TensorView<const float> input, TensorView<float> output, CudaStream stream = {}) const;
    void enqueue(TensorView<const float16> input, TensorView<float16> output, CudaStream stream = {}) const;

    /// Which functions of the table an input shape takes on this target, the tile and the split, and why: lines of text, or JSON.
    /// @throws ShapeError
    std::string explain(const Shape &input, bool json = false) const;

private:
    struct Packed;
    std::shared_ptr<const Packed> packed_;
};

/// One instruction set that pipelines were built for.
struct Target {
    std::string name;       ///< "avx512", "avx2", "sse41", "neon", "neon_fp16"
    std::string halide;     ///< Halide's name for it
    bool runs_here;         ///< whether this CPU and operating system can run it
    Arithmetic arithmetic;  ///< float16: for layers of that arithmetic, and only for these
};

/// The instruction sets built in, best first.
SEPCONV_EXPORT std::vector<Target> targets();

/// The one that a Layer takes where none is named: $SEPCONV_TARGET, else the first of that arithmetic that runs here.
/// @throws TargetError  where $SEPCONV_TARGET names one that is unknown, does not run here or has another arithmetic, and where none has
/// it.
SEPCONV_EXPORT std::string default_target(Arithmetic arithmetic = Arithmetic::float32);

/// What Layer::explain says, of a layer on another machine: the functions that a library built for it takes.
/// @param target  a name such as "neon", or as Halide writes it, such as "arm-64-android-arm_fp16": then the best that it runs
/// @param input   with the layer's channels
/// @throws ConfigError, ShapeError, TargetError
SEPCONV_EXPORT std::string explain_for(const std::string &target, const LayerConfig &config, const Shape &input,
                                       Arithmetic arithmetic = Arithmetic::float32, bool json = false);

/// One row of the table of pipelines, as built for one target.
struct Pipeline {
    std::string name;
    std::string stage;   ///< "padded", "depthwise", "pointwise", "activated", "copied", "transposed"; "gpu_layer", "gpu_finish", "gpu_axes"
    std::string target;  ///< the Target's or the Gpu's name
    std::string covers;  ///< in words: layout, kernel, stride and dilation class, lanes
};

/// Every precompiled function in this library.
SEPCONV_EXPORT std::vector<Pipeline> pipelines();

/// The library's version, "major.minor.patch".
SEPCONV_EXPORT std::string version();

}  // namespace sepconv
