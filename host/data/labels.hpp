// What a class label may be where a file, not a catalogue, says so: a whole number from 0 below max_classes. The bound
// keeps one stray value from asking for a network with billions of outputs.
#pragma once

#include <cmath>
#include <string>

namespace espalier {

inline constexpr int max_classes = 65536;

inline bool is_label_value(double value) { return value >= 0 && value < max_classes && std::floor(value) == value; }

inline std::string label_range() {
    return "a label (a whole number from 0 to " + std::to_string(max_classes - 1) + ")";
}

}  // namespace espalier
