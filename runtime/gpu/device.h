// What the runtime asks of a GPU: memory, copies and launches, by NVIDIA's driver, by OpenCL or by Vulkan. No library is linked; each is
// looked for when it is first asked for. Which kernels run, and with what, is left to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sepconv::gpu {

/// A CUstream of the device's context; nullptr is the context's default stream. OpenCL and Vulkan ignore it: they have one queue, in order.
struct Stream {
    void *handle = nullptr;
};

/// Memory of a device: a CUdeviceptr, a cl_mem or a number. 0 is none.
using Memory = std::uint64_t;

struct Extent {
    unsigned x = 1, y = 1, z = 1;
};

/// How a program is compiled.
struct Compilation {
    /// CUDA: that a thread may have, so that more blocks run at once; 0: as many as the compiler likes.
    int most_registers = 0;
    /// Vulkan: every addition and multiplication is rounded by itself and in its order, on which activations rely. CUDA and OpenCL are told
    /// so in the program.
    bool is_exact = true;
};

/// One start of a kernel. Nothing of it is kept once `launch` returns.
struct Launch {
    const char *program;  ///< the text, as Device::load had it
    const char *kernel;
    Extent grid, block;  ///< blocks, and threads of a block; an empty grid starts nothing
    unsigned shared_bytes = 0;
    std::span<void *const> arguments;        ///< where each argument's value lies; a buffer's is its Memory
    const std::size_t *sizes;                ///< the bytes of each value
    const std::int8_t *is_buffer = nullptr;  ///< whether it is a buffer
};

/// A CUDA context, or a device of OpenCL or Vulkan with its queue. Lives as long as the process.
///
/// Every function is thread-safe, works in the device's own context and leaves the calling thread's current context as it was. What it
/// enqueues it does not wait for. After the first launch of a kernel the next ones allocate nothing on the device and wait for nothing, so
/// a CUDA stream may be captured.
/// @throws ExecutionError  where the driver refuses a call; the message has the call and the driver's own name for the error.
class Device {
public:
    virtual ~Device() = default;
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    /// "cuda", "opencl" or "vulkan".
    virtual std::string_view api() const = 0;
    const std::string &name() const { return name_; }
    /// CUDA's streaming multiprocessors, OpenCL's compute units; by Vulkan a guess where the driver does not tell.
    int multiprocessors() const { return multiprocessors_; }
    /// Another one for each context, also where a new context lies at the address of one that is gone.
    std::uint64_t id() const { return id_; }

    /// @param bytes  of 0 there is no memory: 0
    virtual Memory allocate(std::size_t bytes) = 0;
    /// Waits where the driver has to. Says nothing of failures: with a context that its owner has destroyed its memory is gone already.
    virtual void free(Memory memory) noexcept = 0;

    /// Memory for what is enqueued on the stream from here on until free_in_order().
    virtual Memory allocate_in_order(std::size_t bytes, Stream stream) = 0;
    /// Frees once the stream has come here. Without the driver's memory pools this waits for the stream.
    virtual void free_in_order(Memory memory, Stream stream) = 0;

    /// The memory of the host must stay as it is until synchronize().
    virtual void upload(Memory to, const void *from, std::size_t bytes, Stream stream) = 0;
    virtual void download(void *to, Memory from, std::size_t bytes, Stream stream) = 0;
    /// Waits for everything on the stream.
    virtual void synchronize(Stream stream) = 0;

    /// Makes a program ready, PTX, OpenCL C or Halide's list of SPIR-V kernels by the device's API. A program is its text's address: it is
    /// compiled by the first call and kept, and later ones do nothing.
    /// @param text            stays where it is; the last byte of PTX and OpenCL C is a NUL.
    virtual void load(const char *text, std::size_t bytes, const Compilation &how) = 0;
    void load(const char *text, std::size_t bytes) { load(text, bytes, {}); }
    virtual void launch(const Launch &launch, Stream stream) = 0;

    /// Makes the device's context current on the calling thread, where it is not, and the one before current again at the end. The
    /// functions above do so themselves; around several of them it is done once.
    class Current {
    public:
        explicit Current(const Device &device) : device_(device), entered_(device.enter()) {}
        ~Current() {
            if (entered_) device_.leave();
        }
        Current(const Current &) = delete;
        Current &operator=(const Current &) = delete;

    private:
        const Device &device_;
        const bool entered_;
    };

protected:
    Device(std::string name, int multiprocessors);

private:
    /// Whether there was anything to change.
    virtual bool enter() const = 0;
    virtual void leave() const noexcept = 0;

    const std::string name_;
    const int multiprocessors_;
    const std::uint64_t id_;
};

/// The context that is current on the calling thread; where none is, the primary context of device 0, which the process then keeps.
/// @throws TargetError  without a driver or a device that runs the kernels.
Device &current_cuda_device();

/// The first GPU of the platforms that OpenCL finds, else their first device of any kind.
/// @throws TargetError  without OpenCL or a device.
Device &opencl_device();

/// The first GPU that Vulkan finds, else its first device of any kind. Only where the functions for Vulkan are built in.
/// @throws TargetError  without Vulkan or a device that runs the kernels.
Device &vulkan_device();

/// Of "cuda", "opencl" or "vulkan", as the functions above.
Device &device_of(std::string_view api);

/// Why no kernel of an API runs here, or nothing where they do. Makes no context.
std::optional<std::string> why_not(std::string_view api);

/// The name of the device that an API would take. Makes no context.
/// @throws TargetError  as the functions above.
std::string device_name(std::string_view api);

}  // namespace sepconv::gpu
