// A Vulkan device with one queue, in order, through whatever driver the Vulkan loader on this machine finds. Every call is submitted by
// itself, behind a barrier that makes it see what came before.
#define VK_NO_PROTOTYPES
#include <fmt/format.h>
#include <vulkan/vulkan_core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gpu/device.h"
#include "gpu/drivers.h"
#include "gpu/spirv.h"
#include "sepconv/error.h"

namespace sepconv::gpu {
namespace {

// What the functions of the table need of a device.
constexpr std::uint32_t least_threads = 128, least_shared_bytes = 32 * 1024, least_buffers = 5, most_buffers = 8;
// Where the driver does not tell; enough blocks for a device of middling size.
constexpr int guessed_multiprocessors = 16;
constexpr VkDeviceSize argument_bytes = 1024;                 // of a launch, all scalars together
constexpr VkDeviceSize most_spare_bytes = 256 * 1024 * 1024;  // of memory that is kept for what is allocated next

const char *name_of(VkResult result) {
    switch (result) {
        case VK_ERROR_OUT_OF_HOST_MEMORY:
            return "VK_ERROR_OUT_OF_HOST_MEMORY";
        case VK_ERROR_OUT_OF_DEVICE_MEMORY:
            return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
        case VK_ERROR_INITIALIZATION_FAILED:
            return "VK_ERROR_INITIALIZATION_FAILED";
        case VK_ERROR_DEVICE_LOST:
            return "VK_ERROR_DEVICE_LOST";
        case VK_ERROR_MEMORY_MAP_FAILED:
            return "VK_ERROR_MEMORY_MAP_FAILED";
        case VK_ERROR_EXTENSION_NOT_PRESENT:
            return "VK_ERROR_EXTENSION_NOT_PRESENT";
        case VK_ERROR_FEATURE_NOT_PRESENT:
            return "VK_ERROR_FEATURE_NOT_PRESENT";
        case VK_ERROR_INCOMPATIBLE_DRIVER:
            return "VK_ERROR_INCOMPATIBLE_DRIVER";
        case VK_ERROR_TOO_MANY_OBJECTS:
            return "VK_ERROR_TOO_MANY_OBJECTS";
        case VK_ERROR_OUT_OF_POOL_MEMORY:
            return "VK_ERROR_OUT_OF_POOL_MEMORY";
        case VK_ERROR_INVALID_SHADER_NV:
            return "VK_ERROR_INVALID_SHADER_NV";
        default:
            return nullptr;
    }
}

std::string failure(std::string_view call, VkResult result) {
    const char *name = name_of(result);
    return name != nullptr ? fmt::format("{}: {}", call, name) : fmt::format("{}: error {}", call, static_cast<int>(result));
}

void check(std::string_view call, VkResult result) {
    if (result != VK_SUCCESS) throw ExecutionError(failure(call, result));
}

template <typename... About>
void check(std::string_view call, VkResult result, fmt::format_string<About...> about, About &&...values) {
    if (result != VK_SUCCESS) {
        throw ExecutionError(fmt::format("{}: {}", failure(call, result), fmt::format(about, std::forward<About>(values)...)));
    }
}

// The loader, and one instance for the whole process.
struct Driver {
    Library library{"libvulkan.so.1", "Vulkan"};
    VkInstance instance = nullptr;

    PFN_vkGetInstanceProcAddr function_of;
    PFN_vkEnumeratePhysicalDevices devices;
    PFN_vkGetPhysicalDeviceProperties properties;
    PFN_vkGetPhysicalDeviceProperties2 more_properties;
    PFN_vkGetPhysicalDeviceFeatures features;
    PFN_vkGetPhysicalDeviceMemoryProperties memory;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties queue_families;
    PFN_vkEnumerateDeviceExtensionProperties extensions;
    PFN_vkCreateDevice create_device;
    PFN_vkGetDeviceProcAddr function_of_device;

    Driver() {
        library.get(function_of, "vkGetInstanceProcAddr");
        PFN_vkEnumerateInstanceVersion version = nullptr;
        PFN_vkCreateInstance create_instance = nullptr;
        find(version, "vkEnumerateInstanceVersion");
        find(create_instance, "vkCreateInstance");
        std::uint32_t found = VK_API_VERSION_1_0;
        if (version != nullptr) version(&found);
        if (found < VK_API_VERSION_1_1 || create_instance == nullptr) throw TargetError("expected Vulkan 1.1 or later, found 1.0");
        const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                               .pNext = nullptr,
                                               .pApplicationName = "sepconv",
                                               .applicationVersion = 0,
                                               .pEngineName = "sepconv",
                                               .engineVersion = 0,
                                               .apiVersion = VK_API_VERSION_1_1};
        VkInstanceCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
        info.pApplicationInfo = &application;
        const VkResult result = create_instance(&info, nullptr, &instance);
        if (result != VK_SUCCESS) {
            throw TargetError(fmt::format("expected a driver of Vulkan, found none ({})", failure("vkCreateInstance", result)));
        }
        get(devices, "vkEnumeratePhysicalDevices");
        get(properties, "vkGetPhysicalDeviceProperties");
        get(more_properties, "vkGetPhysicalDeviceProperties2");
        get(features, "vkGetPhysicalDeviceFeatures");
        get(memory, "vkGetPhysicalDeviceMemoryProperties");
        get(queue_families, "vkGetPhysicalDeviceQueueFamilyProperties");
        get(extensions, "vkEnumerateDeviceExtensionProperties");
        get(create_device, "vkCreateDevice");
        get(function_of_device, "vkGetDeviceProcAddr");
    }

private:
    template <typename Function>
    void find(Function &function, const char *name) const {
        function = reinterpret_cast<Function>(function_of(instance, name));
    }
    template <typename Function>
    void get(Function &function, const char *name) const {
        find(function, name);
        if (function == nullptr) throw TargetError(fmt::format("expected Vulkan's function {}, found none; a newer driver has it", name));
    }
};

// Never closed: the drivers behind it have threads and exit handlers of their own.
const Driver &driver() {
    static const Driver &the_driver = *new Driver;
    return the_driver;
}

std::optional<std::uint32_t> compute_family(VkPhysicalDevice device) {
    std::uint32_t count = 0;
    driver().queue_families(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    driver().queue_families(device, &count, families.data());
    for (std::uint32_t i = 0; i < count; i++) {
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) != 0) return i;
    }
    return std::nullopt;
}

