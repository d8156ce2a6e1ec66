// A driver of CUDA for the tests, which no GPU is needed for: it keeps the memory of its devices on the host, checks and records what is
// launched, and runs none of it. Like the real one it answers only where a context is current, and knows which context everything is of.
// With SEPCONV_OLD_DRIVER it lacks what came after CUDA 11.0.
#include "driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace {

using namespace sepconv::driver;

// Of CUresult.
enum Status {
    success = 0,
    invalid_value = 1,
    out_of_memory = 2,
    not_initialized = 3,
    no_device = 100,
    invalid_device = 101,
    invalid_context = 201,
    invalid_ptx = 218,
    invalid_handle = 400,
    not_found = 500,
    illegal_address = 700,
    not_supported = 801,
    capture_unsupported = 900,
};

State &state() {
    static State &the_state = *new State;
    return the_state;
}

bool initialized = false;
thread_local std::vector<Context *> current;

int number(const char *variable, int otherwise) {
    const char *text = std::getenv(variable);
    return text == nullptr ? otherwise : std::atoi(text);
}

// The last number of the list is that of all further devices.
int capability_of(int device) {
    const char *text = std::getenv("SEPCONV_DRIVER_CAPABILITY");
    std::istringstream list(text == nullptr ? "90" : text);
    std::string found;
    for (int i = 0; i <= device && std::getline(list, found, ','); i++) continue;
    return std::stoi(found);
}

int devices() { return number("SEPCONV_DRIVER_DEVICES", 2); }

// Counts the call; the error that it has to fail with, or 0.
int enter(const std::string &function) {
    const std::lock_guard lock(state().mutex);
    state().calls[function]++;
    const char *fail = std::getenv("SEPCONV_DRIVER_FAIL");
    std::istringstream failures(fail == nullptr ? "" : fail);
    for (std::string failure; std::getline(failures, failure, ',');) {
        if (failure.rfind(function + "=", 0) == 0) return std::stoi(failure.substr(function.size() + 1));
    }
    if (function != "cuInit" && !initialized) return not_initialized;
    const bool breaks_capture = function == "cuMemAlloc_v2" || function == "cuMemFree_v2" || function == "cuStreamSynchronize" ||
                                function == "cuModuleLoadDataEx" || function == "cuMemPoolCreate";
    return state().capturing && breaks_capture ? capture_unsupported : success;
}

Context *here() { return current.empty() ? nullptr : current.back(); }

// The default stream is of every context.
bool is_of(const void *stream, const Context *context) { return stream == nullptr || state().streams[stream] == context; }

bool is_module(const void *module) { return std::find(state().modules.begin(), state().modules.end(), module) != state().modules.end(); }

// The allocation with all of a range, or nullptr.
Allocation *around(std::uint64_t begin, std::size_t bytes) {
    auto after = state().memory.upper_bound(begin);
    if (after == state().memory.begin()) return nullptr;
    auto &[address, allocation] = *std::prev(after);
    return begin + bytes <= address + allocation.bytes.size() ? &allocation : nullptr;
}

int allocate(std::uint64_t *memory, std::size_t bytes, bool of_pool) {
    if (bytes == 0) return invalid_value;
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    Allocation allocation;
    allocation.bytes.resize(bytes);
    allocation.context = here();
    allocation.of_pool = of_pool;
    *memory = reinterpret_cast<std::uint64_t>(allocation.bytes.data());
    state().memory.emplace(*memory, std::move(allocation));
    return success;
}

int release(std::uint64_t memory) {
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    auto found = state().memory.find(memory);
    if (found == state().memory.end()) return invalid_value;
    if (found->second.context != here()) return invalid_context;
    state().memory.erase(found);
    return success;
}

int add_context(Context **context, int device) {
    const std::lock_guard lock(state().mutex);
    static unsigned long long ids = 0;
    *context = new Context{device, ++ids};
    state().contexts.insert(*context);
    return success;
}

}  // namespace

#define ENTER(function) \
    if (const int failed = enter(function)) return failed

