// IDX and CIFAR readers and the checked input file below them: good files, raw and gzip, and hostile ones.
#include "host/data/idx.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data_files.hpp"
#include "host/data/cifar.hpp"
#include "host/formats/input_file.hpp"
#include "host/formats/sha256.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class IdxTest : public testing::Test {
protected:
    std::string refused(const std::string& bytes, int rank = 3) {
        write_file(path_, bytes);
        return refusal(ExitCode::data, [&] { read_idx(path_, rank, "Mend it so."); });
    }

    TemporaryFolder folder_;
    std::filesystem::path path_ = folder_.path() / "images";
    std::string good_ = idx({2, 3, 4}, ramp(24));
};

TEST(Sha256Test, NistVectors) {
    EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(
        sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnop"
               "qrstnopqrstu"),
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    EXPECT_EQ(sha256(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesOfAnySizeMakeTheSameDigest) {
    const std::string text = ramp(300);
    for (std::size_t piece = 1; piece <= 130; ++piece) {
        Sha256 digest;
        for (std::size_t i = 0; i < text.size(); i += piece)
            digest.update(text.data() + i, std::min(piece, text.size() - i));
        ASSERT_EQ(digest.hex(), sha256(text)) << piece;
    }
}

TEST_F(IdxTest, ReadsRawAndGzipByContentWhateverTheName) {
    for (const std::string& bytes : {good_, gzipped(good_)}) {
        for (const char* name : {"images", "images.gz"}) {
            write_file(folder_.path() / name, bytes);
            const NpyArray array = read_idx(folder_.path() / name, 3);
            EXPECT_THAT(array.shape, testing::ElementsAre(2, 3, 4));
            EXPECT_EQ(std::string(array.data.begin(), array.data.end()), ramp(24));
            EXPECT_EQ(array.digest, sha256(good_));
        }
    }
}

TEST_F(IdxTest, ReadsFilesOfManyPieces) {
    const std::string items = ramp(5000 * 1000);
    for (const bool pack : {false, true}) {
        write_file(path_, pack ? gzipped(idx({5000, 1000}, items)) : idx({5000, 1000}, items));
        const NpyArray array = read_idx(path_, 2);
        EXPECT_TRUE(std::equal(array.data.begin(), array.data.end(), items.begin(), items.end(),
                               [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }));
        EXPECT_EQ(array.digest, sha256(idx({5000, 1000}, items)));
    }
}

TEST_F(IdxTest, EveryTruncationIsRefused) {
    const std::string packed = gzipped(good_);
    for (const std::string& whole : {good_, packed}) {
        for (std::size_t size = 0; size < whole.size(); ++size) {
            EXPECT_THAT(refused(whole.substr(0, size)), AllOf(HasSubstr(path_.string()), HasSubstr("expected")))
                << size;
        }
    }
}

TEST_F(IdxTest, EveryFlippedBitOfAGzipStreamIsRefusedOrHarmless) {
    const std::string packed = gzipped(good_);
    for (std::size_t bit = 0; bit < 8 * packed.size(); ++bit) {
        std::string damaged = packed;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        write_file(path_, damaged);
        try {
            // flags and time stamps of the wrapper may differ; the content may not
            EXPECT_EQ(read_idx(path_, 3).digest, sha256(good_)) << bit;
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
        }
    }
}

TEST_F(IdxTest, TrailingBytesAreRefused) {
    EXPECT_THAT(refused(good_ + "x"), HasSubstr("at byte 40 expected the end of the file, found 1 trailing bytes"));
    EXPECT_THAT(refused(gzipped(good_ + "x")), HasSubstr("at byte 40 expected the end of the file"));
    EXPECT_THAT(refused(gzipped(good_) + "x"), HasSubstr("after the gzip stream"));
    EXPECT_THAT(refused(gzipped(good_) + gzipped(good_)), HasSubstr("at byte 40 expected the end of the file"));
}

TEST_F(IdxTest, AllMembersOfAGzipFileAreRead) {
    for (std::size_t cut = 0; cut <= good_.size(); ++cut) {
        write_file(path_, gzipped(good_.substr(0, cut)) + gzipped(good_.substr(cut)));
        EXPECT_EQ(read_idx(path_, 3).digest, sha256(good_)) << cut;
    }
    const std::string two = gzipped(good_.substr(0, 20)) + gzipped(good_.substr(20));
    for (std::size_t size = 0; size < two.size(); ++size) refused(two.substr(0, size));
}

TEST_F(IdxTest, ItemsOfSeveralTypesComeOutLittleEndian) {
    const auto typed = [&](char code, const std::string& items) {
        std::string bytes = idx({2}, items);
        bytes[2] = code;
        write_file(path_, bytes);
        return read_idx(path_, 0);
    };
    NpyArray array = typed(0x09, "\xff\x7f");
    EXPECT_EQ(array.type, NpyType::i1);
    EXPECT_THAT(items_of<std::int8_t>(array), testing::ElementsAre(-1, 127));
    EXPECT_THAT(items_of<std::int16_t>(typed(0x0b, std::string("\xff\xfe\x01\x00", 4))), testing::ElementsAre(-2, 256));
    EXPECT_THAT(items_of<std::int32_t>(typed(0x0c, std::string("\0\0\1\0\xff\xff\xff\xff", 8))),
                testing::ElementsAre(256, -1));
    EXPECT_THAT(items_of<float>(typed(0x0d, std::string("\x3f\x80\0\0\xc0\0\0\0", 8))), testing::ElementsAre(1, -2));
    EXPECT_THAT(items_of<double>(typed(0x0e, std::string("\x3f\xf0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0", 16))),
                testing::ElementsAre(1, -2));
}

TEST_F(IdxTest, AFileInMemoryReadsLikeOneOnTheDisk) {
    for (const std::string& bytes : {good_, gzipped(good_), gzipped(good_.substr(0, 9)) + gzipped(good_.substr(9))}) {
        InputFile file("member", std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
        EXPECT_EQ(read_idx(file, 3).digest, sha256(good_));
    }
    InputFile cut("archive/member", std::vector<std::uint8_t>(good_.begin(), good_.end() - 1));
    EXPECT_THAT(refusal(ExitCode::data, [&] { read_idx(cut, 3); }), HasSubstr("archive/member: at byte 16"));
}

TEST_F(IdxTest, WrongHeadersAreRefusedWithPlaceExpectedAndFound) {
    std::string unknown = good_;
    unknown[2] = '\x0a';
    EXPECT_THAT(refused(unknown),
                HasSubstr("at byte 2 expected an item type (8, 9, 11, 12, 13 or 14), found type 10. Mend it so."));
    EXPECT_THAT(refused(good_, 1), HasSubstr("at byte 3 expected 1 dimensions, found 3 dimensions"));
    EXPECT_THAT(refused("\x01" + good_), AllOf(HasSubstr("at byte 0 expected"), HasSubstr("found bytes 01 00 00 08")));
    EXPECT_THAT(refused(idx({0, 3, 4}, "")), HasSubstr("at byte 4 expected a positive extent, found 0"));
    EXPECT_THAT(refused("<!DOCTYPE html><html></html>"), HasSubstr("found an HTML or XML page"));
    EXPECT_THAT(refused(gzipped("<html></html>")), HasSubstr("found a gzip file holding an HTML or XML page"));
    EXPECT_THAT(refused("PK\x03\x04rest"), HasSubstr("found a ZIP archive"));
    EXPECT_THAT(refused(""), HasSubstr("found an empty file"));
}

TEST_F(IdxTest, NothingIsAllocatedFromAHeaderThatTheFileCannotFill) {
    EXPECT_THAT(refused(idx({0xffffffff, 0xffffffff, 0xffffffff}, "")), HasSubstr("product fits 64 bits"));
    EXPECT_THAT(refused(idx({0xffffffff, 0xffffffff, 1}, "x")), HasSubstr("found a file of only 17 bytes"));
    EXPECT_THAT(refused(gzipped(idx({0xffffffff, 28, 28}, "x"))), HasSubstr("which cannot expand to that many"));
}

TEST_F(IdxTest, AGzipBombIsCutOffAtWhatTheHeaderPromises) {
    const std::string bomb = gzipped(good_ + std::string(std::size_t{1} << 24, '\0'));
    EXPECT_THAT(refused(bomb), HasSubstr("at byte 40 expected the end of the file"));
    write_file(path_, gzipped(std::string(std::size_t{1} << 24, '\0')));
    Split split;
    EXPECT_THAT(refusal(ExitCode::data, [&] { append_cifar(path_, split); }), HasSubstr("gunzip it first"));
}

TEST_F(IdxTest, WhatIsNoRegularFileIsRefused) {
    EXPECT_THAT(refusal(ExitCode::data, [&] { read_idx(folder_.path() / "none", 3); }), HasSubstr("cannot be read"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { read_idx(folder_.path(), 3); }), HasSubstr("is not a regular file"));
}

TEST_F(IdxTest, FileDigestIsOfTheDecompressedContent) {
    write_file(path_, gzipped(good_));
    EXPECT_EQ(file_digest(path_), sha256(good_));
}

TEST_F(IdxTest, CifarReadsRecordsOfLabelAndPlanes) {
    write_file(path_, "\x07" + ramp(3072) + "\x02" + ramp(3072, 13));
    Split split;
    append_cifar(path_, split);
    EXPECT_THAT(split.labels, testing::ElementsAre(7, 2));
    ASSERT_EQ(split.bytes.size(), 2U * 3072);
    EXPECT_EQ(split.bytes[1], 1);
    EXPECT_EQ(split.bytes[3072 + 14], 1);
}

TEST_F(IdxTest, CifarRefusesPartRecordsAndUnknownLabels) {
    Split split;
    const auto says = [&](const std::string& bytes) {
        write_file(path_, bytes);
        return refusal(ExitCode::data, [&] { append_cifar(path_, split); });
    };
    EXPECT_THAT(says(std::string(3073, '\1') + "xy"),
                AllOf(HasSubstr("at byte 3073 expected"), HasSubstr("found 2 bytes")));
    EXPECT_THAT(says(std::string(3073, '\1') + '\x0a' + ramp(3072)),
                HasSubstr("at byte 3073 expected a label from 0 to 9, found 10"));
    EXPECT_THAT(says(""), HasSubstr("found an empty file"));
}

}  // namespace
}  // namespace espalier
