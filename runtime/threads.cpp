// A pool that hands out the indices of one job at a time. Nothing is allocated once a thread has started.
#include "threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace sepconv {
namespace {

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
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            task_ = task;
            context_ = context;
            count_ = count;
            next_ = 0;
            invited_ = std::min(threads - 1, static_cast<int>(workers_.size()));
            working_ = invited_;
            generation_++;
        }
        wake_.notify_all();
        take_indices();
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return working_ == 0; });
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
    // Has `count` workers at least, or as many as the system gives; false where there is none.
    bool start(int count) {
        try {
            while (static_cast<int>(workers_.size()) < count) {
                workers_.emplace_back(&Pool::work, this, static_cast<int>(workers_.size()));
            }
        } catch (const std::exception &) {
            return !workers_.empty();
        }
        return !workers_.empty();
    }

    void take_indices() {
        for (int i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) task_(context_, i);
    }

    void work(int index) {
        unsigned long seen = 0;
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return ending_ || (generation_ != seen && index < invited_); });
                if (ending_) return;
                seen = generation_;
            }
            take_indices();
            bool last = false;
            {
                const std::lock_guard<std::mutex> lock(mutex_);
                last = --working_ == 0;
            }
            if (last) done_.notify_one();
        }
    }

    std::mutex job_mutex_;  // held while a job runs
    std::mutex mutex_;      // guards what follows
    std::condition_variable wake_, done_;
    void (*task_)(void *, int) = nullptr;
    void *context_ = nullptr;
    int count_ = 0;
    std::atomic<int> next_ = 0;
    int invited_ = 0, working_ = 0;
    unsigned long generation_ = 0;
    bool ending_ = false;
    std::vector<std::thread> workers_;  // only the holder of job_mutex_ adds to it
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
