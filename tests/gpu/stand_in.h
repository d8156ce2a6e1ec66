// The driver that stands in for CUDA's (driver/), as the tests call it that own its contexts and ask it what it has seen.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "driver.h"
#include "gpu/device.h"

namespace sepconv::gpu {

/// The stand-in, as whoever owns the contexts calls it.
class Driver {
public:
    template <typename... Arguments>
    int call(const char *function, Arguments... arguments) const {
        return reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, function))(arguments...);
    }
    driver::State &state() const { return *reinterpret_cast<driver::State *(*)()>(dlsym(library_, driver::state_function))(); }

    driver::Context *make_context(int ordinal) const {
        driver::Context *context = nullptr;
        call("cuInit", 0u);
        call("cuCtxCreate_v2", &context, 0u, ordinal);
        return context;
    }
    void destroy(driver::Context *context) const { call("cuCtxDestroy_v2", context); }
    void set_current(driver::Context *context) const { call("cuCtxSetCurrent", context); }
    driver::Context *current() const {
        driver::Context *context = nullptr;
        call("cuCtxGetCurrent", &context);
        return context;
    }
    Stream make_stream() const {
        Stream stream;
        call("cuStreamCreate", &stream.handle, 0u);
        return stream;
    }
    int calls(const std::string &function) const {
        const auto found = state().calls.find(function);
        return found == state().calls.end() ? 0 : found->second;
    }

private:
    void *const library_ = dlopen("libcuda.so.1", RTLD_NOW);
};

inline const Driver &stand_in() {
    static const Driver driver;
    return driver;
}

/// What the environment has for this long.
class Setting {
public:
    Setting(const char *variable, const std::string &value) : variable_(variable) { setenv(variable, value.c_str(), 1); }
    ~Setting() { unsetenv(variable_); }
    Setting(const Setting &) = delete;
    Setting &operator=(const Setting &) = delete;

private:
    const char *const variable_;
};

}  // namespace sepconv::gpu