VkPhysicalDeviceProperties properties_of(VkPhysicalDevice device) {
    VkPhysicalDeviceProperties properties;
    driver().properties(device, &properties);
    return properties;
}

bool has_extension(VkPhysicalDevice device, const char *name) {
    std::uint32_t count = 0;
    check("vkEnumerateDeviceExtensionProperties", driver().extensions(device, nullptr, &count, nullptr));
    std::vector<VkExtensionProperties> found(count);
    check("vkEnumerateDeviceExtensionProperties", driver().extensions(device, nullptr, &count, found.data()));
    return std::any_of(found.begin(), found.end(),
                       [&](const VkExtensionProperties &extension) { return std::strcmp(extension.extensionName, name) == 0; });
}

// What a device lacks; empty where it has everything.
std::string lacks(VkPhysicalDevice device) {
    const VkPhysicalDeviceProperties properties = properties_of(device);
    const VkPhysicalDeviceLimits &limits = properties.limits;
    VkPhysicalDeviceFeatures features;
    driver().features(device, &features);
    if (properties.apiVersion < VK_API_VERSION_1_1) return "no Vulkan 1.1";
    if (!compute_family(device)) return "no queue that computes";
    // Of sums that are the same in any order, and of divisions.
    if (features.shaderInt64 == VK_FALSE) return "no 64-bit integers";
    if (limits.maxComputeWorkGroupInvocations < least_threads) {
        return fmt::format("blocks of {} threads, not {}", limits.maxComputeWorkGroupInvocations, least_threads);
    }
    if (limits.maxComputeSharedMemorySize < least_shared_bytes) {
        return fmt::format("{} bytes of shared memory, not {}", limits.maxComputeSharedMemorySize, least_shared_bytes);
    }
    if (limits.maxPerStageDescriptorStorageBuffers < least_buffers) {
        return fmt::format("{} buffers for a kernel, not {}", limits.maxPerStageDescriptorStorageBuffers, least_buffers);
    }
    return {};
}

// The first GPU, else the first device of any kind.
VkPhysicalDevice device_to_use() {
    std::uint32_t count = 0;
    const VkResult result = driver().devices(driver().instance, &count, nullptr);
    if (result != VK_SUCCESS) throw TargetError(failure("vkEnumeratePhysicalDevices", result));
    std::vector<VkPhysicalDevice> devices(count);
    check("vkEnumeratePhysicalDevices", driver().devices(driver().instance, &count, devices.data()));
    VkPhysicalDevice other = nullptr;
    std::string unfit;
    for (VkPhysicalDevice device : devices) {
        const VkPhysicalDeviceProperties properties = properties_of(device);
        if (const std::string what = lacks(device); !what.empty()) {
            unfit += fmt::format("{}{}, which has {}", unfit.empty() ? "" : "; ", properties.deviceName, what);
            continue;
        }
        const bool is_gpu = properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ||
                            properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
        if (is_gpu) return device;
        if (other == nullptr) other = device;
    }
    if (other != nullptr) return other;
    throw TargetError(fmt::format("expected a device of Vulkan, found {}",
                                  unfit.empty() ? "none; its drivers are listed in /usr/share/vulkan/icd.d" : unfit));
}

