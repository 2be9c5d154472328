// Counts in a run folder: signed, as narrow as they may be, and what earlier versions began goes on.
#include "host/run/count_file.hpp"

#include <gmock/gmock.h>

#include <cstring>

#include "espalier/error.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

std::vector<std::uint64_t> counts_of(const NpyArray& array) {
    std::vector<std::uint64_t> counts;
    for (std::size_t i = 0; i < array.count(); ++i) counts.push_back(count_at(array, i));
    return counts;
}

TEST(CountFile, IsSignedWhateverItsWidth) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "counts.npy";
    struct Case {
        std::uint64_t largest;
        NpyType type;
    };
    for (const auto& [largest, type] : {Case{0, NpyType::i2}, Case{32767, NpyType::i2}, Case{32768, NpyType::i4},
                                        Case{2147483647, NpyType::i4}, Case{2147483648, NpyType::i8}}) {
        const auto most = static_cast<std::uint32_t>(largest);
        CountFile file(path, {2, 2}, largest);
        const std::vector<std::uint32_t> first{most, 0}, second{0, most};
        file.append({first, second});
        const NpyArray array = read_npy(path);
        EXPECT_EQ(array.type, type) << largest;
        EXPECT_TRUE(holds_counts(array.type));
        EXPECT_THAT(array.shape, testing::ElementsAre(1, 2, 2));
        EXPECT_THAT(counts_of(array), testing::ElementsAre(most, 0, 0, most));
        EXPECT_THROW(file.append({first}), std::logic_error);
    }
}

TEST(CountFile, GoesOnWhatAnEarlierVersionBegan) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "counts.npy";
    const auto begin = [&](NpyType type, const void* row) {
        NpyAppender old(path, type, {2});
        old.append(row);
        return old.bytes();
    };
    const std::uint16_t narrow[] = {40000, 1};
    const std::vector<std::uint32_t> next{7, 50000};
    // of another width than today's: goes on as it is
    CountFile(path, {2}, 50000, begin(NpyType::u2, narrow)).append({next});
    EXPECT_EQ(read_npy(path).type, NpyType::u2);
    EXPECT_THAT(counts_of(read_npy(path)), testing::ElementsAre(40000, 1, 7, 50000));
    // of the same width: becomes signed
    const std::uint16_t small[] = {30000, 1};
    CountFile(path, {2}, 30000, begin(NpyType::u2, small)).append({std::vector<std::uint32_t>{2, 3}});
    EXPECT_EQ(read_npy(path).type, NpyType::i2);
    EXPECT_THAT(counts_of(read_npy(path)), testing::ElementsAre(30000, 1, 2, 3));
}

}  // namespace
}  // namespace espalier
