// Heat maps: counts per pixel of an image drawn in viridis, as PNG files with an 8-bit palette.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "espalier/index.hpp"

namespace espalier {

struct Colour {
    std::uint8_t red = 0, green = 0, blue = 0;
};

using Palette = std::array<Colour, 256>;

/// The viridis colour map (van der Walt & Smith, 2015), each channel within 1/255 of the original.
const Palette& viridis();

/// Palette indices, row-major [height][width].
struct IndexedImage {
    Index height = 0, width = 0;
    std::vector<std::uint8_t> pixels;
};

/// The image in PNG's bytes. Format: W3C, "Portable Network Graphics", 2003.
std::string png_bytes(const IndexedImage& image, const Palette& palette);

/// Writes a PNG file, whole or not at all. Throws UserError (io) with path and reason.
void write_png(const std::filesystem::path& path, const IndexedImage& image, const Palette& palette);

/// Counts [height][width], 0 drawn as the palette's first colour and `highest` as its last; every count becomes a
/// square of zoom x zoom pixels.
IndexedImage heat_map(const std::vector<std::uint64_t>& counts, Index height, Index width, std::uint64_t highest,
                      Index zoom);

/// The map as a PNG that stands alone: near 280 pixels, the centre square (half the shorter side) marked, a colour bar
/// from 0 to `highest` with its unit.
std::string framed_heat_map(const std::vector<std::uint64_t>& counts, Index height, Index width, std::uint64_t highest);

/// The zoom that brings an image's longer side near 280 pixels; at least 1.
Index fitting_zoom(Index height, Index width);

/// Counts per pixel of images stored [channel][pixel], summed over the channels.
std::vector<std::uint64_t> sum_over_channels(const std::vector<EdgeIndex>& counts, Index channels);

}  // namespace espalier
