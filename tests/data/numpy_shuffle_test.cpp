// The order in which NumPy's legacy generator leaves shuffled numbers. Expected: what NumPy 1.24.2 prints for
// numpy.random.seed(0) and numpy.random.shuffle of numpy.arange(10), and of numpy.arange(60000) and then (10000).
#include "host/data/numpy_shuffle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "espalier/dataset.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;

TEST(NumpyShuffle, IsNumpysToTheLastNumber) {
    EXPECT_THAT(NumpyShuffle(0).order(10), ElementsAre(2, 8, 4, 9, 1, 6, 7, 3, 0, 5));
    NumpyShuffle shuffle(0);
    const auto train = shuffle.order(60000);
    EXPECT_THAT(std::vector<std::uint32_t>(train.begin(), train.begin() + 5), ElementsAre(3048, 19563, 58303, 8870, 40228));
    EXPECT_EQ(train[1999], 6744U);
    const auto test = shuffle.order(10000);
    EXPECT_THAT(std::vector<std::uint32_t>(test.begin(), test.begin() + 5), ElementsAre(6154, 5047, 7004, 6317, 8538));
    EXPECT_EQ(test[999], 7895U);
    EXPECT_TRUE(NumpyShuffle(0).order(0).empty());
    EXPECT_THAT(NumpyShuffle(0).order(1), ElementsAre(0));
}

TEST(NumpyShuffle, ChoosesTheSamplesThatAreKept) {
    DataRequest request;
    request.name = "synthetic";
    request.train_samples = 50;
    request.test_samples = 20;
    const DataSet first = load_dataset(request);
    request.sample_choice = SampleChoice::numpy;
    const DataSet chosen = load_dataset(request);
    NumpyShuffle shuffle(0);
    const auto train = shuffle.order(50);
    const auto test = shuffle.order(20);
    ASSERT_EQ(chosen.train.count(), 50U);
    for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(chosen.train.labels[i], first.train.labels[train[i]]);
    for (std::size_t i = 0; i < 20; ++i) {
        EXPECT_EQ(chosen.test.labels[i], first.test.labels[test[i]]);
        for (std::size_t f = 0; f < 784; ++f) {
            ASSERT_EQ(chosen.test.bytes[i * 784 + f], first.test.bytes[test[i] * 784 + f]);
        }
    }
}

}  // namespace
}  // namespace espalier
