// Memory whose end, or whose beginning, meets a page that may not be touched: any access beside it ends the test program.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace sepconv {

enum class Guard { before, after };

class GuardedFloats {
public:
    GuardedFloats(std::int64_t count, Guard guard) {
        const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), bytes = static_cast<std::size_t>(count) * sizeof(float);
        const std::size_t inside = (bytes + page - 1) / page * page;
        size_ = inside + 2 * page;
        base_ = static_cast<char *>(mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (base_ == MAP_FAILED) throw std::bad_alloc();
        if (inside > 0 && mprotect(base_ + page, inside, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
        data_ = reinterpret_cast<float *>(base_ + page + (guard == Guard::after ? inside - bytes : 0));
    }
    GuardedFloats(GuardedFloats &&other) noexcept
        : base_(std::exchange(other.base_, nullptr)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    GuardedFloats &operator=(GuardedFloats &&) = delete;
    ~GuardedFloats() {
        if (base_ != nullptr) munmap(base_, size_);
    }

    float *data() { return data_; }
    const float *data() const { return data_; }

private:
    char *base_ = nullptr;
    float *data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace sepconv
