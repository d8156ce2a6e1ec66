// CUDA contexts as devices, through NVIDIA's driver. Its functions and the few numbers of its interface that are used stand here, so that
// no header of CUDA is needed to build; the suffixed names are the versions that every driver since CUDA 11 has.
#include <fmt/format.h>

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

using Status = int;
using Ordinal = int;
using Context = void *;
using Module = void *;
using Function = void *;
using Pool = void *;

constexpr Ordinal first_device = 0;

// Of CUdevice_attribute, CUfunction_attribute, CUmemPool_attribute and CUjit_option.
constexpr int multiprocessor_count = 16, capability_major = 75, capability_minor = 76, pools_supported = 115;
constexpr int dynamic_shared_bytes = 8;
constexpr int release_threshold = 4;
constexpr int max_registers = 0, error_log = 5, error_log_bytes = 6;

// CUmemPoolProps: memory of a device that is not shared with other processes.
struct PoolProperties {
    int allocation = 1;  // pinned, the only kind
    int handles = 0;
    int location = 1;  // a device, by its ordinal
    Ordinal ordinal = 0;
    void *security = nullptr;
    std::size_t most_bytes = 0;
    unsigned short usage = 0;
    unsigned char reserved[54] = {};
};
static_assert(sizeof(PoolProperties) == 88);

// What a context's pool keeps when nothing runs: room for the partial sums and intermediate tensors of usual layers, so that the next run
// does not ask the system for them again, and little of what a device has.
constexpr std::uint64_t kept_bytes = std::uint64_t{256} << 20;

// A kernel has so much shared memory without being asked for more.
constexpr unsigned usual_shared_bytes = 48 << 10;

// The least compute capability that the kernels are compiled for, as CUDA writes it without a point.
constexpr int least_capability = SEPCONV_CUDA_CAPABILITY;

struct Driver {
    Library library{"libcuda.so.1", "NVIDIA's driver"};

    Status (*init)(unsigned flags);
    Status (*error_name)(Status, const char **);
    Status (*error_string)(Status, const char **);
    Status (*device_count)(int *);
    Status (*device_name)(char *, int bytes, Ordinal);
    Status (*device_attribute)(int *, int attribute, Ordinal);
    Status (*retain_primary)(Context *, Ordinal);
    Status (*release_primary)(Ordinal);
    Status (*get_current)(Context *);
    Status (*push_current)(Context);
    Status (*pop_current)(Context *);
    Status (*context_device)(Ordinal *);
    Status (*context_id)(Context, unsigned long long *);
    Status (*allocate)(Memory *, std::size_t);
    Status (*free)(Memory);
    Status (*create_pool)(Pool *, const PoolProperties *);
    Status (*destroy_pool)(Pool);
    Status (*set_pool_attribute)(Pool, int attribute, void *value);
    Status (*allocate_in_order)(Memory *, std::size_t, Pool, void *stream);
    Status (*free_in_order)(Memory, void *stream);
    Status (*upload)(Memory, const void *, std::size_t, void *stream);
    Status (*download)(void *, Memory, std::size_t, void *stream);
    Status (*synchronize)(void *stream);
    Status (*load_module)(Module *, const void *, unsigned options, int *names, void **values);
    Status (*get_function)(Function *, Module, const char *);
    Status (*set_function_attribute)(Function, int attribute, int value);
    Status (*launch)(Function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                     unsigned shared_bytes, void *stream, void **arguments, void **extra);

