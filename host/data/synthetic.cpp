#include "host/data/synthetic.hpp"

#include <algorithm>
#include <array>

#include "espalier/random.hpp"
#include "host/formats/sha256.hpp"

namespace espalier {
namespace {

// Lengths are in sixteenths of a pixel.
constexpr int unit = 16;
constexpr int centre_side = static_cast<int>(synthetic_side - 2 * synthetic_margin);
constexpr int shapes_per_class = 2;  // two ways to write each class: no single linear template fits
constexpr int strokes_per_shape = 3;
constexpr int shift = 5 * unit / 4;  // a sample lies up to this far from its shape's place
constexpr int wobble = unit / 2;     // and each end of a stroke up to this far from there
constexpr int radius = 2 * unit;     // of a stroke
constexpr int faintest = 128;        // stroke
constexpr int noise = 64;            // brightest background
constexpr std::uint64_t blocks_per_sample = 32;
constexpr std::uint64_t noise_block = 16;  // of a sample's blocks, the first of its background: a row each
constexpr std::uint64_t generator_seed = 0;
static_assert(centre_side == 16, "a block of random bits is a row of background");

struct Point {
    int x, y;
};
struct Stroke {
    Point from, to;
};
using Shape = std::array<Stroke, strokes_per_shape>;
using Shapes = std::array<std::array<Shape, shapes_per_class>, synthetic_classes>;

/// Successive whole numbers from a stream.
class Draws {
public:
    Draws(const Stream& stream, std::uint64_t first_block) : stream_(stream), next_(4 * first_block) {}
    /// In [low, high].
    int between(int low, int high) {
        return low + static_cast<int>(bounded(stream_.bits(next_++), static_cast<std::uint32_t>(high - low + 1)));
    }

private:
    Stream stream_;
    std::uint64_t next_;
};

Shapes draw_shapes() {
    Draws draws({generator_seed, Purpose::synthetic, 0, 0}, 0);
    constexpr int low = shift + unit;
    constexpr int high = centre_side * unit - 1 - low;
    Shapes shapes{};
    for (auto& of_class : shapes) {
        for (Shape& shape : of_class) {
            for (Stroke& stroke : shape) {
                stroke = {{draws.between(low, high), draws.between(low, high)},
                          {draws.between(low, high), draws.between(low, high)}};
            }
        }
    }
    return shapes;
}

/// Squared distance of a point from a stroke.
int squared_distance(Point point, const Stroke& stroke) {
    const int along_x = stroke.to.x - stroke.from.x, along_y = stroke.to.y - stroke.from.y;
    const int x = point.x - stroke.from.x, y = point.y - stroke.from.y;
    const int length = along_x * along_x + along_y * along_y;
    const int projection = std::clamp(x * along_x + y * along_y, 0, length);
    if (length == 0) return x * x + y * y;
    const int off_x = x - along_x * projection / length, off_y = y - along_y * projection / length;
    return off_x * off_x + off_y * off_y;
}

void draw_sample(const Shapes& shapes, const Stream& stream, std::uint32_t sample, std::uint8_t* pixels) {
    const std::uint64_t first_block = sample * blocks_per_sample;
    Draws draws(stream, first_block);
    Shape shape = shapes[sample % synthetic_classes][static_cast<std::size_t>(draws.between(0, shapes_per_class - 1))];
    const Point moved{draws.between(-shift, shift), draws.between(-shift, shift)};
    std::array<int, strokes_per_shape> brightness{};
    for (std::size_t i = 0; i < shape.size(); ++i) {
        for (Point* end : {&shape[i].from, &shape[i].to}) {
            end->x += moved.x + draws.between(-wobble, wobble);
            end->y += moved.y + draws.between(-wobble, wobble);
        }
        brightness[i] = draws.between(faintest, 255);
    }
    for (int y = 0; y < centre_side; ++y) {
        const RandomBlock background = stream.block(first_block + noise_block + static_cast<std::uint64_t>(y));
        for (int x = 0; x < centre_side; ++x) {
            const std::uint32_t byte = (background.word[x / 4] >> (8 * (x % 4))) & 255;
            int value = static_cast<int>(byte) * noise / 256;
            for (std::size_t i = 0; i < shape.size(); ++i) {
                const int distance = squared_distance({x * unit + unit / 2, y * unit + unit / 2}, shape[i]);
                value = std::max(value, brightness[i] * (radius * radius - distance) / (radius * radius));
            }
            pixels[(synthetic_margin + static_cast<Index>(y)) * synthetic_side + synthetic_margin +
                   static_cast<Index>(x)] = static_cast<std::uint8_t>(value);
        }
    }
}

}  // namespace

Split synthetic_split(bool test, std::uint32_t samples) {
    constexpr std::size_t pixels = std::size_t{synthetic_side} * synthetic_side;
    const Shapes shapes = draw_shapes();
    const Stream stream{generator_seed, Purpose::synthetic, test ? 2U : 1U, 0};
    Split split;
    split.bytes.resize(pixels * samples);
    split.labels.resize(samples);
    for (std::uint32_t sample = 0; sample < samples; ++sample) {
        split.labels[sample] = static_cast<std::int32_t>(sample % synthetic_classes);
        draw_sample(shapes, stream, sample, split.bytes.data() + pixels * sample);
    }
    return split;
}

std::string synthetic_digest() {
    std::string parameters = "synthetic 1:";
    for (const std::uint64_t value :
         {std::uint64_t{synthetic_side}, std::uint64_t{synthetic_margin}, std::uint64_t{synthetic_classes},
          std::uint64_t{unit}, std::uint64_t{shapes_per_class}, std::uint64_t{strokes_per_shape}, std::uint64_t{shift},
          std::uint64_t{wobble}, std::uint64_t{radius}, std::uint64_t{faintest}, std::uint64_t{noise},
          blocks_per_sample, noise_block, generator_seed}) {
        parameters += " " + std::to_string(value);
    }
    return sha256(parameters);
}

}  // namespace espalier
