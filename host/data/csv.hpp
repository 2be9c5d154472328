// CSV tables: one sample a line, its label in one column or real-valued targets in some, numbers in all others. Commas, semicolons, tabs or blanks
// between the fields, quotes as RFC 4180 has them. A first line is a header if none of its fields is a number; what
// could be either is refused until `header` says. Labels are whole numbers or texts.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/index.hpp"
#include "host/data/labels.hpp"

namespace espalier {

struct CsvOptions {
    enum class Header { guess, yes, no };
    std::string label = "first";  // the label's column: first, last, a number from 1, or a name in the header
    Header header = Header::guess;
    std::string targets;  // columns of real-valued targets (find_targets); not empty: there is no label
    /// The features' names, where they are known: in a header of these and one more, that one is the label's column.
    std::vector<std::string> known_columns;
    /// A table of exactly so many columns holds features only, without labels; 0: labels there must be.
    Index unlabelled_features = 0;
};

struct CsvTable {
    std::vector<float> floats;  // [samples][features]
    LabelTable labels;          // empty if the table has none
    std::vector<double> targets;            // [samples][target_names]
    std::vector<std::string> target_names;  // where they are asked for
    bool labelled = true;       // has labels or targets
    Index features = 0;
    std::vector<std::string> columns;   // the features' names, UTF-8; empty without a header
    std::string label_column;           // its name
    std::vector<std::string> remarks;   // what a reader may want to know
    std::string digest;                 // SHA-256 of the decompressed file, hex

    [[nodiscard]] std::size_t samples() const { return features == 0 ? 0 : floats.size() / features; }
};

/// Reads a file (raw or gzip, told by content). Throws UserError (data) with file, line and column.
CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options = {});

}  // namespace espalier
