// Event files byte by byte: checksums, cut-back; TensorBoard's own readers read them in tests/python/test_tensorboard.py.
#include "host/formats/event_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {(std::istreambuf_iterator<char>(stream)), {}};
}

TEST(EventFile, ChecksumsAreCastagnolis) {
    EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
    EXPECT_EQ(crc32c(""), 0U);
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);  // RFC 3720, B.4
}

TEST(EventFile, GoesOnBehindTheLastStepThatCounts) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "events";
    std::vector<std::uintmax_t> sizes;
    {
        EventFile file(path, std::nullopt);
        for (std::uint64_t step = 1; step <= 300; ++step) {
            file.scalar("loss", 0.5);
            file.put(step);
            sizes.push_back(fs::file_size(path));
        }
    }
    const std::string whole = contents(path);
    { const EventFile again(path, 299); }
    EXPECT_EQ(fs::file_size(path), sizes[298]);
    std::ofstream(path, std::ios::binary) << whole.substr(0, whole.size() - 3);  // a torn end
    { const EventFile again(path, 1000); }
    EXPECT_EQ(fs::file_size(path), sizes[298]);
    { const EventFile again(path, 0); }
    EXPECT_EQ(fs::file_size(path), sizes[0] - (sizes[1] - sizes[0])) << "the version stays";
    { const EventFile fresh(path, std::nullopt); }
    EXPECT_EQ(fs::file_size(path), sizes[0] - (sizes[1] - sizes[0]));
}

}  // namespace
}  // namespace espalier
