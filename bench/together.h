// A measurement on several threads at once.
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

namespace sepconv::bench {

/// The sum of what `measure()` gives on each of a number of threads.
template <typename Measure>
double together(int threads, Measure measure) {
    std::vector<double> each(static_cast<std::size_t>(threads));
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < each.size(); i++) others.emplace_back([&, i] { each[i] = measure(); });
    each[0] = measure();
    for (std::thread &other : others) other.join();
    double sum = 0;
    for (const double one : each) sum += one;
    return sum;
}

}  // namespace sepconv::bench
