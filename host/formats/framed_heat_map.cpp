// A heat map as a picture that stands alone: colour bar with its unit, centre square marked.
#include <algorithm>
#include <string_view>

#include "espalier/error.hpp"
#include "host/formats/heat_map.hpp"

namespace espalier {
namespace {

// The last two colours of the palette are taken from viridis' end for the frame.
constexpr std::uint8_t last_shade = 253, paper = 254, ink = 255;
constexpr Index margin = 10, bar_width = 14, pen = 2;           // pixels
constexpr Index glyph_width = 5, glyph_height = 7, advance = 6;  // in pens

struct Glyph {
    char letter;
    std::uint8_t rows[glyph_height];  // five bits each, the left one highest
};

/// What the frame says: digits and the letters of "edges per pixel".
constexpr Glyph glyphs[] = {
    {'0', {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}}, {'1', {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', {0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f}}, {'3', {0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e}},
    {'4', {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}}, {'5', {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}}, {'7', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}}, {'9', {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}},
    {'d', {0x01, 0x01, 0x0d, 0x13, 0x11, 0x11, 0x0f}}, {'e', {0x00, 0x00, 0x0e, 0x11, 0x1f, 0x10, 0x0e}},
    {'g', {0x00, 0x0f, 0x11, 0x11, 0x0f, 0x01, 0x0e}}, {'i', {0x04, 0x00, 0x0c, 0x04, 0x04, 0x04, 0x0e}},
    {'l', {0x0c, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}}, {'p', {0x00, 0x00, 0x1e, 0x11, 0x1e, 0x10, 0x10}},
    {'r', {0x00, 0x00, 0x16, 0x19, 0x10, 0x10, 0x10}}, {'s', {0x00, 0x00, 0x0e, 0x10, 0x0e, 0x01, 0x1e}},
    {'x', {0x00, 0x00, 0x11, 0x0a, 0x04, 0x0a, 0x11}}};

void fill(IndexedImage& image, Index left, Index top, Index width, Index height, std::uint8_t colour) {
    for (Index y = top; y < std::min(top + height, image.height); ++y) {
        for (Index x = left; x < std::min(left + width, image.width); ++x) {
            image.pixels[std::size_t{y} * image.width + x] = colour;
        }
    }
}

void outline(IndexedImage& image, Index left, Index top, Index width, Index height, std::uint8_t colour) {
    fill(image, left, top, width, 1, colour);
    fill(image, left, top + height - 1, width, 1, colour);
    fill(image, left, top, 1, height, colour);
    fill(image, left + width - 1, top, 1, height, colour);
}

void write(IndexedImage& image, Index left, Index top, std::string_view text) {
    for (const char letter : text) {
        for (const Glyph& glyph : glyphs) {
            if (glyph.letter != letter) continue;
            for (Index y = 0; y < glyph_height; ++y) {
                for (Index x = 0; x < glyph_width; ++x) {
                    if ((glyph.rows[y] >> (glyph_width - 1 - x) & 1) != 0) {
                        fill(image, left + pen * x, top + pen * y, pen, pen, ink);
                    }
                }
            }
        }
        left += pen * advance;
    }
}

constexpr Index text_length(std::string_view text) { return pen * advance * static_cast<Index>(text.size()); }

Palette frame_palette() {
    Palette palette{};
    for (std::size_t shade = 0; shade <= last_shade; ++shade) palette[shade] = viridis()[shade * 255 / last_shade];
    palette[paper] = {255, 255, 255};
    palette[ink] = {0, 0, 0};
    return palette;
}

}  // namespace

std::string framed_heat_map(const std::vector<std::uint64_t>& counts, Index height, Index width,
                            std::uint64_t highest) {
    expects(counts.size() == std::size_t{height} * width, "one count per pixel");
    constexpr std::string_view unit = "edges per pixel";
    const Index zoom = fitting_zoom(height, width), line = pen * (glyph_height + 3);
    const Index map_width = width * zoom, map_height = height * zoom, bar_height = std::max(map_height, 3 * line);
    const std::string top_text = std::to_string(highest);
    const Index bar_left = 2 * margin + map_width;
    IndexedImage image{bar_height + 2 * margin + line,
                       std::max(bar_left + bar_width + margin / 2 + text_length(top_text), margin + text_length(unit)) +
                           margin,
                       {}};
    image.pixels.assign(std::size_t{image.height} * image.width, paper);
    for (Index y = 0; y < height; ++y) {
        for (Index x = 0; x < width; ++x) {
            const std::uint64_t count = std::min(counts[std::size_t{y} * width + x], highest);
            const std::uint64_t shade = highest == 0 ? 0 : (count * last_shade + highest / 2) / highest;
            fill(image, margin + x * zoom, margin + y * zoom, zoom, zoom, static_cast<std::uint8_t>(shade));
        }
    }
    if (const Index side = std::min(height, width) / 2; side > 1) {
        const Index left = margin + (width - side) / 2 * zoom, top = margin + (height - side) / 2 * zoom;
        outline(image, left, top, side * zoom, side * zoom, paper);
        outline(image, left - 1, top - 1, side * zoom + 2, side * zoom + 2, ink);
    }
    for (Index y = 0; y < bar_height; ++y) {
        const Index shade = bar_height > 1 ? (bar_height - 1 - y) * last_shade / (bar_height - 1) : 0;
        fill(image, bar_left, margin + y, bar_width, 1, static_cast<std::uint8_t>(shade));
    }
    const Index beside_bar = bar_left + bar_width + margin / 2;
    write(image, beside_bar, margin, top_text);
    write(image, beside_bar, margin + bar_height - pen * glyph_height, "0");
    write(image, margin, image.height - line, unit);
    return png_bytes(image, frame_palette());
}

}  // namespace espalier
