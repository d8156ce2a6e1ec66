// An OpenCL device with one queue, in order, through whatever driver the OpenCL on this machine finds. Its functions and the few numbers of
// its interface that are used stand here, so that no header of OpenCL is needed to build.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gpu/device.h"
#include "gpu/drivers.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

using Status = std::int32_t;
using Platform = void *;
using DeviceHandle = void *;
using Context = void *;
using Queue = void *;
using Buffer = void *;
using ProgramHandle = void *;
using KernelHandle = void *;
using Unsigned = std::uint32_t;
using Flags = std::uint64_t;

static_assert(sizeof(Buffer) == sizeof(Memory), "a cl_mem is handed on as a Memory");

constexpr Flags any_device = 0xffffffff, gpu_device = 1 << 2;
constexpr Flags read_write = 1 << 0;
constexpr Unsigned compute_units = 0x1002, most_constant_bytes = 0x1020, most_constant_arguments = 0x1021, device_name = 0x102b;
constexpr Unsigned build_log = 0x1183;
constexpr Status none_of_that_kind = -1, no_platform = -1001;
constexpr Unsigned enqueue_only = 0;

// The names of the specification.
const char *name_of(Status status) {
    switch (status) {
        case -1:
            return "CL_DEVICE_NOT_FOUND";
        case -2:
            return "CL_DEVICE_NOT_AVAILABLE";
        case -3:
            return "CL_COMPILER_NOT_AVAILABLE";
        case -4:
            return "CL_MEM_OBJECT_ALLOCATION_FAILURE";
        case -5:
            return "CL_OUT_OF_RESOURCES";
        case -6:
            return "CL_OUT_OF_HOST_MEMORY";
        case -11:
            return "CL_BUILD_PROGRAM_FAILURE";
        case -30:
            return "CL_INVALID_VALUE";
        case -33:
            return "CL_INVALID_DEVICE";
        case -34:
            return "CL_INVALID_CONTEXT";
        case -36:
            return "CL_INVALID_COMMAND_QUEUE";
        case -38:
            return "CL_INVALID_MEM_OBJECT";
        case -43:
            return "CL_INVALID_BUILD_OPTIONS";
        case -44:
            return "CL_INVALID_PROGRAM";
        case -45:
            return "CL_INVALID_PROGRAM_EXECUTABLE";
        case -46:
            return "CL_INVALID_KERNEL_NAME";
        case -48:
            return "CL_INVALID_KERNEL";
        case -49:
            return "CL_INVALID_ARG_INDEX";
        case -50:
            return "CL_INVALID_ARG_VALUE";
        case -51:
            return "CL_INVALID_ARG_SIZE";
        case -52:
            return "CL_INVALID_KERNEL_ARGS";
        case -54:
            return "CL_INVALID_WORK_GROUP_SIZE";
        case -55:
            return "CL_INVALID_WORK_ITEM_SIZE";
        case -61:
            return "CL_INVALID_BUFFER_SIZE";
        case -63:
            return "CL_INVALID_GLOBAL_WORK_SIZE";
        case -1001:
            return "CL_PLATFORM_NOT_FOUND_KHR";
        default:
            return nullptr;
    }
}

std::string failure(std::string_view call, Status status) {
    const char *name = name_of(status);
    return name != nullptr ? fmt::format("{}: {}", call, name) : fmt::format("{}: error {}", call, status);
}

void check(std::string_view call, Status status) {
    if (status != 0) throw ExecutionError(failure(call, status));
}

template <typename... About>
void check(std::string_view call, Status status, fmt::format_string<About...> about, About &&...values) {
    if (status != 0) {
        throw ExecutionError(fmt::format("{}: {}", failure(call, status), fmt::format(about, std::forward<About>(values)...)));
    }
}

struct Driver {
    Library library{"libOpenCL.so.1", "OpenCL"};

    Status (*platforms)(Unsigned most, Platform *, Unsigned *count);
    Status (*devices)(Platform, Flags kind, Unsigned most, DeviceHandle *, Unsigned *count);
    Status (*device_info)(DeviceHandle, Unsigned what, std::size_t bytes, void *, std::size_t *needed);
    Context (*create_context)(const std::intptr_t *properties, Unsigned count, const DeviceHandle *, void (*notify)(), void *user,
                              Status *);
    Status (*release_context)(Context);
    Queue (*create_queue)(Context, DeviceHandle, Flags properties, Status *);
    Buffer (*create_buffer)(Context, Flags, std::size_t, void *host, Status *);
    Status (*release_buffer)(Buffer);
    Status (*write)(Queue, Buffer, Unsigned waits, std::size_t offset, std::size_t bytes, const void *, Unsigned events, const void *,
                    void *);
    Status (*read)(Queue, Buffer, Unsigned waits, std::size_t offset, std::size_t bytes, void *, Unsigned events, const void *, void *);
    Status (*finish)(Queue);
    ProgramHandle (*create_program)(Context, Unsigned count, const char **texts, const std::size_t *bytes, Status *);
    Status (*build_program)(ProgramHandle, Unsigned count, const DeviceHandle *, const char *options, void (*notify)(), void *user);
    Status (*build_info)(ProgramHandle, DeviceHandle, Unsigned what, std::size_t bytes, void *, std::size_t *needed);
    Status (*release_program)(ProgramHandle);
    KernelHandle (*create_kernel)(ProgramHandle, const char *, Status *);
    Status (*set_argument)(KernelHandle, Unsigned index, std::size_t bytes, const void *);
    Status (*launch)(Queue, KernelHandle, Unsigned dimensions, const std::size_t *offset, const std::size_t *global,
                     const std::size_t *local, Unsigned events, const void *, void *);

