#include "host/formats/heat_map.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <map>

namespace espalier {
namespace {

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes.at(at + i));
    return value;
}

/// Chunk data by letters; checks signature, order of first and last, lengths and CRCs.
std::map<std::string, std::string> chunks(const std::string& png) {
    std::map<std::string, std::string> found;
    EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
    std::size_t at = 8;
    std::string letters;
    while (at < png.size()) {
        const std::uint32_t length = big_endian(png, at);
        letters = png.substr(at + 4, 4);
        EXPECT_TRUE(at > 8 || letters == "IHDR");
        const auto* checked = reinterpret_cast<const Bytef*>(png.data()) + at + 4;
        EXPECT_EQ(big_endian(png, at + 8 + length), crc32(0, checked, length + 4)) << letters;
        found[letters] = png.substr(at + 8, length);
        at += 12 + length;
    }
    EXPECT_EQ(at, png.size());
    EXPECT_EQ(letters, "IEND");
    return found;
}

std::vector<std::uint8_t> decoded(const std::string& png, Index height, Index width) {
    const auto parts = chunks(png);
    const std::string& header = parts.at("IHDR");
    EXPECT_EQ(big_endian(header, 0), width);
    EXPECT_EQ(big_endian(header, 4), height);
    EXPECT_EQ(header.substr(8), std::string("\x08\x03\x00\x00\x00", 5));
    EXPECT_EQ(parts.at("PLTE").size(), 768U);
    std::string rows(std::size_t{height} * (width + 1), '\0');
    uLongf size = rows.size();
    const std::string& packed = parts.at("IDAT");
    EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(rows.data()), &size, reinterpret_cast<const Bytef*>(packed.data()),
                         packed.size()),
              Z_OK);
    EXPECT_EQ(size, rows.size());
    std::vector<std::uint8_t> pixels;
    for (std::size_t y = 0; y < height; ++y) {
        EXPECT_EQ(rows[y * (width + 1)], '\0');
        for (std::size_t x = 0; x < width; ++x)
            pixels.push_back(static_cast<std::uint8_t>(rows[y * (width + 1) + 1 + x]));
    }
    return pixels;
}

TEST(HeatMap, ViridisMeetsItsAnchors) {
    // matplotlib's viridis, rounded to 8 bits; some on the grid of the table, some between
    const std::map<std::size_t, std::uint32_t> anchors{
        {0, 0x440154},   {17, 0x481a6c},  {64, 0x3b528b},  {136, 0x1f988b}, {128, 0x21918c},
        {170, 0x35b779}, {192, 0x5ec962}, {221, 0xa5db36}, {238, 0xd2e21b}, {255, 0xfde725}};
    for (const auto& [index, rgb] : anchors) {
        const Colour& colour = viridis().at(index);
        EXPECT_LE(std::abs(colour.red - static_cast<int>(rgb >> 16)), 2) << index;
        EXPECT_LE(std::abs(colour.green - static_cast<int>(rgb >> 8 & 0xFF)), 2) << index;
        EXPECT_LE(std::abs(colour.blue - static_cast<int>(rgb & 0xFF)), 2) << index;
    }
}

TEST(HeatMap, CountsBecomeSquaresOfTheirShade) {
    const IndexedImage image = heat_map({0, 5, 10, 20, 40, 2}, 2, 3, 20, 2);
    EXPECT_EQ(image.height, 4U);
    EXPECT_EQ(image.width, 6U);
    const std::vector<std::uint8_t> row0{0, 0, 64, 64, 128, 128};
    const std::vector<std::uint8_t> row2{255, 255, 255, 255, 26, 26};  // 40 lies above the scale
    std::vector<std::uint8_t> expected;
    for (const auto* row : {&row0, &row0, &row2, &row2}) expected.insert(expected.end(), row->begin(), row->end());
    EXPECT_EQ(image.pixels, expected);
    EXPECT_EQ(heat_map({0, 0}, 1, 2, 0, 1).pixels, (std::vector<std::uint8_t>{0, 0}));
}

TEST(HeatMap, PngDecodesToThePixels) {
    for (const auto& [height, width] : {std::pair<Index, Index>{1, 1}, {3, 7}, {28, 28}, {1, 784}}) {
        IndexedImage image{height, width, {}};
        for (std::size_t i = 0; i < std::size_t{height} * width; ++i) {
            image.pixels.push_back(static_cast<std::uint8_t>(i * 37 + i / 5));
        }
        EXPECT_EQ(decoded(png_bytes(image, viridis()), height, width), image.pixels);
    }
}

TEST(HeatMap, PaletteIsWrittenInOrder) {
    const std::string palette = chunks(png_bytes({1, 1, {0}}, viridis())).at("PLTE");
    EXPECT_EQ(palette.substr(0, 3), "\x44\x01\x54");
    EXPECT_EQ(palette.substr(765), "\xfd\xe7\x25");
}

TEST(HeatMap, ZoomAndChannels) {
    EXPECT_EQ(fitting_zoom(28, 28), 10U);
    EXPECT_EQ(fitting_zoom(32, 32), 8U);
    EXPECT_EQ(fitting_zoom(1, 784), 1U);
    EXPECT_EQ(sum_over_channels({1, 2, 3, 10, 20, 30}, 2), (std::vector<std::uint64_t>{11, 22, 33}));
}

TEST(HeatMap, StandsAloneWithBarUnitAndCentre) {
    std::vector<std::uint64_t> counts(28 * 28, 5);
    counts[0] = 35, counts[27] = 0;
    const std::string png = framed_heat_map(counts, 28, 28, 35);
    const Index width = big_endian(png, 16), height = big_endian(png, 20);
    const auto pixels = decoded(png, height, width);
    const auto at = [&](Index x, Index y) { return pixels[std::size_t{y} * width + x]; };
    constexpr std::uint8_t top = 253, paper = 254, ink = 255;
    EXPECT_EQ(at(10, 10), top);                          // the first pixel holds the most
    EXPECT_EQ(at(10 + 27 * 10 + 5, 15), 0);              // the last of its row nothing
    EXPECT_EQ(at(10 + 5, 10 + 15), (5 * 253 + 17) / 35);  // between
    EXPECT_EQ(at(10 + 70, 10 + 100), paper);             // the centre square's line at pixel 7, about 14 of them
    EXPECT_EQ(at(10 + 70 - 1, 10 + 100), ink);
    EXPECT_EQ(at(10 + 210 - 1, 10 + 100), paper);
    EXPECT_EQ(at(10 + 280 + 10, 10), top);               // the bar, from top
    EXPECT_EQ(at(10 + 280 + 10, 10 + 279), 0);           // to bottom
    std::size_t below = 0, beside = 0;                   // the unit and the numbers are written
    for (Index y = 0; y < height; ++y) {
        for (Index x = 0; x < width; ++x) {
            if (at(x, y) != ink) continue;
            below += y > 290 ? 1 : 0;
            beside += x > 310 && y < 290 ? 1 : 0;
        }
    }
    EXPECT_GT(below, 300U);
    EXPECT_GT(beside, 100U);
    EXPECT_NO_THROW((void)framed_heat_map({1, 2, 3}, 1, 3, 3));  // plain features
    EXPECT_NO_THROW((void)framed_heat_map({0}, 1, 1, 0));
}

}  // namespace
}  // namespace espalier
