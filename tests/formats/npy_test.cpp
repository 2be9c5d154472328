// NPY files: round trips, appending, hostile headers.
#include "host/formats/npy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data_files.hpp"
#include "host/data/arrays.hpp"
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
    for (const char* text : {"'<U0'", "'<U'", "'|S-1'", "'|S9999999'", "'<U1x'"}) {
        EXPECT_THAT(refused(npy(header(text, "False", "(1,)"), "xxxx")), HasSubstr("texts of 1 to 1048576 characters"));
    }
    EXPECT_THAT(refused(npy(header("'<U2'", "False", "(2,)"), "x")), HasSubstr("items"));
    EXPECT_THAT(refused(npy(header("'<c8'", "False", "(1,)"), std::string(8, 'x'))), HasSubstr("complex"));
    EXPECT_THAT(refused(npy(header("[('a', '<f4')]", "False", "(1,)"), "xxxx")), HasSubstr("a record type"));
    EXPECT_THAT(refused(npy(header("'<f4'", "Maybe", "(1,)"), "xxxx")), HasSubstr("True or False"));
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

/// What numpy.save writes of an array of this type, 2 x 3 items 0, 1, ..., 5 in the given order.
std::string typed(const std::string& descr, const std::string& items, bool fortran = false) {
    return npy("{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': (2, 3), }",
               items);
}

template <class Item>
std::string bytes_of(std::vector<Item> items, bool big_endian) {
    std::string bytes(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(Item));
    for (std::size_t i = 0; big_endian && i < bytes.size(); i += sizeof(Item)) {
        std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                     bytes.begin() + static_cast<std::ptrdiff_t>(i + sizeof(Item)));
    }
    return bytes;
}

TEST_F(NpyTest, SamplesOfEveryTypeByteOrderAndMemoryOrder) {
    const auto check = [&]<class Item>(const std::string& kind, Item) {
        for (const bool big : {false, true}) {
            const std::string descr = (sizeof(Item) == 1 ? "|" : big ? ">" : "<") + kind;
            write_file(path_, typed(descr, bytes_of<Item>({0, 1, 2, 3, 4, 5}, big)));
            const ArraySamples rows = samples_of(read_npy(path_), "x");
            const std::vector<float> values = rows.floats.empty() ? std::vector<float>(rows.bytes.begin(), rows.bytes.end()) : rows.floats;
            EXPECT_THAT(values, ElementsAre(0, 1, 2, 3, 4, 5)) << descr;
            EXPECT_EQ(rows.bytes.empty(), kind != "u1");
            EXPECT_TRUE(rows.table);
            write_file(path_, typed(descr, bytes_of<Item>({0, 3, 1, 4, 2, 5}, big), true));
            EXPECT_EQ(samples_of(read_npy(path_), "x").floats, rows.floats) << descr << " in Fortran order";
        }
    };
    check("u1", std::uint8_t{});
    check("u2", std::uint16_t{});
    check("u4", std::uint32_t{});
    check("u8", std::uint64_t{});
    check("i1", std::int8_t{});
    check("i2", std::int16_t{});
    check("i4", std::int32_t{});
    check("i8", std::int64_t{});
    check("f4", float{});
    check("f8", double{});
    for (const bool big : {false, true}) {
        // 0, 1, -2, the largest, the smallest, 1/3 rounded
        write_file(path_, typed(big ? ">f2" : "<f2",
                                bytes_of<std::uint16_t>({0, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555}, big)));
        EXPECT_THAT(samples_of(read_npy(path_), "x").floats,
                    ElementsAre(0, 1, -2, 65504, std::ldexp(1.0F, -24), 0.33325195F));
    }
    write_file(path_, typed("|b1", std::string("\0\1\0\1\1\1", 6)));
    EXPECT_THAT(samples_of(read_npy(path_), "x").floats, ElementsAre(0, 1, 0, 1, 1, 1)) << "not scaled as bytes are";
}

