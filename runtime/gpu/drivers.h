// How the APIs are reached: libraries that are opened while the process runs, and functions taken from them by name.
#pragma once

#include <string>

namespace sepconv::gpu {

/// A shared library, open as long as this lives.
class Library {
public:
    /// @throws TargetError  where it cannot be opened.
    /// @param what  it is, for the message
    Library(const char *name, const char *what);
    ~Library();
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;

    /// Sets a pointer to a function.
    /// @throws TargetError  where the library has no such function.
    template <typename Function>
    void get(Function *&function, const char *name) const {
        function = reinterpret_cast<Function *>(get(name));
    }

    /// Sets a pointer to a function, to nullptr where the library has none.
    template <typename Function>
    void find(Function *&function, const char *name) const {
        function = reinterpret_cast<Function *>(find(name));
    }

private:
    void *get(const char *function) const;
    void *find(const char *function) const;

    const char *name_;
    void *handle_;
};

/// The name of the device that would be taken. Makes no context.
/// @throws TargetError  where the API has no device here that runs the kernels.
std::string cuda_device_name();
std::string opencl_device_name();
std::string vulkan_device_name();

}  // namespace sepconv::gpu
