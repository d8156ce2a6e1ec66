// What the APIs share: the devices' ids, the libraries that are loaded, and the question whether an API is to be had.
#include "gpu/device.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "gpu/drivers.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last = 0;
    return ++last;
}

struct Found {
    std::string_view api;
    Device &(*device)();
    std::string (*device_name)();
};

constexpr Found all[] = {
    {"cuda", &current_cuda_device, &cuda_device_name},
    {"opencl", &opencl_device, &opencl_device_name},
#ifdef SEPCONV_VULKAN
    {"vulkan", &vulkan_device, &vulkan_device_name},
#endif
};

const Found &found(std::string_view api) {
    std::string names;
    for (const Found &one : all) {
        if (one.api == api) return one;
        names += fmt::format("{}{}", names.empty() ? "" : ", ", one.api);
    }
    throw TargetError(fmt::format("expected one of {}, found {}", names, api));
}

}  // namespace

Device::Device(std::string name, int multiprocessors) : name_(std::move(name)), multiprocessors_(multiprocessors), id_(next_id()) {}

Library::Library(const char *name, const char *what) : name_(name), handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ != nullptr) return;
    // The loader's own words name the file and say what is wrong with it; they are of this thread.
    throw TargetError(fmt::format("expected {}, found none ({})", what, dlerror()));  // NOLINT(concurrency-mt-unsafe)
}

Library::~Library() {
    if (handle_ != nullptr) dlclose(handle_);
}

void *Library::find(const char *function) const { return dlsym(handle_, function); }

void *Library::get(const char *function) const {
    void *found = find(function);
    if (found == nullptr)
        throw TargetError(fmt::format("{}: expected the function {}, found none; a newer driver has it", name_, function));
    return found;
}

Device &device_of(std::string_view api) { return found(api).device(); }

std::string device_name(std::string_view api) { return found(api).device_name(); }

std::optional<std::string> why_not(std::string_view api) {
    try {
        device_name(api);
        return std::nullopt;
    } catch (const Error &error) {
        return error.what();
    }
}

}  // namespace sepconv::gpu