TEST_F(NpyTest, FortranOrderOfThreeDimensions) {
    // numpy.asfortranarray(numpy.arange(24).reshape(2, 3, 4))
    std::string items;
    for (int k = 0; k < 4; ++k) {
        for (int j = 0; j < 3; ++j) {
            for (int i = 0; i < 2; ++i) items += static_cast<char>(12 * i + 4 * j + k);
        }
    }
    write_file(path_, npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", items));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(read_npy(path_).data.data()), 24), ramp(24));
}

TEST_F(NpyTest, ImagesBecomePlanar) {
    const auto x = array<std::uint8_t>("x.npy", NpyType::u1, {2, 1, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    const ArraySamples samples = samples_of(read_npy(x), "x");
    EXPECT_EQ(samples.height, 1U);
    EXPECT_EQ(samples.width, 2U);
    EXPECT_EQ(samples.channels, 3U);
    EXPECT_FALSE(samples.table);
    EXPECT_THAT(samples.bytes, ElementsAre(1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12));
}

TEST_F(NpyTest, LabelsOfEveryForm) {
    const auto names = [&](const std::filesystem::path& path, std::uint64_t samples) {
        const LabelTable table = labels_of(read_npy(path), samples, path.string());
        std::vector<std::string> labels;
        for (const std::int32_t code : table.codes) labels.push_back(table.names[static_cast<std::size_t>(code)]);
        return labels;
    };
    EXPECT_THAT(names(array<std::int32_t>("i.npy", NpyType::i4, {3}, {5, -1, 5}), 3), ElementsAre("5", "-1", "5"));
    EXPECT_THAT(names(array<std::int64_t>("c.npy", NpyType::i8, {2, 1}, {1, 0}), 2), ElementsAre("1", "0"));
    EXPECT_THAT(names(array<double>("f.npy", NpyType::f8, {2}, {2.0, 1.0}), 2), ElementsAre("2", "1"));
    EXPECT_THAT(names(array<std::uint8_t>("b.npy", NpyType::b1, {2}, {1, 0}), 2), ElementsAre("1", "0"));
    EXPECT_THAT(names(array<float>("h.npy", NpyType::f4, {2, 3}, {0, 0, 1, 1, 0, 0}), 2), ElementsAre("2", "0"));
}

TEST_F(NpyTest, TextsAreLabelsInEveryFormNumPyWrites) {
    const auto names = [&](const std::string& descr, const std::string& shape, const std::string& items) {
        write_file(path_, npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }", items));
        const LabelTable table = labels_of(read_npy(path_), 3, "y");
        std::vector<std::string> labels;
        for (const std::int32_t code : table.codes) labels.push_back(table.names[static_cast<std::size_t>(code)]);
        return labels;
    };
    const auto points = [](const std::vector<std::uint32_t>& all, bool big) {
        std::string bytes;
        for (const std::uint32_t point : all) {
            for (int i = 0; i < 4; ++i) bytes += static_cast<char>(point >> 8 * (big ? 3 - i : i) & 255);
        }
        return bytes;
    };
    EXPECT_THAT(names("|S3", "(3,)", std::string("cat") + "dog" + std::string("ox\0", 3)), ElementsAre("cat", "dog", "ox"));
    const std::vector<std::uint32_t> text{0xfc, 'x', 0, 0x20ac, 0x1f600, 0, 'a', 0xd800, 0};  // a lone surrogate is none
    for (const bool big : {false, true}) {
        EXPECT_THAT(names(big ? ">U3" : "<U3", "(3, 1)", points(text, big)),
                    ElementsAre("\u00fcx", "\u20ac\U0001f600", "a\ufffd"));
    }
    EXPECT_THAT(names("|S2", "(3,)", "\xe9q12\xe9q"), ElementsAre("\u00e9q", "12", "\u00e9q")) << "Latin-1";
    EXPECT_THAT(refusal(ExitCode::data, [&] { names("|S2", "(3,)", std::string("ab\0\0cd", 6)); }),
                HasSubstr("expected a label, found a missing one ('') at index 1"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { names("|S1", "(3, 2)", "abcdef"); }), HasSubstr("texts as [n]"));
    EXPECT_THAT(refusal(ExitCode::data, [&] { samples_of(read_npy(path_), "x"); }), HasSubstr("found texts"));
}

TEST_F(NpyTest, SamplesAndLabelsThatAreRefused) {
    const auto y = array<std::int32_t>("y.npy", NpyType::i4, {2}, {0, 1});
    const auto samples = [&](const auto& path) {
        return refusal(ExitCode::data, [&] { samples_of(read_npy(path), path.string()); });
    };
    const auto labels = [&](const auto& path) {
        return refusal(ExitCode::data, [&] { labels_of(read_npy(path), 2, path.string()); });
    };
    const auto three = array<std::int32_t>("3.npy", NpyType::i4, {3}, {0, 1, 2});
    EXPECT_THAT(labels(three), HasSubstr("expected as many labels as samples, shape (2,), found shape (3,)"));
    EXPECT_THAT(labels(array<float>("half.npy", NpyType::f4, {2}, {0, 0.5})), HasSubstr("found 0.500000 at index 1"));
    EXPECT_THAT(labels(array<float>("nanl.npy", NpyType::f4, {2}, {0, NAN})), HasSubstr("at index 1"));
    EXPECT_THAT(labels(array<float>("two.npy", NpyType::f4, {2, 2}, {0, 1, 1, 1})), HasSubstr("found row 1 with two"));
    EXPECT_THAT(labels(array<float>("none.npy", NpyType::f4, {2, 2}, {0, 1, 0, 0})), HasSubstr("found row 1 of zeros"));
    EXPECT_THAT(labels(array<float>("soft.npy", NpyType::f4, {2, 2}, {0, 1, 0.5, 0.5})), HasSubstr("row 1 with 0.5"));
    const auto nan = array<float>("nan.npy", NpyType::f4, {2, 2}, {0, 1, NAN, 3});
    EXPECT_THAT(samples(nan), HasSubstr("nan in sample 1, feature 0"));
    EXPECT_THAT(samples(array<double>("big.npy", NpyType::f8, {1, 2}, {0, 1e39})), HasSubstr("sample 0, feature 1"));
    EXPECT_THAT(samples(y), HasSubstr("found shape (2,)"));
    EXPECT_THAT(samples(array<float>("e.npy", NpyType::f4, {0, 2}, {})), HasSubstr("found shape (0,2,)"));
}

}  // namespace
}  // namespace espalier
