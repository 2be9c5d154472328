// NPY files: round trips, appending, hostile headers.
#include "host/formats/npy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "data_files.hpp"
#include "host/data/npy_pair.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string npy(const std::string& dictionary, const std::string& items) {
    const std::string header = dictionary + "\n";
    return std::string("\x93NUMPY\x01", 7) + '\0' + static_cast<char>(header.size()) + '\0' + header + items;
}

class NpyTest : public testing::Test {
protected:
    std::string refused(const std::string& bytes) {
        write_file(path_, bytes);
        return refusal(ExitCode::data, [&] { read_npy(path_); });
    }
    template <class Item>
    std::filesystem::path array(const std::string& name, NpyType type, const std::vector<std::uint64_t>& shape,
                                const std::vector<Item>& items) {
        write_npy(folder_.path() / name, type, shape, items.data());
        return folder_.path() / name;
    }

    TemporaryFolder folder_;
    std::filesystem::path path_ = folder_.path() / "array.npy";
};

TEST_F(NpyTest, RoundTrip) {
    const std::vector<double> doubles = {1.5, -2, 3e300, 0, 1e-310, 6};
    write_npy(path_, NpyType::f8, {2, 3}, doubles.data());
    const NpyArray array = read_npy(path_);
    EXPECT_EQ(array.type, NpyType::f8);
    EXPECT_THAT(array.shape, ElementsAre(2, 3));
    EXPECT_EQ(items_of<double>(array), doubles);
    const std::vector<std::int64_t> longs = {-5};
    write_npy(path_, NpyType::i8, {1}, longs.data());
    EXPECT_EQ(items_of<std::int64_t>(read_npy(path_)), longs);
}

TEST_F(NpyTest, TheHeaderIsAsNumPyWritesIt) {
    const float one = 1;
    write_npy(path_, NpyType::f4, {1}, &one);
    std::ifstream file(path_, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
    EXPECT_EQ(bytes.substr(10, 60), "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }   ");
    EXPECT_EQ(bytes.size(), 128U + 4);
    EXPECT_EQ(bytes[127], '\n');
}

TEST_F(NpyTest, AppenderReadsCorrectlyAfterEveryAppend) {
    NpyAppender file(path_, NpyType::u2, {2, 3});
    EXPECT_THAT(read_npy(path_).shape, ElementsAre(0, 2, 3));
    std::vector<std::uint16_t> all;
    for (std::uint16_t row = 0; row < 120; ++row) {  // over several widths of the count
        std::vector<std::uint16_t> items(6, static_cast<std::uint16_t>(500 * row + 1));
        all.insert(all.end(), items.begin(), items.end());
        file.append(items.data());
        const NpyArray array = read_npy(path_);
        ASSERT_THAT(array.shape, ElementsAre(row + 1U, 2, 3));
        ASSERT_EQ(items_of<std::uint16_t>(array), all);
    }
    EXPECT_EQ(file.rows(), 120U);
}

TEST_F(NpyTest, AppenderMovesAndAppendsScalarRows) {
    NpyAppender first(path_, NpyType::f4, {});
    const float one = 1, two = 2;
    first.append(&one);
    NpyAppender second(std::move(first));
    second.append(&two);
    EXPECT_THAT(items_of<float>(read_npy(path_)), ElementsAre(1, 2));
}

TEST_F(NpyTest, WritesThatFailNamePathAndCause) {
    const auto nowhere = folder_.path() / "no" / "array.npy";
    EXPECT_THAT(refusal(ExitCode::io, [&] { NpyAppender(nowhere, NpyType::f4, {1}); }), HasSubstr(nowhere.string()));
    EXPECT_THAT(refusal(ExitCode::io, [] { NpyAppender("/dev/full", NpyType::f4, {1}); }), HasSubstr("No space left"));
    const float one = 1;
    EXPECT_THAT(refusal(ExitCode::io, [&] { write_npy(nowhere, NpyType::f4, {1}, &one); }),
                HasSubstr(nowhere.string()));
}

TEST_F(NpyTest, ReadsWhatOtherProgramsWrite) {
    write_file(path_, gzipped(npy("{\"shape\":(2,),'fortran_order':False,'descr':'<u2'}", std::string("\1\0\2\0", 4))));
    EXPECT_THAT(items_of<std::uint16_t>(read_npy(path_)), ElementsAre(1, 2));
}

TEST_F(NpyTest, HostileHeadersAreRefused) {
    for (const std::string descr : {"", "<", "|", ">", "<f", "u1x"}) {
        refused(npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (1,), }", "x"));
    }
    const auto header = [](const std::string& descr, const std::string& order, const std::string& shape) {
        return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
    };
    EXPECT_THAT(refused("<html>"), HasSubstr("at byte 0 expected an NPY file"));
    EXPECT_THAT(refused(npy(header("'|O'", "False", "(1,)"), "x")), HasSubstr("'|O' (pickled objects)"));
    EXPECT_THAT(refused(npy(header("'>f4'", "False", "(1,)"), "xxxx")), HasSubstr("found '>f4'"));
    EXPECT_THAT(refused(npy(header("[('a', '<f4')]", "False", "(1,)"), "xxxx")), HasSubstr("a record type"));
    EXPECT_THAT(refused(npy(header("'<f4'", "True", "(1,)"), "xxxx")), HasSubstr("numpy.ascontiguousarray"));
    EXPECT_THAT(refused(npy(header("'<f4'", "False", "(-1,)"), "")), HasSubstr("expected in the NPY header an extent"));
    EXPECT_THAT(refused(npy(header("'<f4'", "False", "(99999999999999999999,)"), "")), HasSubstr("an extent"));
    EXPECT_THAT(refused(npy(header("'<f4'", "False", "(4294967296, 4294967296)"), "")), HasSubstr("fit 64 bits"));
    EXPECT_THAT(refused(npy(header("'<f4'", "False", "(1000000000,)"), "")), HasSubstr("found a file of only"));
    EXPECT_THAT(refused(npy(header("'<f4'", "False", "(1,)"), "xxxxx")), HasSubstr("1 trailing bytes"));
    EXPECT_THAT(refused(npy("{'descr': '<f4', 'shape': (1,)}", "xxxx")), HasSubstr("fortran_order"));
    EXPECT_THAT(refused(npy(header("'<f4'", "False", "(1,)") + " evil", "xxxx")), HasSubstr("the end of the header"));
}

TEST_F(NpyTest, EveryTruncationIsRefused) {
    const std::string whole = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", "12345678");
    write_file(path_, whole);
    EXPECT_THAT(read_npy(path_).shape, ElementsAre(2, 1));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_THAT(refused(whole.substr(0, size)), HasSubstr(path_.string())) << size;
    }
}