    Driver() {
        library.get(init, "cuInit");
        library.get(error_name, "cuGetErrorName");
        library.get(error_string, "cuGetErrorString");
        library.get(device_count, "cuDeviceGetCount");
        library.get(device_name, "cuDeviceGetName");
        library.get(device_attribute, "cuDeviceGetAttribute");
        library.get(retain_primary, "cuDevicePrimaryCtxRetain");
        library.get(release_primary, "cuDevicePrimaryCtxRelease_v2");
        library.get(get_current, "cuCtxGetCurrent");
        library.get(push_current, "cuCtxPushCurrent_v2");
        library.get(pop_current, "cuCtxPopCurrent_v2");
        library.get(context_device, "cuCtxGetDevice");
        library.find(context_id, "cuCtxGetId");  // since CUDA 12
        library.get(allocate, "cuMemAlloc_v2");
        library.get(free, "cuMemFree_v2");
        library.find(create_pool, "cuMemPoolCreate");  // pools: since CUDA 11.2
        library.find(destroy_pool, "cuMemPoolDestroy");
        library.find(set_pool_attribute, "cuMemPoolSetAttribute");
        library.find(allocate_in_order, "cuMemAllocFromPoolAsync");
        library.find(free_in_order, "cuMemFreeAsync");
        library.get(upload, "cuMemcpyHtoDAsync_v2");
        library.get(download, "cuMemcpyDtoHAsync_v2");
        library.get(synchronize, "cuStreamSynchronize");
        library.get(load_module, "cuModuleLoadDataEx");
        library.get(get_function, "cuModuleGetFunction");
        library.get(set_function_attribute, "cuFuncSetAttribute");
        library.get(launch, "cuLaunchKernel");
        if (const Status status = init(0)) throw TargetError(failure("cuInit", status));
    }

    bool has_pools() const {
        return create_pool != nullptr && destroy_pool != nullptr && set_pool_attribute != nullptr && allocate_in_order != nullptr &&
               free_in_order != nullptr;
    }

    std::string failure(std::string_view call, Status status) const {
        const char *name = nullptr, *meaning = nullptr;
        if (error_name(status, &name) != 0 || name == nullptr) return fmt::format("{}: error {}", call, status);
        if (error_string(status, &meaning) != 0 || meaning == nullptr) return fmt::format("{}: {}", call, name);
        return fmt::format("{}: {} ({})", call, name, meaning);
    }

    void check(std::string_view call, Status status) const {
        if (status != 0) throw ExecutionError(failure(call, status));
    }

    template <typename... About>
    void check(std::string_view call, Status status, fmt::format_string<About...> about, About &&...values) const {
        if (status != 0) {
            throw ExecutionError(fmt::format("{}: {}", failure(call, status), fmt::format(about, std::forward<About>(values)...)));
        }
    }

    int attribute(int which, Ordinal ordinal) const {
        int value = 0;
        check("cuDeviceGetAttribute", device_attribute(&value, which, ordinal));
        return value;
    }

    std::string name(Ordinal ordinal) const {
        char name[256] = "";
        check("cuDeviceGetName", device_name(name, sizeof name, ordinal));
        return name;
    }

    // A device that is too old for the kernels is found here and not where the driver refuses their text.
    void check_capability(Ordinal ordinal) const {
        const int found = 10 * attribute(capability_major, ordinal) + attribute(capability_minor, ordinal);
        if (found < least_capability) {
            throw TargetError(fmt::format("{}: expected a device of compute capability {}.{} or later, found {}.{}", name(ordinal),
                                          least_capability / 10, least_capability % 10, found / 10, found % 10));
        }
    }
};

// Never closed: the driver's own threads and exit handlers do not end before the process.
const Driver &driver() {
    static const Driver &the_driver = *new Driver;
    return the_driver;
}

// A context for this long current on the calling thread.
class Pushed {
public:
    explicit Pushed(Context context) : driver_(driver()) { driver_.check("cuCtxPushCurrent_v2", driver_.push_current(context)); }
    ~Pushed() {
        Context popped = nullptr;
        driver_.pop_current(&popped);
    }
    Pushed(const Pushed &) = delete;
    Pushed &operator=(const Pushed &) = delete;

private:
    const Driver &driver_;
};

Pool make_pool(Ordinal ordinal) {
    PoolProperties properties;
    properties.ordinal = ordinal;
    Pool pool = nullptr;
    driver().check("cuMemPoolCreate", driver().create_pool(&pool, &properties));
    std::uint64_t bytes = kept_bytes;
    if (const Status status = driver().set_pool_attribute(pool, release_threshold, &bytes)) {
        driver().destroy_pool(pool);
        driver().check("cuMemPoolSetAttribute", status);
    }
    return pool;
}

