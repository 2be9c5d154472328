// Elementary functions in explicit fused multiply-adds: the same bits on every machine and in every vector width.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "espalier/host_device.hpp"

namespace espalier {

/// exp(x) by range reduction and a polynomial in explicit fmaf (about 1 ulp): vectorisable, the same bits everywhere.
ESPALIER_HOST_DEVICE inline float portable_exp(float x) {
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    // 1.5 * 2^23 rounds to the nearest integer
    const float shifted = fmaf(x, 1.44269504F, 12582912.0F);
    const float n = shifted - 12582912.0F;
    float r = fmaf(n, -0.693145752F, x);
    r = fmaf(n, -1.42860677e-6F, r);
    float p = 1.37805939e-3F;
    p = fmaf(p, r, 8.37312452e-3F);
    p = fmaf(p, r, 4.16695364e-2F);
    p = fmaf(p, r, 1.66664720e-1F);
    p = fmaf(p, r, 4.99999851e-1F);
    p = fmaf(p, r, 1.0F);
    p = fmaf(p, r, 1.0F);
    std::int32_t word = 0;
    std::memcpy(&word, &shifted, sizeof word);
    word = static_cast<std::int32_t>((static_cast<std::uint32_t>(word) + 127U) << 23);  // 2^n
    float scale = 0;
    std::memcpy(&scale, &word, sizeof scale);
    return p * scale;
}

/// Natural logarithm of a positive normal float, to 1 ulp or so, in explicit fmaf: the same bits on every machine.
/// NaN for NaN and infinity.
ESPALIER_HOST_DEVICE inline float portable_log(float x) {
    std::uint32_t word = 0;
    std::memcpy(&word, &x, sizeof word);
    const std::uint32_t shifted = word - 0x3f2aaaabU;  // mantissa into [2/3, 4/3)
    const int exponent = static_cast<int>(shifted) >> 23;
    word = (shifted & 0x007fffffU) + 0x3f2aaaabU;
    float mantissa = 0;
    std::memcpy(&mantissa, &word, sizeof mantissa);
    const float f = mantissa - 1.0F;
    float r = -0.130310059F;
    r = fmaf(r, f, 0.140869141F);
    r = fmaf(r, f, -0.121483512F);
    r = fmaf(r, f, 0.139814854F);
    r = fmaf(r, f, -0.166846126F);
    r = fmaf(r, f, 0.200120345F);
    r = fmaf(r, f, -0.249996200F);
    r = fmaf(r, f, 0.333331972F);
    r = fmaf(r, f, -0.5F);
    r = fmaf(r * f, f, f);
    return fmaf(static_cast<float>(exponent), 0.693147182F, r) + (x - x);  // + 0: else the bit tricks would hide a NaN
}

}  // namespace espalier
