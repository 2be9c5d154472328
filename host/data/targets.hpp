// Real-valued targets: the columns of a table or an array that a regression is to predict, and their names.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/formats/npy.hpp"

namespace espalier {

/// A text that says a column by its place among `count`, from 1: "first", "last" or a number (which may lie outside).
std::optional<std::size_t> column_by_place(const std::string& text, std::size_t count);

struct TargetColumns {
    std::vector<std::size_t> columns;  // from 1, in the order asked for
    bool named = false;                // one of them by its name: the first line is a header
};

/// Called with what was expected and found; does not return.
using RefuseColumns = std::function<void(const std::string& expected, const std::string& found)>;

/// The columns that `asked` lists with commas between: by place, or by a name in `fields`, a table's first line (which
/// may be one with commas in it). `may_be_named` false: the table has no header.
TargetColumns find_targets(const std::string& asked, const std::vector<std::string>& fields, bool may_be_named,
                           const RefuseColumns& refuse);

/// The names of targets that have none: "target", or "target_1" and so on.
std::vector<std::string> unnamed_targets(std::size_t count);

struct ArrayTargets {
    std::vector<double> values;  // [samples][count]
    std::size_t count = 0;
};

/// Of an array [samples], [samples][1] or [samples][columns] of any numbers; `asked`: "all" or columns by place.
/// Throws UserError (data) with file, place, expected and found; usage for other columns.
ArrayTargets targets_of(const NpyArray& array, std::uint64_t samples, const std::string& asked, const std::string& where);

}  // namespace espalier
