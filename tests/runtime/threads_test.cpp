// Layers from several threads at once, and every way that a run can get its threads. Meant to be run under ThreadSanitizer too.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "closeness.h"
#include "random_layer.h"
#include "threads.h"

namespace sepconv {
namespace {

using namespace testing_layers;

constexpr Execution one_thread = {.threads = 1, .executor = nullptr};

LayerConfig plain(DataFormat format, const Activation &activation = default_activation(ActivationKind::relu)) {
    LayerConfig config;
    config.data_format = format;
    config.filters = 48;
    config.padding = Padding::same;
    config.activation = activation;
    return config;
}

// Calls work(index) on `count` threads, which begin together.
template <typename Work>
void on_threads(int count, const Work &work) {
    std::atomic<int> waiting = count;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; i++) {
        threads.emplace_back([&, i] {
            waiting--;
            while (waiting > 0) std::this_thread::yield();
            work(i);
        });
    }
    for (std::thread &thread : threads) thread.join();
}

TEST(Threads, OneLayerRunsOnEightThreadsWithDifferentShapes) {
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        const Activation softmax = default_activation(ActivationKind::softmax);
        std::vector<RandomLayer> images;
        std::vector<std::vector<float>> expected;
        for (int i = 0; i < 8; i++) images.push_back(filled(plain(format, softmax), 1, 20 + 3 * i, 31 + i, 40));
        const Layer layer(images[0].config, images[0].weights());
        for (const RandomLayer &image : images) expected.push_back(image.run(layer, one_thread));
        std::atomic<int> wrong = 0;
        on_threads(8, [&](int index) {
            for (int repeat = 0; repeat < 12; repeat++) {
                const int i = (index + repeat) % 8;
                wrong += !same_bits(images[i].run(layer, {.threads = 1 + repeat % 3, .executor = nullptr}), expected[i]);
            }
        });
        EXPECT_EQ(wrong, 0);
    }
}

TEST(Threads, SeveralLayersAreMadeRunAndDestroyedAtOnce) {
    const std::uint64_t seed = base_seed();
    std::vector<RandomLayer> layers;
    std::vector<std::vector<float>> expected;
    for (int i = 0; i < 8; i++) {
        layers.push_back(random_layer(seed + i));
        expected.push_back(layers[i].run(Layer(layers[i].config, layers[i].weights()), one_thread));
    }
    std::atomic<int> wrong = 0;
    on_threads(8, [&](int index) {
        for (int repeat = 0; repeat < 8; repeat++) {
            const int i = (index + repeat) % 8;
            const Layer layer(layers[i].config, layers[i].weights());
            wrong += !same_bits(layers[i].run(layer), expected[i]);
        }
    });
    EXPECT_EQ(wrong, 0) << "seed " << seed;
}

TEST(Threads, ACopyMayOutliveTheLayerOnAnotherThread) {
    const RandomLayer one = filled(plain(DataFormat::channels_last), 1, 30, 30, 32);
    auto layer = std::make_unique<Layer>(one.config, one.weights());
    const std::vector<float> expected = one.run(*layer, one_thread);
    std::vector<float> found;
    std::thread thread([&found, &one, copy = *layer] { found = one.run(copy); });
    layer.reset();
    thread.join();
    EXPECT_TRUE(same_bits(found, expected));
}

// Runs every task on a thread of its own.
class OwnThreads : public Executor {
public:
    int concurrency() const override { return 4; }
    void parallel_for(int count, void (*task)(void *context, int index), void *context) override {
        calls_++;
        std::vector<std::thread> threads;
        for (int i = 0; i < count; i++) threads.emplace_back(task, context, i);
        for (std::thread &thread : threads) thread.join();
    }
    int calls() const { return calls_; }

private:
    std::atomic<int> calls_ = 0;
};

TEST(Threads, AnExecutorMayRunTasksOnItsOwnThreads) {
    for (const DataFormat format : {DataFormat::channels_last, DataFormat::channels_first}) {
        const RandomLayer one = filled(plain(format), 2, 40, 40, 32);
        const Layer layer(one.config, one.weights());
        OwnThreads executor;
        EXPECT_TRUE(same_bits(one.run(layer, {.threads = 0, .executor = &executor}), one.run(layer, one_thread)));
        EXPECT_EQ(executor.calls(), 1);
    }
}