class CudaDevice final : public Device {
public:
    CudaDevice(Context context, Ordinal ordinal)
        : Device(driver().name(ordinal), driver().attribute(multiprocessor_count, ordinal)),
          driver_(driver()),
          context_(context),
          pool_(driver_.has_pools() && driver_.attribute(pools_supported, ordinal) ? make_pool(ordinal) : nullptr) {}

    std::string_view api() const override { return "cuda"; }

    Memory allocate(std::size_t bytes) override {
        if (bytes == 0) return 0;
        const Current current(*this);
        Memory memory = 0;
        driver_.check("cuMemAlloc_v2", driver_.allocate(&memory, bytes), "{} bytes on {}", bytes, name());
        return memory;
    }

    void free(Memory memory) noexcept override {
        if (memory == 0) return;
        try {
            const Current current(*this);
            driver_.free(memory);
        } catch (...) {  // NOLINT(bugprone-empty-catch): the context is gone, and the memory with it
        }
    }

    Memory allocate_in_order(std::size_t bytes, Stream stream) override {
        if (pool_ == nullptr || bytes == 0) return allocate(bytes);
        const Current current(*this);
        Memory memory = 0;
        driver_.check("cuMemAllocFromPoolAsync", driver_.allocate_in_order(&memory, bytes, pool_, stream.handle), "{} bytes on {}", bytes,
                      name());
        return memory;
    }

    void free_in_order(Memory memory, Stream stream) override {
        if (memory == 0) return;
        const Current current(*this);
        if (pool_ != nullptr) return driver_.check("cuMemFreeAsync", driver_.free_in_order(memory, stream.handle));
        const Status waited = driver_.synchronize(stream.handle), freed = driver_.free(memory);
        driver_.check("cuStreamSynchronize", waited);
        driver_.check("cuMemFree_v2", freed);
    }

    void upload(Memory to, const void *from, std::size_t bytes, Stream stream) override {
        if (bytes == 0) return;
        const Current current(*this);
        driver_.check("cuMemcpyHtoDAsync_v2", driver_.upload(to, from, bytes, stream.handle), "{} bytes to {}", bytes, name());
    }

    void download(void *to, Memory from, std::size_t bytes, Stream stream) override {
        if (bytes == 0) return;
        const Current current(*this);
        driver_.check("cuMemcpyDtoHAsync_v2", driver_.download(to, from, bytes, stream.handle), "{} bytes from {}", bytes, name());
    }

    void synchronize(Stream stream) override {
        const Current current(*this);
        driver_.check("cuStreamSynchronize", driver_.synchronize(stream.handle));
    }

    void load(const char *text, std::size_t, const Compilation &how) override {
        const std::lock_guard lock(mutex_);
        if (programs_.contains(text)) return;
        const Current current(*this);
        char log[4096] = "";
        int options[] = {error_log, error_log_bytes, max_registers};
        void *values[] = {log, std::bit_cast<void *>(sizeof log), std::bit_cast<void *>(static_cast<std::intptr_t>(how.most_registers))};
        const unsigned count = std::size(options) - (how.most_registers > 0 ? 0 : 1);
        Module module = nullptr;
        driver_.check("cuModuleLoadDataEx", driver_.load_module(&module, text, count, options, values), "{} says: {}", name(), log);
        programs_[text].module = module;
    }

    void launch(const Launch &launch, Stream stream) override {
        const Extent &grid = launch.grid, &block = launch.block;
        if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
        const Current current(*this);
        driver_.check("cuLaunchKernel",
                      driver_.launch(function_for(launch), grid.x, grid.y, grid.z, block.x, block.y, block.z, launch.shared_bytes,
                                     stream.handle, const_cast<void **>(launch.arguments.data()), nullptr),
                      "{} on {}", launch.kernel, name());
    }

private:
    struct Kernel {
        Function function = nullptr;
        unsigned shared_bytes = usual_shared_bytes;
    };
    struct Program {
        Module module = nullptr;
        std::map<std::string, Kernel, std::less<>> kernels;
    };