    Driver() {
        library.get(platforms, "clGetPlatformIDs");
        library.get(devices, "clGetDeviceIDs");
        library.get(device_info, "clGetDeviceInfo");
        library.get(create_context, "clCreateContext");
        library.get(release_context, "clReleaseContext");
        library.get(create_queue, "clCreateCommandQueue");
        library.get(create_buffer, "clCreateBuffer");
        library.get(release_buffer, "clReleaseMemObject");
        library.get(write, "clEnqueueWriteBuffer");
        library.get(read, "clEnqueueReadBuffer");
        library.get(finish, "clFinish");
        library.get(create_program, "clCreateProgramWithSource");
        library.get(build_program, "clBuildProgram");
        library.get(build_info, "clGetProgramBuildInfo");
        library.get(release_program, "clReleaseProgram");
        library.get(create_kernel, "clCreateKernel");
        library.get(set_argument, "clSetKernelArg");
        library.get(launch, "clEnqueueNDRangeKernel");
    }
};

// Never closed: the drivers behind it have threads and exit handlers of their own.
const Driver &driver() {
    static const Driver &the_driver = *new Driver;
    return the_driver;
}

// Device 0 of the first platform with one of that kind, or nullptr.
DeviceHandle first_device(Flags kind) {
    std::array<Platform, 16> platforms = {};
    Unsigned count = 0;
    const Status status = driver().platforms(platforms.size(), platforms.data(), &count);
    if (status == no_platform) return nullptr;
    check("clGetPlatformIDs", status);
    for (Unsigned i = 0; i < std::min<Unsigned>(count, platforms.size()); i++) {
        DeviceHandle device = nullptr;
        const Status found = driver().devices(platforms[i], kind, 1, &device, nullptr);
        if (found == none_of_that_kind) continue;
        check("clGetDeviceIDs", found);
        return device;
    }
    return nullptr;
}

DeviceHandle device_to_use() {
    for (const Flags kind : {gpu_device, any_device}) {
        if (DeviceHandle device = first_device(kind)) return device;
    }
    throw TargetError("expected a device of OpenCL, found none; its drivers are listed in /etc/OpenCL/vendors");
}

template <typename Value>
Value info(DeviceHandle device, Unsigned what) {
    Value value = {};
    check("clGetDeviceInfo", driver().device_info(device, what, sizeof value, &value, nullptr));
    return value;
}

std::string device_name_of(DeviceHandle device) {
    std::size_t bytes = 0;
    check("clGetDeviceInfo", driver().device_info(device, device_name, 0, nullptr, &bytes));
    std::string name(bytes, '\0');
    check("clGetDeviceInfo", driver().device_info(device, device_name, bytes, name.data(), nullptr));
    return name.substr(0, name.find('\0'));
}

class OpenCLDevice final : public Device {
public:
    explicit OpenCLDevice(DeviceHandle device)
        : Device(device_name_of(device), static_cast<int>(info<Unsigned>(device, compute_units))),
          driver_(driver()),
          device_(device),
          options_(fmt::format("-D MAX_CONSTANT_BUFFER_SIZE={} -D MAX_CONSTANT_ARGS={}", info<std::uint64_t>(device, most_constant_bytes),
                               info<Unsigned>(device, most_constant_arguments))) {
        Status status = 0;
        context_ = driver_.create_context(nullptr, 1, &device_, nullptr, nullptr, &status);
        check("clCreateContext", status, "{}", name());
        queue_ = driver_.create_queue(context_, device_, 0, &status);
        if (status != 0) driver_.release_context(context_);
        check("clCreateCommandQueue", status, "{}", name());
    }

    std::string_view api() const override { return "opencl"; }

    Memory allocate(std::size_t bytes) override {
        if (bytes == 0) return 0;
        Status status = 0;
        Buffer buffer = driver_.create_buffer(context_, read_write, bytes, nullptr, &status);
        check("clCreateBuffer", status, "{} bytes on {}", bytes, name());
        return std::bit_cast<Memory>(buffer);
    }

    void free(Memory memory) noexcept override {
        if (memory != 0) driver_.release_buffer(buffer_of(memory));
    }

