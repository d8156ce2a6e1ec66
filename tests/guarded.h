// Memory between pages that may not be touched: any access beside it ends the test program.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace sepconv {

/// Which end of the values meets a forbidden page exactly. Where they do not fill whole pages, a canary fills the rest at the other.
enum class Guard { before, after };

/// `rows` runs of `length` values, each between forbidden pages of its own.
template <typename T>
class RowsBetweenPages {
public:
    RowsBetweenPages(std::int64_t rows, std::int64_t length, Guard guard) : rows_(static_cast<std::size_t>(rows)), length_(length) {
        const std::size_t bytes = static_cast<std::size_t>(length) * sizeof(T);
        page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        inside_ = (bytes + page_ - 1) / page_ * page_;
        size_ = rows_ * (inside_ + page_) + page_;
        void *const memory = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        base_ = static_cast<std::uint8_t *>(memory);
        offset_ = guard == Guard::after ? inside_ - bytes : 0;
        for (std::size_t i = 0; i < rows_ && inside_ > 0; i++) {
            if (mprotect(start(i), inside_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
            std::memset(start(i), canary, inside_);
        }
    }
    RowsBetweenPages(RowsBetweenPages &&other) noexcept
        : base_(std::exchange(other.base_, nullptr)),
          page_(other.page_),
          inside_(other.inside_),
          size_(other.size_),
          offset_(other.offset_),
          rows_(other.rows_),
          length_(other.length_) {}
    RowsBetweenPages &operator=(RowsBetweenPages &&) = delete;
    ~RowsBetweenPages() {
        if (base_ != nullptr) munmap(base_, size_);
    }

    T *row(std::int64_t index) const { return reinterpret_cast<T *>(start(static_cast<std::size_t>(index)) + offset_); }
    std::int64_t length() const { return length_; }
    /// Values from one row to the next.
    std::int64_t stride() const { return static_cast<std::int64_t>((inside_ + page_) / sizeof(T)); }

    /// Whether the rest of the pages still holds the canary.
    bool surroundings_untouched() const {
        const std::size_t end = offset_ + static_cast<std::size_t>(length_) * sizeof(T);
        for (std::size_t i = 0; i < rows_; i++) {
            for (std::size_t at = 0; at < inside_; at++) {
                if ((at < offset_ || at >= end) && start(i)[at] != canary) return false;
            }
        }
        return true;
    }

private:
    static constexpr std::uint8_t canary = 0xA5;
    std::uint8_t *start(std::size_t index) const { return base_ + page_ + index * (inside_ + page_); }

    std::uint8_t *base_ = nullptr;
    std::size_t page_ = 0, inside_ = 0, size_ = 0, offset_ = 0, rows_ = 0;
    std::int64_t length_ = 0;
};

using GuardedRows = RowsBetweenPages<float>;

/// One run of values between forbidden pages.
template <typename T>
class Guarded {
public:
    Guarded(std::int64_t count, Guard guard) : rows_(1, count, guard) {}
    Guarded(const std::vector<T> &values, Guard guard) : Guarded(static_cast<std::int64_t>(values.size()), guard) {
        if (!values.empty()) std::memcpy(data(), values.data(), values.size() * sizeof(T));
    }

    T *data() { return rows_.row(0); }
    const T *data() const { return rows_.row(0); }
    std::int64_t size() const { return rows_.length(); }
    std::vector<T> values() const { return {data(), data() + size()}; }
    bool surroundings_untouched() const { return rows_.surroundings_untouched(); }

private:
    RowsBetweenPages<T> rows_;
};

using GuardedFloats = Guarded<float>;

}  // namespace sepconv
