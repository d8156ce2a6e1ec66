// A pool that hands out the indices of one job at a time. Nothing is allocated once a thread has started.
#include "threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace sepconv {
namespace {

// A waiting thread looks for this long before it sleeps: to wake it costs tens of microseconds, and in a network the next job is near.
constexpr std::chrono::microseconds patience{100};

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Looks until `there` is, or patience is over.
template <typename There>
bool spin_until(const There &there) {
    const auto end = std::chrono::steady_clock::now() + patience;
    do {
        for (int i = 0; i < 64; i++) {
            if (there()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    return there();
}

class Pool {
public:
    static Pool &instance() {
        static Pool pool;
        return pool;
    }

    void run(int threads, int count, void (*task)(void *, int), void *context) {
        std::unique_lock<std::mutex> job(job_mutex_, std::try_to_lock);
        if (!job.owns_lock() || !start(threads - 1)) {
            for (int i = 0; i < count; i++) task(context, i);
            return;
        }
        task_ = task;
        context_ = context;
        count_ = count;
        job_++;
        next_.store(0, std::memory_order_relaxed);
        const std::uint64_t invited = std::min<std::uint64_t>({static_cast<std::uint64_t>(threads - 1), workers_.size(), most_workers});
        state_.store(next_job(state_.load(std::memory_order_relaxed)) | open | invited << invited_shift, std::memory_order_seq_cst);
        if (sleeping_.load(std::memory_order_seq_cst) > 0) {
            {
                const std::lock_guard<std::mutex> lock(mutex_);
            }  // a worker that has looked and not yet slept holds it
            wake_.notify_all();
        }
        take_indices(0);
        // All indices are taken; workers that have not come yet need not, and the others finish theirs.
        state_.fetch_and(~open, std::memory_order_acq_rel);
        auto finished = [this] { return (state_.load(std::memory_order_acquire) & active_mask) == 0; };
        if (spin_until(finished)) return;
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, finished);
    }

    ~Pool() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ending_ = true;
        }
        wake_.notify_all();
        for (std::thread &worker : workers_) worker.join();
    }

private:
    // The state of the pool in one word: which job it is, whether workers may still join it, how many are invited, how many are at it.
    static constexpr std::uint64_t active_mask = 0x7fff, most_workers = 0x7fff;
    static constexpr int invited_shift = 15, job_shift = 31;
    static constexpr std::uint64_t open = std::uint64_t(1) << 30;
    static std::uint64_t job_of(std::uint64_t state) { return state >> job_shift; }
    static std::uint64_t next_job(std::uint64_t state) { return (job_of(state) + 1) << job_shift; }

    // Has `count` workers at least, or as many as the system gives; false where there is none.
    bool start(int count) {
        try {
            while (static_cast<int>(workers_.size()) < count) {
                while (claims_.size() < workers_.size() + 2) claims_.emplace_back(0);
                workers_.emplace_back(&Pool::work, this, static_cast<std::uint64_t>(workers_.size()));
            }
        } catch (const std::exception &) {
            return !workers_.empty();
        }
        return !workers_.empty();
    }

    // Each thread begins with an index of its own, the same in every job, so that what its core has in its caches is of use to the next:
    // the calling thread with 0, the workers with 1 and on. Then it takes what is left.
    void take_indices(int own) {
        if (own < count_ && claim(own)) task_(context_, own);
        for (int i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) {
            if (claim(i)) task_(context_, i);
        }
    }

    // False where another thread has taken the index already.
    bool claim(int index) {
        const auto at = static_cast<std::size_t>(index);
        return at >= claims_.size() || claims_[at].exchange(job_, std::memory_order_relaxed) != job_;
    }

    void work(std::uint64_t index) {
        std::uint64_t seen = 0;
        auto invited = [&](std::uint64_t state) { return index < ((state >> invited_shift) & most_workers); };
        auto called = [&](std::uint64_t state) { return (state & open) != 0 && job_of(state) != seen && invited(state); };
        auto waiting = [&] { return called(state_.load(std::memory_order_acquire)); };
        for (;;) {
            if (!spin_until([&] { return waiting() || ending_.load(std::memory_order_relaxed); })) {
                std::unique_lock<std::mutex> lock(mutex_);
                sleeping_.fetch_add(1, std::memory_order_seq_cst);
                // A job that is over when the thread is awake at last is a reason to look for the next one.
                const std::uint64_t last = job_of(state_.load(std::memory_order_seq_cst));
                wake_.wait(lock, [&] {
                    const std::uint64_t state = state_.load(std::memory_order_seq_cst);
                    return ending_ || called(state) || (job_of(state) != last && invited(state));
                });
                sleeping_.fetch_sub(1, std::memory_order_relaxed);
            }
            if (ending_) return;
            std::uint64_t state = state_.load(std::memory_order_acquire);
            while (called(state) && !state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) {
            }
            if (!called(state)) continue;
            seen = job_of(state);
            take_indices(static_cast<int>(index) + 1);
            state = state_.fetch_sub(1, std::memory_order_acq_rel);
            if ((state & active_mask) == 1 && (state & open) == 0) {
                {
                    const std::lock_guard<std::mutex> lock(mutex_);
                }  // a caller that has looked and not yet slept holds it
                done_.notify_one();
            }
        }
    }

    std::mutex job_mutex_;  // held while a job runs
    std::mutex mutex_;      // held by who goes to sleep
    std::condition_variable wake_, done_;
    std::atomic<std::uint64_t> state_ = 0;
    std::atomic<int> sleeping_ = 0, next_ = 0;
    std::atomic<bool> ending_ = false;
    // Written before the job is opened, read by those who joined it.
    void (*task_)(void *, int) = nullptr;
    void *context_ = nullptr;
    int count_ = 0;
    std::uint64_t job_ = 0;
    std::deque<std::atomic<std::uint64_t>> claims_;  // for each thread's own index the last job in which somebody took it
    std::vector<std::thread> workers_;               // only the holder of job_mutex_ adds to it
};

}  // namespace

void pool_parallel_for(int threads, int count, void (*task)(void *context, int index), void *context) {
    if (threads <= 1 || count <= 1) {
        for (int i = 0; i < count; i++) task(context, i);
        return;
    }
    Pool::instance().run(std::min(threads, count), count, task, context);
}

int machine_threads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

}  // namespace sepconv