    Memory allocate_in_order(std::size_t bytes, Stream) override { return allocate(bytes); }

    // OpenCL itself keeps a buffer until the commands that use it have ended.
    void free_in_order(Memory memory, Stream) override {
        if (memory != 0) check("clReleaseMemObject", driver_.release_buffer(buffer_of(memory)));
    }

    void upload(Memory to, const void *from, std::size_t bytes, Stream) override {
        if (bytes == 0) return;
        check("clEnqueueWriteBuffer", driver_.write(queue_, buffer_of(to), enqueue_only, 0, bytes, from, 0, nullptr, nullptr),
              "{} bytes to {}", bytes, name());
    }

    void download(void *to, Memory from, std::size_t bytes, Stream) override {
        if (bytes == 0) return;
        check("clEnqueueReadBuffer", driver_.read(queue_, buffer_of(from), enqueue_only, 0, bytes, to, 0, nullptr, nullptr),
              "{} bytes from {}", bytes, name());
    }

    void synchronize(Stream) override { check("clFinish", driver_.finish(queue_)); }

    void load(const char *text, std::size_t bytes, const Compilation &) override {
        const std::lock_guard lock(mutex_);
        if (programs_.contains(text)) return;
        const std::size_t without_nul = bytes - 1;
        Status status = 0;
        ProgramHandle program = driver_.create_program(context_, 1, &text, &without_nul, &status);
        check("clCreateProgramWithSource", status);
        try {
            build(program);
            programs_[text].program = program;
        } catch (...) {
            driver_.release_program(program);
            throw;
        }
    }

    void launch(const Launch &launch, Stream) override {
        const Extent &grid = launch.grid, &block = launch.block;
        if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
        const std::array<std::size_t, 3> local = {block.x, block.y, block.z};
        const std::array<std::size_t, 3> global = {grid.x * local[0], grid.y * local[1], grid.z * local[2]};
        // A kernel keeps its arguments in itself until it is enqueued.
        const std::lock_guard lock(mutex_);
        KernelHandle kernel = kernel_for(launch);
        Unsigned index = 0;
        for (; index < launch.arguments.size(); index++) set(kernel, index, launch.sizes[index], launch.arguments[index], launch);
        // The last argument of every kernel is its shared memory, also where it needs none.
        set(kernel, index, std::max(launch.shared_bytes, 1u), nullptr, launch);
        check("clEnqueueNDRangeKernel", driver_.launch(queue_, kernel, 3, nullptr, global.data(), local.data(), 0, nullptr, nullptr),
              "{} on {}", launch.kernel, name());
    }

private:
    struct Program {
        ProgramHandle program = nullptr;
        std::map<std::string, KernelHandle, std::less<>> kernels;
    };

    static Buffer buffer_of(Memory memory) { return std::bit_cast<Buffer>(memory); }

    bool enter() const override { return false; }
    void leave() const noexcept override {}

    void build(ProgramHandle program) const {
        const Status status = driver_.build_program(program, 1, &device_, options_.c_str(), nullptr, nullptr);
        if (status == 0) return;
        std::size_t bytes = 0;
        std::string log;
        if (driver_.build_info(program, device_, build_log, 0, nullptr, &bytes) == 0) {
            log.resize(bytes);
            if (driver_.build_info(program, device_, build_log, bytes, log.data(), nullptr) != 0) log.clear();
        }
        check("clBuildProgram", status, "{} says: {}", name(), log.c_str());
    }

    void set(KernelHandle kernel, Unsigned index, std::size_t bytes, const void *value, const Launch &launch) const {
        check("clSetKernelArg", driver_.set_argument(kernel, index, bytes, value), "argument {} of {}, {} bytes", index, launch.kernel,
              bytes);
    }

    KernelHandle kernel_for(const Launch &launch) {
        const auto program = programs_.find(launch.program);
        if (program == programs_.end()) throw ExecutionError(fmt::format("{}: its program was never loaded on {}", launch.kernel, name()));
        auto &kernels = program->second.kernels;
        auto kernel = kernels.find(std::string_view(launch.kernel));
        if (kernel == kernels.end()) {
            Status status = 0;
            KernelHandle found = driver_.create_kernel(program->second.program, launch.kernel, &status);
            check("clCreateKernel", status, "{}", launch.kernel);
            kernel = kernels.emplace(launch.kernel, found).first;
        }
        return kernel->second;
    }

    const Driver &driver_;
    const DeviceHandle device_;
    const std::string options_;
    Context context_ = nullptr;
    Queue queue_ = nullptr;
    std::mutex mutex_;
    std::unordered_map<const char *, Program> programs_;
};

}  // namespace

Device &opencl_device() {
    // Never destroyed: at the end of the process the driver may be gone before it.
    static Device &device = *new OpenCLDevice(device_to_use());
    return device;
}

std::string opencl_device_name() { return device_name_of(device_to_use()); }

}  // namespace sepconv::gpu