TEST_F(NpyTest, PairOfBytesAndLabels) {
    const auto x = array<std::uint8_t>("x.npy", NpyType::u1, {2, 1, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    const auto y = array<std::int64_t>("y.npy", NpyType::i8, {2}, {1, 0});
    const NpySamples samples = read_npy_pair(x, y);
    EXPECT_EQ(samples.height, 1U);
    EXPECT_EQ(samples.width, 2U);
    EXPECT_EQ(samples.channels, 3U);
    EXPECT_THAT(samples.split.bytes, ElementsAre(1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12)) << "planar";
    EXPECT_THAT(samples.split.labels, ElementsAre(1, 0));
}

TEST_F(NpyTest, PairOfNumbersAndItsRefusals) {
    const auto x = array<double>("x.npy", NpyType::f8, {2, 2}, {0.5, 1, 2, 3});
    const auto y = array<std::int32_t>("y.npy", NpyType::i4, {2}, {0, 1});
    EXPECT_THAT(read_npy_pair(x, y).split.floats, ElementsAre(0.5F, 1, 2, 3));
    const auto says = [&](const auto& samples, const auto& labels) {
        return refusal(ExitCode::data, [&] { read_npy_pair(samples, labels); });
    };
    const auto three = array<std::int32_t>("3.npy", NpyType::i4, {3}, {0, 1, 2});
    EXPECT_THAT(says(x, three), HasSubstr("expected as many labels as samples, shape (2,), found shape (3,)"));
    const auto negative = array<std::int32_t>("n.npy", NpyType::i4, {2}, {0, -1});
    EXPECT_THAT(says(x, negative), HasSubstr("found -1 at index 1"));
    EXPECT_THAT(says(x, x), HasSubstr("labels of an integer type"));
    const auto nan = array<float>("nan.npy", NpyType::f4, {2, 2}, {0, 1, NAN, 3});
    EXPECT_THAT(says(nan, y), HasSubstr("nan in sample 1, feature 0"));
    EXPECT_THAT(says(y, y), HasSubstr("found shape (2,)"));
    const auto empty = array<float>("e.npy", NpyType::f4, {0, 2}, {});
    EXPECT_THAT(says(empty, y), HasSubstr("found shape (0,2,)"));
}

}  // namespace
}  // namespace espalier
