#include "host/formats/heat_map.hpp"

#include <zlib.h>

#include <algorithm>

#include "espalier/error.hpp"
#include "host/formats/output_file.hpp"

namespace espalier {

namespace {

/// Every fifth colour; the others lie so near the straight line between two that a channel is off by 1 at most.
constexpr std::array<std::uint32_t, 52> viridis_table{
    0x440154, 0x46085c, 0x471063, 0x481769, 0x481d6f, 0x482475, 0x472a7a, 0x46307e, 0x453781, 0x433d84, 0x414287,
    0x3f4889, 0x3d4e8a, 0x3a538b, 0x38598c, 0x355e8d, 0x33638d, 0x31688e, 0x2e6d8e, 0x2c718e, 0x2a768e, 0x297b8e,
    0x27808e, 0x25848e, 0x23898e, 0x218e8d, 0x20928c, 0x1f978b, 0x1e9c89, 0x1fa188, 0x21a585, 0x24aa83, 0x28ae80,
    0x2eb37c, 0x35b779, 0x3dbc74, 0x46c06f, 0x50c46a, 0x5ac864, 0x65cb5e, 0x70cf57, 0x7cd250, 0x89d548, 0x95d840,
    0xa2da37, 0xb0dd2f, 0xbddf26, 0xcae11f, 0xd8e219, 0xe5e419, 0xf1e51d, 0xfde725};

/// One channel (0 blue, 8 green, 16 red) of colour `index`, on the line between the table's neighbours.
constexpr std::uint8_t viridis_channel(std::uint32_t index, std::uint32_t shift) {
    const std::uint32_t left = std::min(index / 5, 50U);
    const std::uint32_t part = index - 5 * left;
    const std::uint32_t from = (viridis_table[left] >> shift) & 0xFFU;
    const std::uint32_t to = (viridis_table[left + 1] >> shift) & 0xFFU;
    return static_cast<std::uint8_t>((from * (5 - part) + to * part + 2) / 5);
}

constexpr Palette make_viridis() {
    Palette palette{};
    for (std::uint32_t i = 0; i < palette.size(); ++i) {
        palette[i] = {viridis_channel(i, 16), viridis_channel(i, 8), viridis_channel(i, 0)};
    }
    return palette;
}

void append_big_endian(std::string& bytes, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xFFU);
}

/// A chunk: length, four letters, data, CRC of letters and data.
void append_chunk(std::string& png, const char* letters, const std::string& data) {
    append_big_endian(png, static_cast<std::uint32_t>(data.size()));
    const std::string checked = letters + data;
    png += checked;
    append_big_endian(
        png, static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(checked.data()), checked.size())));
}

std::string deflated(const std::string& data) {
    uLongf size = compressBound(static_cast<uLong>(data.size()));
    std::string packed(size, '\0');
    const int fault =
        compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
                  static_cast<uLong>(data.size()), Z_BEST_COMPRESSION);
    if (fault != Z_OK) throw UserError(ExitCode::device, "out of memory while compressing an image");
    packed.resize(size);
    return packed;
}

}  // namespace

const Palette& viridis() {
    static constexpr Palette palette = make_viridis();
    return palette;
}

std::string png_bytes(const IndexedImage& image, const Palette& palette) {
    expects(image.height > 0 && image.width > 0, "an image with pixels");
    expects(image.pixels.size() == std::size_t{image.height} * image.width, "one palette index per pixel");
    std::string header;
    append_big_endian(header, image.width);
    append_big_endian(header, image.height);
    header += std::string("\x08\x03\x00\x00\x00", 5);  // 8 bits, palette, deflate, standard filters, not interlaced
    std::string colours;
    for (const Colour& colour : palette) {
        colours += {static_cast<char>(colour.red), static_cast<char>(colour.green), static_cast<char>(colour.blue)};
    }
    std::string rows;
    for (std::size_t row = 0; row < image.height; ++row) {
        rows += '\0';  // no filter
        rows.append(reinterpret_cast<const char*>(image.pixels.data()) + row * image.width, image.width);
    }
    std::string png("\x89PNG\r\n\x1a\n");
    append_chunk(png, "IHDR", header);
    append_chunk(png, "PLTE", colours);
    append_chunk(png, "IDAT", deflated(rows));
    append_chunk(png, "IEND", {});
    return png;
}

void write_png(const std::filesystem::path& path, const IndexedImage& image, const Palette& palette) {
    const std::string bytes = png_bytes(image, palette);
    write_atomically(path, [&](OutputFile& file) { file.write(bytes.data(), bytes.size()); });
}

IndexedImage heat_map(const std::vector<std::uint64_t>& counts, Index height, Index width, std::uint64_t highest,
                      Index zoom) {
    expects(counts.size() == std::size_t{height} * width, "one count per pixel");
    expects(zoom > 0, "a zoom of at least 1");
    IndexedImage image{height * zoom, width * zoom, {}};
    image.pixels.resize(std::size_t{image.height} * image.width);
    for (std::size_t y = 0; y < image.height; ++y) {
        for (std::size_t x = 0; x < image.width; ++x) {
            const std::uint64_t count = std::min(counts[y / zoom * width + x / zoom], highest);
            const std::uint64_t shade = highest == 0 ? 0 : (count * 255 + highest / 2) / highest;
            image.pixels[y * image.width + x] = static_cast<std::uint8_t>(shade);
        }
    }
    return image;
}

Index fitting_zoom(Index height, Index width) {
    return std::max<Index>(1, 280 / std::max<Index>(1, std::max(height, width)));
}

std::vector<std::uint64_t> sum_over_channels(const std::vector<EdgeIndex>& counts, Index channels) {
    expects(channels > 0 && counts.size() % channels == 0, "the same number of pixels in every channel");
    std::vector<std::uint64_t> sums(counts.size() / channels, 0);
    for (std::size_t i = 0; i < counts.size(); ++i) sums[i % sums.size()] += counts[i];
    return sums;
}

}  // namespace espalier