// Runs another layer on the calling thread while its own threads have the tasks, as a pool does whose waiting threads take other work.
class Nested : public Executor {
public:
    Nested(const RandomLayer &inner, const Layer &layer) : inner_(inner), layer_(layer) {}
    int concurrency() const override { return 2; }
    void parallel_for(int count, void (*task)(void *context, int index), void *context) override {
        std::vector<std::thread> threads;
        for (int i = 0; i < count; i++) threads.emplace_back(task, context, i);
        results.push_back(inner_.run(layer_, one_thread));
        for (std::thread &thread : threads) thread.join();
    }
    std::vector<std::vector<float>> results;

private:
    const RandomLayer &inner_;
    const Layer &layer_;
};

TEST(Threads, ARunMayBeStartedOnAThreadWhereAnotherWaitsForItsTasks) {
    const RandomLayer around = filled(plain(DataFormat::channels_last), 1, 150, 150, 32);
    const RandomLayer between = filled(plain(DataFormat::channels_first), 1, 60, 60, 32);
    const Layer around_layer(around.config, around.weights()), between_layer(between.config, between.weights());
    const std::vector<float> expected = around.run(around_layer, one_thread), expected_between = between.run(between_layer, one_thread);
    Nested executor(between, between_layer);
    for (int repeat = 0; repeat < 20; repeat++) {
        EXPECT_TRUE(same_bits(around.run(around_layer, {.threads = 0, .executor = &executor}), expected));
    }
    for (const std::vector<float> &result : executor.results) EXPECT_TRUE(same_bits(result, expected_between));
}

// Never has room for more than one task, and says so with a number that makes no sense.
class Modest : public Executor {
public:
    int concurrency() const override { return 0; }
    void parallel_for(int count, void (*task)(void *context, int index), void *context) override {
        for (int i = 0; i < count; i++) task(context, i);
    }
};

TEST(Threads, AnExecutorWithoutConcurrencyStillGetsTheWorkDone) {
    const RandomLayer one = filled(plain(DataFormat::channels_last), 1, 40, 40, 32);
    const Layer layer(one.config, one.weights());
    Modest executor;
    EXPECT_TRUE(same_bits(one.run(layer, {.threads = 0, .executor = &executor}), one.run(layer, one_thread)));
}

TEST(Threads, AThousandThreadsAreTheSameAsOne) {
    const RandomLayer one = filled(plain(DataFormat::channels_last), 1, 64, 64, 32);
    const Layer layer(one.config, one.weights());
    EXPECT_TRUE(same_bits(one.run(layer, {.threads = 1000, .executor = nullptr}), one.run(layer, one_thread)));
}

TEST(Threads, EachThreadBeginsWithTheSameIndexInEveryJob) {
    constexpr int threads = 4;
    struct Job {
        std::atomic<int> begun = 0;
        std::thread::id of_index[threads];
    };
    std::thread::id first[threads];
    for (int repeat = 0; repeat < 200; repeat++) {
        Job job;
        pool_parallel_for(
            threads, threads,
            [](void *context, int index) {
                auto &job = *static_cast<Job *>(context);
                job.of_index[index] = std::this_thread::get_id();
                // No thread goes on to a second index before each has one.
                job.begun++;
                while (job.begun < threads) std::this_thread::yield();
            },
            &job);
        if (repeat == 0) std::copy(std::begin(job.of_index), std::end(job.of_index), std::begin(first));
        for (int index = 0; index < threads; index++) ASSERT_EQ(job.of_index[index], first[index]) << "index " << index;
        ASSERT_EQ(job.of_index[0], std::this_thread::get_id());
    }
}

TEST(Threads, RunsThatFindThePoolBusyDoTheirTasksThemselves) {
    const RandomLayer one = filled(plain(DataFormat::channels_first), 2, 50, 50, 32);
    const Layer layer(one.config, one.weights());
    const std::vector<float> expected = one.run(layer, one_thread);
    std::atomic<int> wrong = 0;
    on_threads(4, [&](int) {
        for (int repeat = 0; repeat < 10; repeat++) wrong += !same_bits(one.run(layer, {.threads = 2, .executor = nullptr}), expected);
    });
    EXPECT_EQ(wrong, 0);
}

TEST(Threads, TwoThreadsMayFirstAskForTheTargetAtOnce) {
    std::atomic<int> wrong = 0;
    on_threads(4, [&](int) { wrong += default_target().empty() || targets().empty() || pipelines().empty(); });
    EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sepconv