int multiprocessors_of(VkPhysicalDevice device) {
    if (properties_of(device).deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU) {
        return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    }
    VkPhysicalDeviceProperties2 all = {};
    all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    if (has_extension(device, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) {
        VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia = {};
        nvidia.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV;
        all.pNext = &nvidia;
        driver().more_properties(device, &all);
        return std::max(1, static_cast<int>(nvidia.shaderSMCount));
    }
    if (has_extension(device, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME)) {
        VkPhysicalDeviceShaderCorePropertiesAMD amd = {};
        amd.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD;
        all.pNext = &amd;
        driver().more_properties(device, &all);
        return std::max(1, static_cast<int>(amd.shaderEngineCount * amd.shaderArraysPerEngineCount * amd.computeUnitsPerShaderArray));
    }
    return guessed_multiprocessors;
}

bool can_keep_special_values(VkPhysicalDevice device) {
    if (!has_extension(device, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME)) return false;
    VkPhysicalDeviceFloatControlsProperties controls = {};
    controls.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES;
    VkPhysicalDeviceProperties2 all = {};
    all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    all.pNext = &controls;
    driver().more_properties(device, &all);
    return controls.shaderSignedZeroInfNanPreserveFloat32 == VK_TRUE;
}

// The functions of a device, and the device.
struct Functions {
    VkDevice device = nullptr;

    PFN_vkGetDeviceQueue get_queue;
    PFN_vkQueueSubmit submit;
    PFN_vkWaitForFences wait_for_fences;
    PFN_vkGetFenceStatus fence_status;
    PFN_vkCreateFence create_fence;
    PFN_vkDestroyFence destroy_fence;
    PFN_vkResetFences reset_fences;
    PFN_vkCreateBuffer create_buffer;
    PFN_vkDestroyBuffer destroy_buffer;
    PFN_vkGetBufferMemoryRequirements memory_requirements;
    PFN_vkAllocateMemory allocate_memory;
    PFN_vkFreeMemory free_memory;
    PFN_vkBindBufferMemory bind_memory;
    PFN_vkMapMemory map_memory;
    PFN_vkCreateCommandPool create_command_pool;
    PFN_vkDestroyCommandPool destroy_command_pool;
    PFN_vkResetCommandPool reset_command_pool;
    PFN_vkAllocateCommandBuffers allocate_commands;
    PFN_vkBeginCommandBuffer begin;
    PFN_vkEndCommandBuffer end;
    PFN_vkCmdPipelineBarrier barrier;
    PFN_vkCmdCopyBuffer copy;
    PFN_vkCmdBindPipeline bind_pipeline;
    PFN_vkCmdBindDescriptorSets bind_descriptors;
    PFN_vkCmdDispatch dispatch;
    PFN_vkCmdDispatchBase dispatch_from;
    PFN_vkCreateDescriptorSetLayout create_set_layout;
    PFN_vkCreateDescriptorPool create_descriptor_pool;
    PFN_vkDestroyDescriptorPool destroy_descriptor_pool;
    PFN_vkResetDescriptorPool reset_descriptor_pool;
    PFN_vkAllocateDescriptorSets allocate_descriptors;
    PFN_vkUpdateDescriptorSets update_descriptors;
    PFN_vkCreatePipelineLayout create_pipeline_layout;
    PFN_vkCreateShaderModule create_module;
    PFN_vkDestroyShaderModule destroy_module;
    PFN_vkCreateComputePipelines create_pipelines;

    explicit Functions(VkDevice of) : device(of) {
        get(get_queue, "vkGetDeviceQueue");
        get(submit, "vkQueueSubmit");
        get(wait_for_fences, "vkWaitForFences");
        get(fence_status, "vkGetFenceStatus");
        get(create_fence, "vkCreateFence");
        get(destroy_fence, "vkDestroyFence");
        get(reset_fences, "vkResetFences");
        get(create_buffer, "vkCreateBuffer");
        get(destroy_buffer, "vkDestroyBuffer");
        get(memory_requirements, "vkGetBufferMemoryRequirements");
        get(allocate_memory, "vkAllocateMemory");
        get(free_memory, "vkFreeMemory");
        get(bind_memory, "vkBindBufferMemory");
        get(map_memory, "vkMapMemory");
        get(create_command_pool, "vkCreateCommandPool");
        get(destroy_command_pool, "vkDestroyCommandPool");
        get(reset_command_pool, "vkResetCommandPool");
        get(allocate_commands, "vkAllocateCommandBuffers");
        get(begin, "vkBeginCommandBuffer");
        get(end, "vkEndCommandBuffer");
        get(barrier, "vkCmdPipelineBarrier");
        get(copy, "vkCmdCopyBuffer");
        get(bind_pipeline, "vkCmdBindPipeline");
        get(bind_descriptors, "vkCmdBindDescriptorSets");
        get(dispatch, "vkCmdDispatch");
        get(dispatch_from, "vkCmdDispatchBase");
        get(create_set_layout, "vkCreateDescriptorSetLayout");
        get(create_descriptor_pool, "vkCreateDescriptorPool");
        get(destroy_descriptor_pool, "vkDestroyDescriptorPool");
        get(reset_descriptor_pool, "vkResetDescriptorPool");
        get(allocate_descriptors, "vkAllocateDescriptorSets");
        get(update_descriptors, "vkUpdateDescriptorSets");
        get(create_pipeline_layout, "vkCreatePipelineLayout");
        get(create_module, "vkCreateShaderModule");
        get(destroy_module, "vkDestroyShaderModule");
        get(create_pipelines, "vkCreateComputePipelines");
    }

private:
    template <typename Function>
    void get(Function &function, const char *name) const {
        function = reinterpret_cast<Function>(driver().function_of_device(device, name));
        if (function == nullptr) throw TargetError(fmt::format("expected Vulkan's function {}, found none; a newer driver has it", name));
    }
};

// A buffer with memory of its own. Where the host sees that memory, `mapped` is where; else nullptr.
struct Buffer {
    explicit Buffer(const Functions &vulkan) : vulkan(vulkan) {}
    ~Buffer() {
        vulkan.destroy_buffer(vulkan.device, buffer, nullptr);
        vulkan.free_memory(vulkan.device, memory, nullptr);
    }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    const Functions &vulkan;
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    VkDeviceSize bytes = 0;
    void *mapped = nullptr;
};

// One submission: its commands, what they use, and the fence that says when they have ended. Used again afterwards.
struct Work {
    explicit Work(const Functions &vulkan) : vulkan(vulkan) {}
    ~Work() {
        vulkan.destroy_fence(vulkan.device, fence, nullptr);
        vulkan.destroy_descriptor_pool(vulkan.device, descriptors, nullptr);
        vulkan.destroy_command_pool(vulkan.device, pool, nullptr);
    }
    Work(const Work &) = delete;
    Work &operator=(const Work &) = delete;

    const Functions &vulkan;
    VkCommandPool pool = VK_NULL_HANDLE;
    VkCommandBuffer commands = nullptr;
    VkDescriptorPool descriptors = VK_NULL_HANDLE;
    VkFence fence = VK_NULL_HANDLE;
    std::shared_ptr<Buffer> arguments;
    std::vector<std::shared_ptr<Buffer>> used;
};

class VulkanDevice final : public Device {
public:
    explicit VulkanDevice(VkPhysicalDevice device)
        : Device(properties_of(device).deviceName, multiprocessors_of(device)),
          limits_(properties_of(device).limits),
          keeps_special_values_(can_keep_special_values(device)),
          family_(compute_family(device).value_or(0)),
          vulkan_(make_device(device)) {
        driver().memory(device, &memory_);
        vulkan_.get_queue(vulkan_.device, family_, 0, &queue_);
    }

    std::string_view api() const override { return "vulkan"; }

    Memory allocate(std::size_t bytes) override {
        if (bytes == 0) return 0;
        const std::lock_guard lock(mutex_);
        return handed_out(make_buffer(bytes, on_device), bytes);
    }

    void free(Memory memory) noexcept override {
        const std::lock_guard lock(mutex_);
        allocations_.erase(memory);
    }

    Memory allocate_in_order(std::size_t bytes, Stream) override {
        if (bytes == 0) return 0;
        const std::lock_guard lock(mutex_);
        // All work is in one order, so that what was given back may still be in use by earlier work.
        const auto fits = [&](const std::shared_ptr<Buffer> &buffer) { return buffer->bytes >= bytes && buffer->bytes / 2 <= bytes; };
        const auto found = std::find_if(spare_.begin(), spare_.end(), fits);
        if (found == spare_.end()) return handed_out(make_buffer(bytes, on_device), bytes);
        std::shared_ptr<Buffer> buffer = std::move(*found);
        spare_.erase(found);
        spare_bytes_ -= buffer->bytes;
        return handed_out(std::move(buffer), bytes);
    }

    void free_in_order(Memory memory, Stream) override {
        if (memory == 0) return;
        const std::lock_guard lock(mutex_);
        std::shared_ptr<Buffer> buffer = allocation(memory).buffer;
        allocations_.erase(memory);
        spare_bytes_ += buffer->bytes;
        spare_.push_back(std::move(buffer));
        for (; spare_bytes_ > most_spare_bytes; spare_.pop_front()) spare_bytes_ -= spare_.front()->bytes;
    }

    void upload(Memory to, const void *from, std::size_t bytes, Stream) override {
        if (bytes == 0) return;
        const std::lock_guard lock(mutex_);
        collect();
        const std::shared_ptr<Buffer> target = allocation(to, bytes).buffer;
        // The list of allocations and this function have it, but no work.
        constexpr int unused = 2;
        if (target->mapped != nullptr && target.use_count() == unused) {
            std::memcpy(target->mapped, from, bytes);
            return;
        }
        const std::shared_ptr<Buffer> source = make_buffer(bytes, on_host);
        std::memcpy(source->mapped, from, bytes);
        const std::shared_ptr<Work> work = begin();
        copy(*work, source, target, bytes);
        submit(work);
    }

    void download(void *to, Memory from, std::size_t bytes, Stream) override {
        if (bytes == 0) return;
        std::unique_lock lock(mutex_);
        std::shared_ptr<Buffer> source = allocation(from, bytes).buffer;
        if (source->mapped == nullptr) {
            const std::shared_ptr<Buffer> host = make_buffer(bytes, on_host);
            const std::shared_ptr<Work> work = begin();
            copy(*work, source, host, bytes);
            submit(work);
            source = host;
        }
        wait(lock);
        std::memcpy(to, source->mapped, bytes);
    }

    void synchronize(Stream) override {
        std::unique_lock lock(mutex_);
        wait(lock);
    }

    void load(const char *text, std::size_t bytes, const Compilation &how) override {
        const std::lock_guard lock(mutex_);
        if (programs_.contains(text)) return;
        Program program;
        for (SpirvKernel &kernel : spirv_kernels(text, bytes)) {
            if (kernel.storage_buffers > std::min(limits_.maxPerStageDescriptorStorageBuffers, most_buffers) ||
                kernel.uniform_buffers > 1) {
                throw ExecutionError(fmt::format("{}: expected at most {} buffers on {}, found {}", kernel.name,
                                                 std::min(limits_.maxPerStageDescriptorStorageBuffers, most_buffers), name(),
                                                 kernel.storage_buffers));
            }
            std::string kernel_name = kernel.name;
            program.emplace(std::move(kernel_name), Kernel{std::move(kernel), how.is_exact, VK_NULL_HANDLE, VK_NULL_HANDLE, {}});
        }
        programs_.emplace(text, std::move(program));
    }

    void launch(const Launch &launch, Stream) override {
        const Extent &grid = launch.grid, &block = launch.block;
        const std::lock_guard lock(mutex_);
        collect();
        Kernel &kernel = kernel_for(launch);
        if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
        const bool in_rows = has_rows(grid);
        const std::uint32_t *most = limits_.maxComputeWorkGroupCount;
        if (!in_rows && (grid.x > most[0] || grid.y > most[1] || grid.z > most[2])) {
            throw ExecutionError(fmt::format("{}: expected at most {} x {} x {} blocks on {}, found {} x {} x {}", launch.kernel, most[0],
                                             most[1], most[2], name(), grid.x, grid.y, grid.z));
        }
        if (std::uint64_t{block.x} * block.y * block.z > limits_.maxComputeWorkGroupInvocations) {
            throw ExecutionError(fmt::format("{}: expected at most {} threads in a block on {}, found {} x {} x {}", launch.kernel,
                                             limits_.maxComputeWorkGroupInvocations, name(), block.x, block.y, block.z));
        }
        VkPipeline pipeline = pipeline_for(kernel, launch);
        const std::shared_ptr<Work> work = begin();
        VkDescriptorSet set = bind(*work, kernel, launch);
        vulkan_.bind_pipeline(work->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
        vulkan_.bind_descriptors(work->commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel.layout, 0, 1, &set, 0, nullptr);
        const unsigned rows = grid.x / spirv_blocks_in_row, rest = grid.x % spirv_blocks_in_row;
        if (!in_rows) {
            vulkan_.dispatch(work->commands, grid.x, grid.y, grid.z);
        } else {
            if (rows > 0) vulkan_.dispatch(work->commands, spirv_blocks_in_row, rows, 1);
            if (rest > 0) vulkan_.dispatch_from(work->commands, 0, rows, 0, rest, 1, 1);
        }
        submit(work);
    }

private:
    struct Allocation {
        std::shared_ptr<Buffer> buffer;
        VkDeviceSize bytes = 0;
    };
    struct Kernel {
        SpirvKernel spirv;
        bool is_exact = true;
        VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
        VkPipelineLayout layout = VK_NULL_HANDLE;
        std::map<std::pair<unsigned, bool>, VkPipeline> pipelines;  // by the bytes of shared memory, and whether blocks lie in rows
    };
    using Program = std::map<std::string, Kernel, std::less<>>;

    struct Place {
        VkMemoryPropertyFlags needed, wanted;
        VkBufferUsageFlags usage;
    };
    static bool has_rows(const Extent &grid) { return grid.y == 1 && grid.z == 1; }

    static constexpr VkBufferUsageFlags copied = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    static constexpr VkMemoryPropertyFlags host_sees = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    static constexpr Place on_device = {0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, copied | VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    static constexpr Place on_host = {host_sees, VK_MEMORY_PROPERTY_HOST_CACHED_BIT, copied};
    static constexpr Place of_arguments = {host_sees, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT};

    bool enter() const override { return false; }
    void leave() const noexcept override {}

    VkDevice make_device(VkPhysicalDevice physical) const {
        const float priority = 1;
        VkDeviceQueueCreateInfo queue = {};
        queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
        queue.queueFamilyIndex = family_;
        queue.queueCount = 1;
        queue.pQueuePriorities = &priority;
        VkPhysicalDeviceFeatures features = {};
        features.shaderInt64 = VK_TRUE;
        std::vector<const char *> extensions;
        if (keeps_special_values_) extensions.push_back(VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME);
        // A device that has this wants to be told that it is known to be no complete Vulkan.
        constexpr const char *portability = "VK_KHR_portability_subset";
        if (has_extension(physical, portability)) extensions.push_back(portability);
        VkDeviceCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
        info.queueCreateInfoCount = 1;
        info.pQueueCreateInfos = &queue;
        info.enabledExtensionCount = static_cast<std::uint32_t>(extensions.size());
        info.ppEnabledExtensionNames = extensions.data();
        info.pEnabledFeatures = &features;
        VkDevice device = nullptr;
        check("vkCreateDevice", driver().create_device(physical, &info, nullptr, &device), "{}", name());
        return device;
    }

    // The first type of memory that has all that is needed and wanted, else all that is needed.
    std::optional<std::uint32_t> memory_type(std::uint32_t allowed, const Place &place) const {
        for (const VkMemoryPropertyFlags flags : {place.needed | place.wanted, place.needed}) {
            for (std::uint32_t i = 0; i < memory_.memoryTypeCount; i++) {
                if ((allowed >> i & 1) != 0 && (memory_.memoryTypes[i].propertyFlags & flags) == flags) return i;
            }
        }
        return std::nullopt;
    }

    std::shared_ptr<Buffer> make_buffer(VkDeviceSize bytes, const Place &place) {
        auto made = std::make_shared<Buffer>(vulkan_);
        VkBufferCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
        info.size = bytes;
        info.usage = place.usage;
        info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
        check("vkCreateBuffer", vulkan_.create_buffer(vulkan_.device, &info, nullptr, &made->buffer), "{} bytes on {}", bytes, name());
        made->bytes = bytes;
        VkMemoryRequirements needs;
        vulkan_.memory_requirements(vulkan_.device, made->buffer, &needs);
        const std::optional<std::uint32_t> type = memory_type(needs.memoryTypeBits, place);
        if (!type) throw ExecutionError(fmt::format("{}: expected memory for buffers, found none", name()));
        VkMemoryAllocateInfo allocation = {};
        allocation.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
        allocation.allocationSize = needs.size;
        allocation.memoryTypeIndex = *type;
        VkResult result = vulkan_.allocate_memory(vulkan_.device, &allocation, nullptr, &made->memory);
        if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY && !spare_.empty()) {
            spare_.clear();
            spare_bytes_ = 0;
            result = vulkan_.allocate_memory(vulkan_.device, &allocation, nullptr, &made->memory);
        }
        check("vkAllocateMemory", result, "{} bytes on {}", bytes, name());
        check("vkBindBufferMemory", vulkan_.bind_memory(vulkan_.device, made->buffer, made->memory, 0));
        if ((memory_.memoryTypes[*type].propertyFlags & host_sees) == host_sees) {
            check("vkMapMemory", vulkan_.map_memory(vulkan_.device, made->memory, 0, VK_WHOLE_SIZE, 0, &made->mapped), "{} bytes on {}",
                  bytes, name());
        }
        return made;
    }

    Memory handed_out(std::shared_ptr<Buffer> buffer, VkDeviceSize bytes) {
        const Memory memory = ++last_memory_;
        allocations_.emplace(memory, Allocation{std::move(buffer), bytes});
        return memory;
    }

    const Allocation &allocation(Memory memory, VkDeviceSize bytes = 0) const {
        const auto found = allocations_.find(memory);
        if (found == allocations_.end()) throw ExecutionError(fmt::format("expected memory of {}, found some that is not", name()));
        if (found->second.bytes < bytes) {
            throw ExecutionError(fmt::format("expected {} bytes of memory of {}, found {}", bytes, name(), found->second.bytes));
        }
        return found->second;
    }

    std::shared_ptr<Work> make_work() {
        auto made = std::make_shared<Work>(vulkan_);
        VkCommandPoolCreateInfo pool = {};
        pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
        pool.queueFamilyIndex = family_;
        check("vkCreateCommandPool", vulkan_.create_command_pool(vulkan_.device, &pool, nullptr, &made->pool));
        VkCommandBufferAllocateInfo commands = {};
        commands.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
        commands.commandPool = made->pool;
        commands.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        commands.commandBufferCount = 1;
        check("vkAllocateCommandBuffers", vulkan_.allocate_commands(vulkan_.device, &commands, &made->commands));
        const std::array<VkDescriptorPoolSize, 2> sizes = {
            {{VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, 1}, {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, most_buffers}}};
        VkDescriptorPoolCreateInfo descriptors = {};
        descriptors.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
        descriptors.maxSets = 1;
        descriptors.poolSizeCount = static_cast<std::uint32_t>(sizes.size());
        descriptors.pPoolSizes = sizes.data();
        check("vkCreateDescriptorPool", vulkan_.create_descriptor_pool(vulkan_.device, &descriptors, nullptr, &made->descriptors));
        VkFenceCreateInfo fence = {};
        fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
        check("vkCreateFence", vulkan_.create_fence(vulkan_.device, &fence, nullptr, &made->fence));
        made->arguments = make_buffer(argument_bytes, of_arguments);
        return made;
    }

    // After all work so far, whose results are there then.
    std::shared_ptr<Work> begin() {
        std::shared_ptr<Work> work;
        // One that another thread still waits for is left to it.
        const auto found =
            std::find_if(ended_.begin(), ended_.end(), [](const std::shared_ptr<Work> &one) { return one.use_count() == 1; });
        if (found == ended_.end()) {
            work = make_work();
        } else {
            work = std::move(*found);
            ended_.erase(found);
            check("vkResetFences", vulkan_.reset_fences(vulkan_.device, 1, &work->fence));
            check("vkResetCommandPool", vulkan_.reset_command_pool(vulkan_.device, work->pool, 0));
            check("vkResetDescriptorPool", vulkan_.reset_descriptor_pool(vulkan_.device, work->descriptors, 0));
        }
        VkCommandBufferBeginInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
        info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
        check("vkBeginCommandBuffer", vulkan_.begin(work->commands, &info));
        constexpr VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
        constexpr VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
        barrier(*work, stages, writes, stages, writes | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT);
        return work;
    }

    void barrier(const Work &work, VkPipelineStageFlags from, VkAccessFlags written, VkPipelineStageFlags to, VkAccessFlags seen) const {
        VkMemoryBarrier memory = {};
        memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
        memory.srcAccessMask = written;
        memory.dstAccessMask = seen;
        vulkan_.barrier(work.commands, from, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
    }

    void copy(Work &work, const std::shared_ptr<Buffer> &from, const std::shared_ptr<Buffer> &to, VkDeviceSize bytes) const {
        const VkBufferCopy region = {.srcOffset = 0, .dstOffset = 0, .size = bytes};
        vulkan_.copy(work.commands, from->buffer, to->buffer, 1, &region);
        work.used = {from, to};
    }

    void submit(const std::shared_ptr<Work> &work) {
        // The host may read whatever it sees of the memory once the fence says that it may.
        barrier(*work, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
        check("vkEndCommandBuffer", vulkan_.end(work->commands));
        VkSubmitInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
        info.commandBufferCount = 1;
        info.pCommandBuffers = &work->commands;
        check("vkQueueSubmit", vulkan_.submit(queue_, 1, &info, work->fence), "{}", name());
        in_flight_.push_back(work);
    }

    // Gives back what work that has ended had in use.
    void collect() {
        while (!in_flight_.empty() && vulkan_.fence_status(vulkan_.device, in_flight_.front()->fence) == VK_SUCCESS) {
            in_flight_.front()->used.clear();
            ended_.push_back(std::move(in_flight_.front()));
            in_flight_.pop_front();
        }
    }

    // Other threads may go on meanwhile.
    void wait(std::unique_lock<std::mutex> &lock) {
        if (in_flight_.empty()) return;
        const std::shared_ptr<Work> last = in_flight_.back();
        lock.unlock();
        const VkResult result =
            vulkan_.wait_for_fences(vulkan_.device, 1, &last->fence, VK_TRUE, std::numeric_limits<std::uint64_t>::max());
        lock.lock();
        check("vkWaitForFences", result, "{}", name());
        collect();
    }

    Kernel &kernel_for(const Launch &launch) {
        const auto program = programs_.find(launch.program);
        if (program == programs_.end()) throw ExecutionError(fmt::format("{}: its program was never loaded on {}", launch.kernel, name()));
        const auto kernel = program->second.find(std::string_view(launch.kernel));
        if (kernel == program->second.end())
            throw ExecutionError(fmt::format("{}: its program on {} has no such kernel", launch.kernel, name()));
        return kernel->second;
    }

    VkPipeline pipeline_for(Kernel &kernel, const Launch &launch) {
        const SpirvKernel &spirv = kernel.spirv;
        const unsigned shared = spirv.shared_constant == 0 ? spirv.shared_bytes : std::max(launch.shared_bytes, spirv.shared_bytes);
        if (shared > limits_.maxComputeSharedMemorySize) {
            throw ExecutionError(fmt::format("{}: expected at most {} bytes of shared memory on {}, found {}", launch.kernel,
                                             limits_.maxComputeSharedMemorySize, name(), shared));
        }
        const bool in_rows = has_rows(launch.grid);
        if (const auto found = kernel.pipelines.find({shared, in_rows}); found != kernel.pipelines.end()) return found->second;
        make_layout(kernel);
        const std::vector<std::uint32_t> code = prepared_spirv(spirv.code, {in_rows, keeps_special_values_, kernel.is_exact});
        VkShaderModuleCreateInfo module_info = {};
        module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
        module_info.codeSize = code.size() * sizeof(std::uint32_t);
        module_info.pCode = code.data();
        VkShaderModule module = VK_NULL_HANDLE;
        check("vkCreateShaderModule", vulkan_.create_module(vulkan_.device, &module_info, nullptr, &module), "{}", launch.kernel);

        const std::uint32_t elements =
            spirv.shared_constant == 0 ? 0 : std::max(1u, (shared - spirv.shared_bytes) / spirv.shared_element_bytes);
        const VkSpecializationMapEntry entry = {.constantID = spirv.shared_constant, .offset = 0, .size = sizeof elements};
        const VkSpecializationInfo constants = {.mapEntryCount = 1, .pMapEntries = &entry, .dataSize = sizeof elements, .pData = &elements};
        const VkPipelineShaderStageCreateInfo stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                       .pNext = nullptr,
                                                       .flags = 0,
                                                       .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                       .module = module,
                                                       .pName = spirv.name.c_str(),
                                                       .pSpecializationInfo = spirv.shared_constant == 0 ? nullptr : &constants};
        const VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                                  .pNext = nullptr,
                                                  .flags = VK_PIPELINE_CREATE_DISPATCH_BASE_BIT,
                                                  .stage = stage,
                                                  .layout = kernel.layout,
                                                  .basePipelineHandle = VK_NULL_HANDLE,
                                                  .basePipelineIndex = -1};
        VkPipeline pipeline = VK_NULL_HANDLE;
        const VkResult result = vulkan_.create_pipelines(vulkan_.device, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline);
        vulkan_.destroy_module(vulkan_.device, module, nullptr);
        check("vkCreateComputePipelines", result, "{} on {}", launch.kernel, name());
        return kernel.pipelines.emplace(std::pair(shared, in_rows), pipeline).first->second;
    }

    void make_layout(Kernel &kernel) const {
        if (kernel.layout != VK_NULL_HANDLE) return;
        std::vector<VkDescriptorSetLayoutBinding> bindings;
        for (unsigned i = 0; i < kernel.spirv.uniform_buffers + kernel.spirv.storage_buffers; i++) {
            VkDescriptorSetLayoutBinding binding = {};
            binding.binding = i;
            binding.descriptorType =
                i < kernel.spirv.uniform_buffers ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
            binding.descriptorCount = 1;
            binding.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
            bindings.push_back(binding);
        }
        VkDescriptorSetLayoutCreateInfo set = {};
        set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
        set.bindingCount = static_cast<std::uint32_t>(bindings.size());
        set.pBindings = bindings.data();
        if (kernel.set_layout == VK_NULL_HANDLE) {
            check("vkCreateDescriptorSetLayout", vulkan_.create_set_layout(vulkan_.device, &set, nullptr, &kernel.set_layout));
        }
        VkPipelineLayoutCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
        info.setLayoutCount = 1;
        info.pSetLayouts = &kernel.set_layout;
        check("vkCreatePipelineLayout", vulkan_.create_pipeline_layout(vulkan_.device, &info, nullptr, &kernel.layout));
    }

    VkDescriptorSet bind(Work &work, const Kernel &kernel, const Launch &launch) const {
        VkDescriptorSetAllocateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
        info.descriptorPool = work.descriptors;
        info.descriptorSetCount = 1;
        info.pSetLayouts = &kernel.set_layout;
        VkDescriptorSet set = VK_NULL_HANDLE;
        check("vkAllocateDescriptorSets", vulkan_.allocate_descriptors(vulkan_.device, &info, &set));

        // The scalars lie one behind the other, the largest first, and what a later Halide adds for each buffer, its first element, is 0.
        auto *const scalars = static_cast<unsigned char *>(work.arguments->mapped);
        std::memset(scalars, 0, argument_bytes);
        VkDeviceSize used = 0;
        std::vector<VkDescriptorBufferInfo> buffers;
        if (kernel.spirv.uniform_buffers > 0) buffers.push_back({work.arguments->buffer, 0, argument_bytes});
        for (std::size_t i = 0; i < launch.arguments.size(); i++) {
            if (launch.is_buffer[i] == 0) {
                if (used + launch.sizes[i] > argument_bytes || used % launch.sizes[i] != 0) {
                    throw ExecutionError(fmt::format("{}: expected scalar arguments in the order of their sizes, {} bytes at most",
                                                     launch.kernel, argument_bytes));
                }
                std::memcpy(scalars + used, launch.arguments[i], launch.sizes[i]);
                used += launch.sizes[i];
                continue;
            }
            const Allocation &memory = allocation(*static_cast<const Memory *>(launch.arguments[i]));
            if (memory.bytes > limits_.maxStorageBufferRange) {
                throw ExecutionError(fmt::format("{}: expected tensors of at most {} bytes on {}, found one of {}", launch.kernel,
                                                 limits_.maxStorageBufferRange, name(), memory.bytes));
            }
            buffers.push_back({memory.buffer->buffer, 0, memory.bytes});
            work.used.push_back(memory.buffer);
        }
        if (buffers.size() != kernel.spirv.uniform_buffers + kernel.spirv.storage_buffers) {
            throw ExecutionError(
                fmt::format("{}: expected {} buffers, found {}", launch.kernel, kernel.spirv.storage_buffers, work.used.size()));
        }
        std::vector<VkWriteDescriptorSet> writes;
        for (std::uint32_t i = 0; i < buffers.size(); i++) {
            VkWriteDescriptorSet write = {};
            write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
            write.dstSet = set;
            write.dstBinding = i;
            write.descriptorCount = 1;
            write.descriptorType = i < kernel.spirv.uniform_buffers ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
            write.pBufferInfo = &buffers[i];
            writes.push_back(write);
        }
        vulkan_.update_descriptors(vulkan_.device, static_cast<std::uint32_t>(writes.size()), writes.data(), 0, nullptr);
        return set;
    }

    const VkPhysicalDeviceLimits limits_;
    const bool keeps_special_values_;
    const std::uint32_t family_;
    const Functions vulkan_;
    VkPhysicalDeviceMemoryProperties memory_ = {};
    VkQueue queue_ = nullptr;
    std::mutex mutex_;
    Memory last_memory_ = 0;
    std::unordered_map<Memory, Allocation> allocations_;
    std::deque<std::shared_ptr<Buffer>> spare_;
    VkDeviceSize spare_bytes_ = 0;
    std::deque<std::shared_ptr<Work>> in_flight_, ended_;
    std::unordered_map<const char *, Program> programs_;
};

}  // namespace

Device &vulkan_device() {
    // Never destroyed: at the end of the process the driver may be gone before it.
    static Device &device = *new VulkanDevice(device_to_use());
    return device;
}

std::string vulkan_device_name() { return properties_of(device_to_use()).deviceName; }

}  // namespace sepconv::gpu
