// What the tests of CUDA see of the driver that stands in for NVIDIA's (driver.cpp): everything that was called and what there is of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace sepconv::driver {

struct Context {
    int device = 0;
    unsigned long long id = 0;
};

struct Allocation {
    std::vector<unsigned char> bytes;
    const Context *context = nullptr;
    bool of_pool = false;
};

struct Module {
    const Context *context = nullptr;
    std::string text;
};

struct Function {
    const Module *module = nullptr;
    std::string name;
    std::vector<unsigned> sizes;  ///< of its parameters, by the PTX
    unsigned shared_bytes = 48 << 10;
};

struct Launch {
    std::string kernel;
    std::string program;  ///< the module's text
    const Context *context = nullptr;
    const void *stream = nullptr;
    std::vector<unsigned> grid, block;
    unsigned shared_bytes = 0;
    std::vector<unsigned> sizes;
    std::vector<std::uint64_t> arguments;
};

/// Read it while nobody else calls the driver.
struct State {
    std::mutex mutex;
    std::map<std::string, int> calls;  ///< by the function's name
    std::set<Context *> contexts;
    std::vector<Context *> destroyed;  ///< no new one comes to lie there
    std::map<int, Context *> primary;
    std::map<int, int> primary_uses;
    std::map<const void *, const Context *> streams;
    std::map<std::uint64_t, Allocation> memory;
    std::set<void *> pools;
    std::vector<Module *> modules;
    std::vector<Function *> functions;
    std::vector<Launch> launches;
    /// A graph is being captured: what CUDA refuses then is refused.
    bool capturing = false;
};

/// The name of the function of the library that returns its State *.
constexpr const char *state_function = "sepconv_driver_state";

// The environment that it heeds; each is read at every call.
//     SEPCONV_DRIVER_DEVICES     how many devices there are; 2
//     SEPCONV_DRIVER_CAPABILITY  their compute capability, or that of each: 75,80; 90
//     SEPCONV_DRIVER_POOLS       0: they have no memory pools
//     SEPCONV_DRIVER_FAIL        FUNCTION=ERROR,...: these functions return these errors

}  // namespace sepconv::driver
