// Numbers of a table's columns as text.
#pragma once

#include <string>

#include "espalier/rule.hpp"

namespace espalier {

/// A number of a column of reals: as number_text(), but never like a whole number ("0.0"). Readers that take a column's
/// type from its rows then see one type in all of them.
inline std::string real_text(double value) {
    std::string text = number_text(value);
    if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
    return text;
}

}  // namespace espalier