extern "C" {
State *sepconv_driver_state() { return &state(); }

int cuInit(unsigned) {
    ENTER("cuInit");
    if (devices() == 0) return no_device;
    const std::lock_guard lock(state().mutex);
    initialized = true;
    return success;
}

int cuGetErrorName(int status, const char **name) {
    static const std::map<int, const char *> names = {{invalid_value, "CUDA_ERROR_INVALID_VALUE"},
                                                      {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                      {not_initialized, "CUDA_ERROR_NOT_INITIALIZED"},
                                                      {no_device, "CUDA_ERROR_NO_DEVICE"},
                                                      {invalid_device, "CUDA_ERROR_INVALID_DEVICE"},
                                                      {invalid_context, "CUDA_ERROR_INVALID_CONTEXT"},
                                                      {invalid_ptx, "CUDA_ERROR_INVALID_PTX"},
                                                      {invalid_handle, "CUDA_ERROR_INVALID_HANDLE"},
                                                      {not_found, "CUDA_ERROR_NOT_FOUND"},
                                                      {illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                                                      {capture_unsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    const auto found = names.find(status);
    *name = found == names.end() ? nullptr : found->second;
    return found == names.end() ? invalid_value : success;
}

int cuGetErrorString(int, const char **text) {
    *text = "as the stand-in has it";
    return success;
}

int cuDeviceGetCount(int *count) {
    ENTER("cuDeviceGetCount");
    *count = devices();
    return success;
}

int cuDeviceGetName(char *name, int bytes, int device) {
    ENTER("cuDeviceGetName");
    if (device >= devices()) return invalid_device;
    std::strncpy(name, ("Stand-in " + std::to_string(device)).c_str(), static_cast<std::size_t>(bytes));
    return success;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER("cuDeviceGetAttribute");
    if (device >= devices()) return invalid_device;
    const int capability = capability_of(device);
    switch (attribute) {
        case 16:
            *value = 132;
            return success;
        case 75:
            *value = capability / 10;
            return success;
        case 76:
            *value = capability % 10;
            return success;
        case 115:
            *value = number("SEPCONV_DRIVER_POOLS", 1);
            return success;
        default:
            return invalid_value;
    }
}

int cuCtxCreate_v2(Context **context, unsigned, int device) {
    ENTER("cuCtxCreate_v2");
    add_context(context, device);
    current.push_back(*context);
    return success;
}

int cuCtxDestroy_v2(Context *context) {
    ENTER("cuCtxDestroy_v2");
    if (here() == context) current.pop_back();
    const std::lock_guard lock(state().mutex);
    std::erase_if(state().memory, [&](const auto &entry) { return entry.second.context == context; });
    std::erase_if(state().modules, [&](const Module *module) { return module->context == context; });
    if (state().contexts.erase(context) == 0) return invalid_context;
    state().destroyed.push_back(context);
    return success;
}

int cuDevicePrimaryCtxRetain(Context **context, int device) {
    ENTER("cuDevicePrimaryCtxRetain");
    if (device >= devices()) return invalid_device;
    if (state().primary[device] == nullptr) add_context(&state().primary[device], device);
    state().primary_uses[device]++;
    *context = state().primary[device];
    return success;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER("cuDevicePrimaryCtxRelease_v2");
    state().primary_uses[device]--;
    return success;
}

int cuCtxGetCurrent(Context **context) {
    ENTER("cuCtxGetCurrent");
    *context = here();
    return success;
}

int cuCtxSetCurrent(Context *context) {
    ENTER("cuCtxSetCurrent");
    if (!current.empty()) current.pop_back();
    if (context != nullptr) current.push_back(context);
    return success;
}

int cuCtxPushCurrent_v2(Context *context) {
    ENTER("cuCtxPushCurrent_v2");
    const std::lock_guard lock(state().mutex);
    if (state().contexts.count(context) == 0) return invalid_context;
    current.push_back(context);
    return success;
}

int cuCtxPopCurrent_v2(Context **context) {
    ENTER("cuCtxPopCurrent_v2");
    if (current.empty()) return invalid_context;
    *context = current.back();
    current.pop_back();
    return success;
}

int cuCtxGetDevice(int *device) {
    ENTER("cuCtxGetDevice");
    if (here() == nullptr) return invalid_context;
    *device = here()->device;
    return success;
}

#ifndef SEPCONV_OLD_DRIVER
int cuCtxGetId(Context *context, unsigned long long *id) {
    ENTER("cuCtxGetId");
    *id = context->id;
    return success;
}
#endif

int cuMemAlloc_v2(std::uint64_t *memory, std::size_t bytes) {
    ENTER("cuMemAlloc_v2");
    return allocate(memory, bytes, false);
}

int cuMemFree_v2(std::uint64_t memory) {
    ENTER("cuMemFree_v2");
    return release(memory);
}

#ifndef SEPCONV_OLD_DRIVER
int cuMemPoolCreate(void **pool, const void *) {
    ENTER("cuMemPoolCreate");
    if (number("SEPCONV_DRIVER_POOLS", 1) == 0) return not_supported;
    const std::lock_guard lock(state().mutex);
    *pool = new char;
    state().pools.insert(*pool);
    return success;
}

int cuMemPoolDestroy(void *pool) {
    ENTER("cuMemPoolDestroy");
    const std::lock_guard lock(state().mutex);
    if (state().pools.erase(pool) == 0) return invalid_value;
    delete static_cast<char *>(pool);
    return success;
}

int cuMemPoolSetAttribute(void *pool, int attribute, void *) {
    ENTER("cuMemPoolSetAttribute");
    const std::lock_guard lock(state().mutex);
    return state().pools.count(pool) == 1 && attribute == 4 ? success : invalid_value;
}

int cuMemAllocFromPoolAsync(std::uint64_t *memory, std::size_t bytes, void *pool, void *stream) {
    ENTER("cuMemAllocFromPoolAsync");
    {
        const std::lock_guard lock(state().mutex);
        if (state().pools.count(pool) == 0 || !is_of(stream, here())) return invalid_handle;
    }
    return allocate(memory, bytes, true);
}

int cuMemFreeAsync(std::uint64_t memory, void *stream) {
    ENTER("cuMemFreeAsync");
    {
        const std::lock_guard lock(state().mutex);
        if (!is_of(stream, here())) return invalid_handle;
    }
    return release(memory);
}
#endif

int cuMemcpyHtoDAsync_v2(std::uint64_t to, const void *from, std::size_t bytes, void *stream) {
    ENTER("cuMemcpyHtoDAsync_v2");
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    if (!is_of(stream, here())) return invalid_handle;
    if (around(to, bytes) == nullptr) return invalid_value;
    std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return success;
}

int cuMemcpyDtoHAsync_v2(void *to, std::uint64_t from, std::size_t bytes, void *stream) {
    ENTER("cuMemcpyDtoHAsync_v2");
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    if (!is_of(stream, here())) return invalid_handle;
    if (around(from, bytes) == nullptr) return invalid_value;
    std::memcpy(to, reinterpret_cast<const void *>(from), bytes);
    return success;
}

int cuStreamCreate(void **stream, unsigned) {
    ENTER("cuStreamCreate");
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    *stream = new char;
    state().streams[*stream] = here();
    return success;
}

int cuStreamSynchronize(void *stream) {
    ENTER("cuStreamSynchronize");
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    return is_of(stream, here()) ? success : invalid_handle;
}

int cuModuleLoadDataEx(void **module, const void *text, unsigned options, int *names, void **values) {
    const int failed = enter("cuModuleLoadDataEx");
    if (here() == nullptr) return invalid_context;
    const std::lock_guard lock(state().mutex);
    const char *ptx = static_cast<const char *>(text);
    if (failed == success && std::strstr(ptx, ".version") != nullptr) {
        auto *added = new Module{here(), ptx};
        state().modules.push_back(added);
        *module = added;
        return success;
    }
    char *log = nullptr;
    std::size_t bytes = 0;
    for (unsigned i = 0; i < options; i++) {
        if (names[i] == 5) log = static_cast<char *>(values[i]);
        if (names[i] == 6) bytes = reinterpret_cast<std::size_t>(values[i]);
    }
    if (log != nullptr) std::strncpy(log, "ptxas: line 1: no .version", bytes);
    return failed == success ? invalid_ptx : failed;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    ENTER("cuModuleGetFunction");
    const std::lock_guard lock(state().mutex);
    if (!is_module(module)) return invalid_handle;
    const auto *of = static_cast<const Module *>(module);
    const std::size_t entry = of->text.find(std::string(".entry ") + name + "(");
    if (entry == std::string::npos) return not_found;
    auto *added = new Function{of, name, {}};
    const std::string parameters = of->text.substr(entry, of->text.find(')', entry) - entry);
    // Such as `.param .u32 NAME`.
    const std::string form = ".param .";
    for (std::size_t at = parameters.find(form); at != std::string::npos; at = parameters.find(form, at + 1)) {
        added->sizes.push_back(static_cast<unsigned>(std::stoi(parameters.substr(at + form.size() + 1))) / 8);
    }
    state().functions.push_back(added);
    *function = added;
    return success;
}

int cuFuncSetAttribute(void *function, int attribute, int value) {
    ENTER("cuFuncSetAttribute");
    const std::lock_guard lock(state().mutex);
    if (attribute != 8) return invalid_value;
    static_cast<Function *>(function)->shared_bytes = static_cast<unsigned>(value);
    return success;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned shared_bytes, void *stream, void **arguments, void **) {
    ENTER("cuLaunchKernel");
    const std::lock_guard lock(state().mutex);
    const auto *kernel = static_cast<const Function *>(function);
    if (here() == nullptr || !is_module(kernel->module) || kernel->module->context != here()) return invalid_context;
    if (!is_of(stream, here())) return invalid_handle;
    if (grid_x * grid_y * grid_z == 0 || block_x * block_y * block_z == 0 || shared_bytes > kernel->shared_bytes) return invalid_value;
    Launch launch{kernel->name, kernel->module->text, here(), stream, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z},
                  shared_bytes, kernel->sizes,        {}};
    for (std::size_t i = 0; i < kernel->sizes.size(); i++) {
        std::uint64_t value = 0;
        std::memcpy(&value, arguments[i], kernel->sizes[i]);
        launch.arguments.push_back(value);
        // Of the generated kernels the pointers alone have eight bytes.
        if (kernel->sizes[i] != 8) continue;
        const Allocation *allocation = around(value, 1);
        if (allocation == nullptr || allocation->context != here()) return illegal_address;
    }
    state().launches.push_back(launch);
    return success;
}

}  // extern "C"
