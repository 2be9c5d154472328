// ZIP and NPZ archives: members stored and deflated, and hostile ones.
#include "host/formats/zip.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data_files.hpp"
#include "host/formats/npz.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string little(std::uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
    return text;
}

/// An archive of one deflated member; `flags` 1 says that it is encrypted, `wide` that its sizes are in a zip64 field.
std::string zipped(const std::string& name, const std::string& content, int method = 8, int flags = 0,
                   bool wide = false) {
    const std::string gzip = gzipped(content);
    const std::string packed = method == 8 ? gzip.substr(10, gzip.size() - 18) : content;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size()));
    const std::uint64_t none = 0xffffffff;
    const std::string extra =
        wide ? little(1, 2) + little(16, 2) + little(content.size(), 8) + little(packed.size(), 8) : "";
    const std::string shared = little(20, 2) + little(static_cast<std::uint64_t>(flags), 2) +
                               little(static_cast<std::uint64_t>(method), 2) + little(0, 4) + little(crc, 4) +
                               little(wide ? none : packed.size(), 4) + little(wide ? none : content.size(), 4) +
                               little(name.size(), 2) + little(extra.size(), 2);
    const std::string local = little(0x04034b50, 4) + shared + name + extra + packed;
    const std::string directory =
        little(0x02014b50, 4) + little(20, 2) + shared + little(0, 2) + little(0, 8) + little(0, 4) + name + extra;
    return local + directory + little(0x06054b50, 4) + little(0, 4) + little(1, 2) + little(1, 2) +
           little(directory.size(), 4) + little(local.size(), 4) + little(0, 2);
}

class ZipTest : public testing::Test {
protected:
    std::string read(const std::string& bytes) {
        write_file(path_, bytes);
        const auto content = ZipFile(path_).read("m");
        return {content.begin(), content.end()};
    }
    std::string refused(const std::string& bytes) {
        return refusal(ExitCode::data, [&] { read(bytes); });
    }

    TemporaryFolder folder_;
    std::filesystem::path path_ = folder_.path() / "a.zip";
};

TEST_F(ZipTest, MembersStoredDeflatedAndOfWideSizes) {
    const std::string content = ramp(100000);
    for (const bool wide : {false, true}) {
        EXPECT_EQ(read(zipped("m", content, 0, 0, wide)), content);
        EXPECT_EQ(read(zipped("m", content, 8, 0, wide)), content);
    }
    EXPECT_EQ(read(zipped("m", "")), "");
    write_file(path_, zipped("m", "x") + "");
    EXPECT_THAT(ZipFile(path_).names(), ElementsAre("m"));
}

TEST_F(ZipTest, EveryTruncationIsRefused) {
    const std::string whole = zipped("m", "some content");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_THAT(refused(whole.substr(0, size)), HasSubstr(path_.string())) << size;
    }
}

TEST_F(ZipTest, EveryFlippedBitIsRefusedOrHarmless) {
    const std::string whole = zipped("m", "some content");
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
        std::string damaged = whole;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        write_file(path_, damaged);
        try {
            const ZipFile file(path_);
            for (const std::string& name : file.names()) {
                const auto content = file.read(name);
                EXPECT_EQ(std::string(content.begin(), content.end()), "some content") << bit;
            }
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
        }
    }
}

TEST_F(ZipTest, WhatCannotBeReadIsNamed) {
    EXPECT_THAT(refused("<html>"), HasSubstr("expected a ZIP archive, whose directory ends the file, found none"));
    EXPECT_THAT(refused(zipped("m", "x", 8, 1)), HasSubstr("found an encrypted one"));
    EXPECT_THAT(refused(zipped("m", "x", 12)), HasSubstr("found method 12"));
    EXPECT_THAT(refused(zipped("other", "x")), HasSubstr("expected a member 'm', found none"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { ZipFile(folder_.path() / "none"); }), HasSubstr("cannot be read"));
    std::string huge = zipped("m", "x");
    const auto directory = huge.find("PK\x01\x02");
    huge.replace(directory + 24, 4, "\xff\xff\xff\x7f");
    EXPECT_THAT(refused(huge), HasSubstr("which cannot expand to that many"));
}

TEST_F(ZipTest, ArraysByName) {
    const float items[] = {1, 2};
    write_npz(path_, {{"x", "<f4", {2}, items, sizeof items}});
    const NpzFile file(path_);
    EXPECT_THAT(file.names(), ElementsAre("x"));
    EXPECT_TRUE(file.contains("x"));
    EXPECT_FALSE(file.contains("y"));
    EXPECT_THAT(items_of<float>(file.read("x")), ElementsAre(1, 2));
    write_file(path_, zipped("x.npy", "no array"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { (void)NpzFile(path_).read("x"); }),
                HasSubstr("a.zip/x: at byte 0 expected an NPY file"));
}

}  // namespace
}  // namespace espalier
