// Statistics of learned topology: where in the image a layer's edges end. A map holds one number per pixel, a curve
// one per centred square, and every judgement ("positive learning") comes as a number with a p-value or an interval.
// Nothing here knows of data sets, files or backends.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/index.hpp"
#include "espalier/topology.hpp"

namespace espalier {

/// How a layer's inputs form an image: stored [channel][row][column]. Plain features are one row.
struct ImageShape {
    Index height = 0, width = 0, channels = 1;
    [[nodiscard]] std::uint64_t inputs() const { return std::uint64_t{height} * width * channels; }
    friend bool operator==(const ImageShape&, const ImageShape&) = default;
};

/// One number per pixel, row-major [height][width].
struct PixelMap {
    Index height = 0, width = 0;
    std::vector<double> values;
};

/// Connections per pixel: the edges leaving each input, summed over the channels. Inputs without an edge count 0.
/// `input_degrees` must hold one number per input of `shape`.
PixelMap pixel_map(const std::vector<EdgeIndex>& input_degrees, const ImageShape& shape);

/// Mean of all pixels.
double mean(const PixelMap& map);

/// Means over centred squares growing from the smallest (side 2, or 1 along an odd side) by one pixel on every side up
/// to the whole image; along a shorter side squares are cut at the image's edge. The last value is the overall mean.
/// Source: the trend curve of the SparseNet study, v[i] over rows and columns 13-i .. 14+i of a 28 x 28 map.
std::vector<double> trend_curve(const PixelMap& map);

/// Means over the rings between one centred square and the next, the smallest square first.
std::vector<double> ring_curve(const PixelMap& map);

/// The side of the centre square that contrast() takes by default: half the image's shorter side (14 of 28), at
/// least 1.
Index default_centre_side(const PixelMap& map);

/// Mean of the centred `side` x `side` square (half a pixel up and left where the parities differ) over the mean of
/// the map, minus 1: above 0 the centre is denser. `side` 0: the default. NaN for a map of zeros.
double contrast(const PixelMap& map, Index side = 0);

/// Mean of the outer `width` pixels on every side over the mean of the map, minus 1: below 0 the margin has fewer
/// edges. `width` 0: a fourteenth of the shorter side (2 of 28), at least 1. NaN for a map of zeros.
double margin_contrast(const PixelMap& map, Index width = 0);

/// Pearson's correlation of two maps of one shape, in [-1, 1]; NaN if either is constant.
double correlation(const PixelMap& a, const PixelMap& b);

/// What a map or a set of runs says: positive learning is a centre denser than the margin, negative the inverse.
enum class Learning { positive, negative, undecided };
const char* name(Learning learning);

struct SignTest {
    double contrast = 0;
    double p_value = 1;  // two-sided
    Learning learning = Learning::undecided;
};

/// Permutation test of one map's contrast. Null hypothesis: the pixels are exchangeable, that is, their numbers of
/// edges were dealt to positions at random, as an Erdős–Rényi topology deals them. p = (1 + permutations with a
/// contrast at least as far from 0) / (1 + permutations): exact, never 0. It judges this one map: trained maps are
/// smooth, neighbours alike, so a small p excludes chance but does not promise the same sign from another seed; for
/// that see mean_interval(). Source: Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010 (the two ones).
SignTest sign_test(const PixelMap& map, Index side = 0, double level = 0.05, std::uint32_t permutations = 9999,
                   std::uint64_t seed = 1);

/// A mean with its Student t interval.
struct MeanInterval {
    double mean = 0;
    double half_width = 0;  // infinite for a single value
    std::size_t count = 0;
    [[nodiscard]] double low() const { return mean - half_width; }
    [[nodiscard]] double high() const { return mean + half_width; }
};

/// Mean of independent values (one per seed) and the interval that covers the true mean with the given confidence if
/// they are normal. At least one value.
MeanInterval mean_interval(const std::vector<double>& values, double confidence = 0.95);

/// Positive or negative if the interval lies wholly on one side of 0.
Learning verdict(const MeanInterval& contrast);

/// The t that |T| stays below with probability `confidence` in (0, 1), for T of Student's distribution with `freedom`
/// degrees of freedom (at least 1).
double student_quantile(double confidence, double freedom);

/// Two topologies of one layer shape, compared cell by cell. Hidden neurons have no identity across seeds: networks
/// born differently agree by chance however alike they are, while one that was continued or fixed does not.
struct TopologyOverlap {
    std::uint64_t shared = 0;  // cells that hold an edge in both
    double expected = 0;       // by chance, for random topologies with these edge counts
    double deviation = 0;      // of `shared` by chance, in standard deviations (hypergeometric)
    double jaccard = 0;        // shared over cells that hold an edge in either
    double similarity = 0;  // 0: as by chance, 1: the smaller one lies in the larger; NaN where chance leaves no choice
    [[nodiscard]] double distance() const { return 1 - similarity; }
};
TopologyOverlap overlap(const Topology& a, const Topology& b);

}  // namespace espalier