    bool enter() const override {
        Context before = nullptr;
        driver_.check("cuCtxGetCurrent", driver_.get_current(&before));
        if (before == context_) return false;
        driver_.check("cuCtxPushCurrent_v2", driver_.push_current(context_));
        return true;
    }

    void leave() const noexcept override {
        Context popped = nullptr;
        driver_.pop_current(&popped);
    }

    Function function_for(const Launch &launch) {
        const std::lock_guard lock(mutex_);
        const auto program = programs_.find(launch.program);
        if (program == programs_.end()) throw ExecutionError(fmt::format("{}: its program was never loaded on {}", launch.kernel, name()));
        auto &kernels = program->second.kernels;
        auto kernel = kernels.find(std::string_view(launch.kernel));
        if (kernel == kernels.end()) {
            Kernel found;
            driver_.check("cuModuleGetFunction", driver_.get_function(&found.function, program->second.module, launch.kernel), "{}",
                          launch.kernel);
            kernel = kernels.emplace(launch.kernel, found).first;
        }
        if (launch.shared_bytes > kernel->second.shared_bytes) {
            driver_.check(
                "cuFuncSetAttribute",
                driver_.set_function_attribute(kernel->second.function, dynamic_shared_bytes, static_cast<int>(launch.shared_bytes)),
                "{} bytes of shared memory for {} on {}", launch.shared_bytes, launch.kernel, name());
            kernel->second.shared_bytes = launch.shared_bytes;
        }
        return kernel->second.function;
    }

    const Driver &driver_;
    const Context context_;
    const Pool pool_;
    std::mutex mutex_;
    std::unordered_map<const char *, Program> programs_;
};

// The devices that were asked for. Never destroyed, as their programs belong to contexts whose end nobody tells.
struct Devices {
    std::mutex mutex;
    std::map<std::pair<Context, unsigned long long>, std::unique_ptr<CudaDevice>> by_context;
    Context primary = nullptr;
};

Devices &devices() {
    static Devices &all = *new Devices;
    return all;
}

Device &device_of(Context context) {
    // A context may lie where another one was; only its id tells. Before CUDA 12 there is none.
    unsigned long long id = 0;
    if (driver().context_id != nullptr) driver().check("cuCtxGetId", driver().context_id(context, &id));
    std::unique_ptr<CudaDevice> &device = devices().by_context[{context, id}];
    if (device == nullptr) {
        const Pushed pushed(context);
        Ordinal ordinal = 0;
        driver().check("cuCtxGetDevice", driver().context_device(&ordinal));
        driver().check_capability(ordinal);
        device = std::make_unique<CudaDevice>(context, ordinal);
    }
    return *device;
}

}  // namespace

Device &current_cuda_device() {
    Context context = nullptr;
    driver().check("cuCtxGetCurrent", driver().get_current(&context));
    Devices &all = devices();
    const std::lock_guard lock(all.mutex);
    if (context != nullptr) return device_of(context);
    if (all.primary != nullptr) return device_of(all.primary);

    cuda_device_name();
    driver().check("cuDevicePrimaryCtxRetain", driver().retain_primary(&context, first_device));
    try {
        Device &device = device_of(context);
        all.primary = context;
        return device;
    } catch (...) {
        driver().release_primary(first_device);
        throw;
    }
}

std::string cuda_device_name() {
    int count = 0;
    driver().check("cuDeviceGetCount", driver().device_count(&count));
    if (count == 0) throw TargetError("expected a device of CUDA, found none");
    Context context = nullptr;
    driver().check("cuCtxGetCurrent", driver().get_current(&context));
    Ordinal ordinal = first_device;
    if (context != nullptr) driver().check("cuCtxGetDevice", driver().context_device(&ordinal));
    driver().check_capability(ordinal);
    return driver().name(ordinal);
}

}  // namespace sepconv::gpu
