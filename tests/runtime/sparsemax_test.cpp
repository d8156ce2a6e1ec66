// sparsemax against Keras' stored answers, against its own definition, and on rows that are hard for a search.
#include "sparsemax.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sepconv/io.h"

namespace sepconv {
namespace {

using testing::Each;
using testing::IsNan;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> sparsemax_of(std::vector<float> row) {
    sparsemax(row.data(), row.data(), static_cast<std::int64_t>(row.size()));
    return row;
}

// The definition, by sorting.
std::vector<double> sorted_sparsemax(const std::vector<float> &row) {
    std::vector<long double> sorted(row.begin(), row.end());
    std::sort(sorted.rbegin(), sorted.rend());
    long double sum = 0, tau = 0;
    for (std::size_t k = 0; k < sorted.size(); k++) {
        sum += sorted[k] - sorted[0];
        const long double candidate = (sum - 1) / static_cast<long double>(k + 1);
        if (sorted[k] - sorted[0] > candidate) tau = candidate;
    }
    std::vector<double> result;
    result.reserve(row.size());
    for (const float x : row) result.push_back(static_cast<double>(std::max(x - sorted[0] - tau, 0.0L)));
    return result;
}

void expect_definition(const std::vector<float> &row) {
    const std::vector<float> found = sparsemax_of(row);
    const std::vector<double> expected = sorted_sparsemax(row);
    for (std::size_t i = 0; i < row.size(); i++) {
        ASSERT_NEAR(found[i], expected[i], std::max(1e-6, 2e-6 * expected[i])) << "element " << i << " of " << row.size();
    }
}

TEST(Sparsemax, AgreesWithKeras) {
    const std::map<std::string, Array> golden = read_npz(SEPCONV_TEST_DATA "/golden/activations.npz");
    int rows = 0;
    for (const auto &[name, exact] : golden) {
        if (!name.starts_with("sparsemax/") || !name.ends_with("/exact")) continue;
        const std::string length_name = name.substr(10, name.size() - 16);
        const Array &input = golden.at("rows/" + length_name + "/input");
        const std::int64_t length = input.shape.at(1);
        for (std::int64_t row = 0; row < input.shape.at(0); row++) {
            const float *from = input.values.data() + row * length, *expected = exact.values.data() + row * length;
            if (std::any_of(from, from + length, [](float x) { return std::isnan(x); })) continue;  // where a sort puts NaN is chance
            const std::vector<float> found = sparsemax_of({from, from + length});
            for (std::int64_t i = 0; i < length; i++) {
                const bool same = found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i]));
                EXPECT_TRUE(same || std::abs(found[i] - expected[i]) <= 1e-6f)
                    << "row " << row << " of length " << length << ", element " << i << ": " << found[i] << " for " << expected[i];
            }
            rows++;
        }
    }
    EXPECT_GT(rows, 100);
}

TEST(Sparsemax, ProjectsLongRowsOnTheSimplex) {
    std::mt19937 random(7);
    for (const float spread : {1e-4f, 0.03f, 1.0f, 100.0f}) {
        for (const int length : {2, 31, 1000, 50000}) {
            std::vector<float> row(length);
            for (float &x : row) x = std::normal_distribution<float>(3, spread)(random);
            expect_definition(row);
        }
    }
}

TEST(Sparsemax, SumsToOneWhereTheWholeRowIsInTheSupport) {
    const std::vector<float> found = sparsemax_of(std::vector<float>(1000, 1e30f));
    EXPECT_NEAR(std::accumulate(found.begin(), found.end(), 0.0), 1.0, 1e-6);
}

TEST(Sparsemax, SettlesWhereEachPassDropsFewValues) {
    // Each value lies just below what those above it leave: the slowest support to find.
    std::vector<float> row = {0};
    for (int i = 1; i < 300; i++) row.push_back(static_cast<float>(-1 + std::pow(0.5, i)));
    expect_definition(row);
}

TEST(Sparsemax, LeavesTheInputAloneWhereTheOutputIsElsewhere) {
    const std::vector<float> input = {0.5f, 0.25f, -3};
    std::vector<float> output(3);
    sparsemax(input.data(), output.data(), 3);
    EXPECT_THAT(input, testing::ElementsAre(0.5f, 0.25f, -3));
    EXPECT_THAT(output, testing::ElementsAre(0.625f, 0.375f, 0));
}

TEST(Sparsemax, TakesARowOfNoValues) { EXPECT_TRUE(sparsemax_of({}).empty()); }

TEST(Sparsemax, IsNaNInTheWholeRowForOneNaN) { EXPECT_THAT(sparsemax_of({1, nan, -infinity, 2}), Each(IsNan())); }

TEST(Sparsemax, IsNaNForNothingButMinusInfinity) { EXPECT_THAT(sparsemax_of({-infinity, -infinity}), Each(IsNan())); }

TEST(Sparsemax, IsInfinityWhereTheLargestValueIs) {
    const std::vector<float> found = sparsemax_of({1, infinity, -infinity});
    EXPECT_EQ(found[0], infinity);
    EXPECT_EQ(found[1], infinity);
    EXPECT_THAT(found[2], IsNan());
}

TEST(Sparsemax, IgnoresMinusInfinityBesideFiniteValues) {
    EXPECT_THAT(sparsemax_of({-infinity, 2, 1.5f}), testing::ElementsAre(0, 0.75f, 0.25f));
}

}  // namespace
}  // namespace sepconv
