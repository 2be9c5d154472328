// Files of key = value lines as people write them: recipes, config files, studies. TOML's strings, lists, sections and
// comments, and words without quotes besides.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

struct ConfigLine {
    std::string section;              // of the [section] above it; empty: none
    std::string name;                 // empty: the line is the head of its section
    std::vector<std::string> values;  // several for a list: [a, b], or a, b or a b on one line; none for []
    std::size_t line = 0;             // from 1
};

/// Reads every line. Values are words, "strings" with the escapes \" \\ \n \t \xHH \uHHHH (any other backslash stands
/// for itself, as in the files of older versions) or 'strings' without; a # begins a comment where it follows a blank.
/// Throws UserError (usage) with the source and the number of the line.
std::vector<ConfigLine> read_config_lines(std::string_view text, const std::string& source);

/// A value between quotation marks, valid UTF-8, that read_config_lines reads back to the same bytes.
std::string quoted_config_value(std::string_view value);

}  // namespace espalier
