// Items of an NPY file made what this program works with, whatever the order of their bytes and indices.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

/// Reverses the bytes of every item of `bytes` bytes.
void swap_bytes(std::vector<std::uint8_t>& data, std::size_t bytes);

/// Half-precision numbers as float32.
void widen_halves(std::vector<std::uint8_t>& data);

/// From Fortran order, the first index running fastest, to C order; `item`: its bytes.
void reorder(const std::vector<std::uint64_t>& shape, std::size_t item, std::vector<std::uint8_t>& data);

/// Texts of `item` bytes each, without the zeros behind them: code points of four bytes as UTF-8 if `unicode`, else the
/// bytes as they are. A number that is no code point becomes U+FFFD.
std::vector<std::string> texts_of(const std::vector<std::uint8_t>& data, std::size_t item, bool unicode);

}  // namespace espalier
