// The colours of charts, measured: how far apart they are for normal sight and for the two kinds of red-green blindness.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "host/report/assets.hpp"
#include "host/report/svg_chart.hpp"

namespace espalier {
namespace {

using Triple = std::array<double, 3>;
using Matrix = std::array<Triple, 3>;

/// Full protanopia and deuteranopia in linear RGB. Source: Machado, Oliveira & Fernandes, "A physiologically-based model
/// for simulation of color vision deficiency", IEEE TVCG 15, 2009, severity 1.
constexpr Matrix normal_sight{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
constexpr Matrix protanopia{{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}};
constexpr Matrix deuteranopia{{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}};

Triple linear_rgb(const std::string& hex) {
    Triple linear{};
    for (std::size_t c = 0; c < 3; ++c) {
        const double value = std::stoi(hex.substr(2 * c, 2), nullptr, 16) / 255.0;
        linear[c] = value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
    }
    return linear;
}

Triple times(const Matrix& matrix, const Triple& vector) {
    Triple result{};
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t c = 0; c < 3; ++c) result[r] += matrix[r][c] * vector[c];
    }
    return result;
}

/// CIE L*a*b* for D65.
Triple lab(Triple linear) {
    for (double& channel : linear) channel = std::clamp(channel, 0.0, 1.0);
    constexpr Matrix to_xyz{{{0.4124564, 0.3575761, 0.1804375}, {0.2126729, 0.7151522, 0.0721750}, {0.0193339, 0.1191920, 0.9503041}}};
    const Triple xyz = times(to_xyz, linear);
    const auto f = [](double t) { return t > 216.0 / 24389 ? std::cbrt(t) : (24389.0 / 27 * t + 16) / 116; };
    const double x = f(xyz[0] / 0.95047), y = f(xyz[1]), z = f(xyz[2] / 1.08883);
    return {116 * y - 16, 500 * (x - y), 200 * (y - z)};
}

/// CIEDE2000. Source: Sharma, Wu & Dalal, Color Research and Application 30, 2005.
double difference(const Triple& one, const Triple& other) {
    constexpr double degree = std::numbers::pi / 180;
    const double chroma = (std::hypot(one[1], one[2]) + std::hypot(other[1], other[2])) / 2;
    const double g = 0.5 * (1 - std::sqrt(std::pow(chroma, 7) / (std::pow(chroma, 7) + std::pow(25.0, 7))));
    const double a1 = (1 + g) * one[1], a2 = (1 + g) * other[1];
    const double c1 = std::hypot(a1, one[2]), c2 = std::hypot(a2, other[2]);
    const auto hue = [&](double b, double a) {
        if (a == 0 && b == 0) return 0.0;
        const double h = std::atan2(b, a) / degree;
        return h < 0 ? h + 360 : h;
    };
    const double h1 = hue(one[2], a1), h2 = hue(other[2], a2);
    double dh = h2 - h1;
    if (c1 * c2 == 0) dh = 0;
    if (dh > 180) dh -= 360;
    if (dh < -180) dh += 360;
    const double l_step = other[0] - one[0], c_step = c2 - c1;
    const double h_step = 2 * std::sqrt(c1 * c2) * std::sin(dh / 2 * degree);
    const double l_mean = (one[0] + other[0]) / 2, c_mean = (c1 + c2) / 2;
    double h_mean = h1 + h2;
    if (c1 * c2 != 0) {
        if (std::abs(h1 - h2) <= 180) h_mean /= 2;
        else h_mean = h1 + h2 < 360 ? (h1 + h2 + 360) / 2 : (h1 + h2 - 360) / 2;
    }
    const double t = 1 - 0.17 * std::cos((h_mean - 30) * degree) + 0.24 * std::cos(2 * h_mean * degree) +
                     0.32 * std::cos((3 * h_mean + 6) * degree) - 0.20 * std::cos((4 * h_mean - 63) * degree);
    const double turn = 30 * std::exp(-std::pow((h_mean - 275) / 25, 2));
    const double rc = 2 * std::sqrt(std::pow(c_mean, 7) / (std::pow(c_mean, 7) + std::pow(25.0, 7)));
    const double off = std::pow(l_mean - 50, 2);
    const double sl = 1 + 0.015 * off / std::sqrt(20 + off), sc = 1 + 0.045 * c_mean, sh = 1 + 0.015 * c_mean * t;
    const double l = l_step / sl, c = c_step / sc, h = h_step / sh;
    return std::sqrt(l * l + c * c + h * h - std::sin(2 * turn * degree) * rc * c * h);
}

double luminance(const std::string& hex) {
    const Triple linear = linear_rgb(hex);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

double contrast_ratio(const std::string& one, const std::string& other) {
    const double a = luminance(one) + 0.05, b = luminance(other) + 0.05;
    return std::max(a, b) / std::min(a, b);
}

/// The hexadecimal values that a variable of the style sheet takes: for light, dark and print.
std::vector<std::string> values_of(const std::string& variable) {
    const std::string style = report_asset("chart.css"), key = "--" + variable + ": #";
    std::vector<std::string> values;
    for (auto at = style.find(key); at != std::string::npos; at = style.find(key, at + 1)) {
        std::string hex = style.substr(at + key.size(), style.find(';', at) - at - key.size());
        if (hex.size() == 3) hex = {hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]};
        values.push_back(hex);
    }
    return values;
}

TEST(Colours, TheMeasureIsCiede2000) {
    // Pairs 1, 7, 17 and 25 of the authors' test data.
    EXPECT_NEAR(difference({50, 2.6772, -79.7751}, {50, 0, -82.7485}), 2.0425, 1e-4);
    EXPECT_NEAR(difference({50, 0, 0}, {50, -1, 2}), 2.3669, 1e-4);
    EXPECT_NEAR(difference({50, 2.5, 0}, {73, 25, -18}), 27.1492, 1e-4);
    EXPECT_NEAR(difference({60.2574, -34.0099, 36.2677}, {60.4626, -34.1751, 39.4387}), 1.2644, 1e-4);
}

TEST(Colours, EightSeriesAreToldApartByRedGreenBlindPeopleToo) {
    constexpr double apart = 10;
    const std::vector<std::string> papers = values_of("paper");
    ASSERT_EQ(papers.size(), 3U);
    for (std::size_t scheme = 0; scheme < papers.size(); ++scheme) {
        std::vector<std::string> colours;
        for (std::size_t c = 0; c < num_colours; ++c) colours.push_back(values_of("c" + std::to_string(c)).at(scheme));
        for (std::size_t a = 0; a < colours.size(); ++a) {
            EXPECT_GT(contrast_ratio(colours[a], papers[scheme]), 3) << colours[a] << " on " << papers[scheme];
            for (std::size_t b = 0; b < a; ++b) {
                for (const Matrix& sight : {normal_sight, protanopia, deuteranopia}) {
                    EXPECT_GT(difference(lab(times(sight, linear_rgb(colours[a]))), lab(times(sight, linear_rgb(colours[b])))),
                              apart)
                        << colours[a] << " and " << colours[b];
                }
            }
        }
        for (const char* text : {"ink", "soft"}) {
            EXPECT_GT(contrast_ratio(values_of(text).at(scheme), papers[scheme]), 4.5) << text;
        }
    }
}

}  // namespace
}  // namespace espalier
