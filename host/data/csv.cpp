#include "host/data/csv.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "espalier/number_text.hpp"
#include "host/formats/input_file.hpp"
#include "host/data/labels.hpp"

namespace espalier {
namespace {

constexpr std::size_t longest_line = std::size_t{64} << 20;

std::string_view trimmed(std::string_view field) {
    while (!field.empty() && (field.front() == ' ' || field.front() == '\t')) field.remove_prefix(1);
    while (!field.empty() && (field.back() == ' ' || field.back() == '\t' || field.back() == '\r')) {
        field.remove_suffix(1);
    }
    return field;
}

std::optional<double> number(std::string_view field) {
    if (field.starts_with('+')) field.remove_prefix(1);
    return number_from<double>(field);
}

/// Calls `use(column, field)` for each field, columns counted from 1; returns their number.
template <class Use>
std::size_t for_fields(std::string_view line, Use&& use) {
    for (std::size_t column = 1;; ++column) {
        const auto comma = line.find(',');
        use(column, trimmed(line.substr(0, comma)));
        if (comma == std::string_view::npos) return column;
        line.remove_prefix(comma + 1);
    }
}

class CsvReader {
public:
    CsvReader(const std::filesystem::path& path, LabelColumn label)
        : file_(path, "", InputFile::unpromised_expansion), label_(label) {}

    CsvTable read() {
        if (file_.looks_like().find("HTML") != std::string::npos) file_.refuse(0, "CSV text", file_.looks_like());
        std::string text;
        std::string buffer(std::min<std::uint64_t>(std::uint64_t{1} << 20, file_.most() + 1), '\0');
        for (std::size_t got = buffer.size(); got == buffer.size();) {
            got = file_.read_some(buffer.data(), buffer.size());
            text.append(buffer, 0, got);
            if (text.find('\0') != std::string::npos) file_.refuse(0, "CSV text", file_.looks_like());
            std::size_t start = 0;
            for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
                take(std::string_view(text).substr(start, end - start));
            }
            text.erase(0, start);
            if (text.size() > longest_line) {
                ++line_;
                refuse(0, "a line of at most " + std::to_string(longest_line) + " bytes", "more");
            }
        }
        if (!text.empty()) take(text);
        file_.expect_end();
        if (table_.split.labels.empty())
            file_.refuse("expected samples, found none in " + std::to_string(line_) + " lines");
        table_.digest = file_.digest();
        return std::move(table_);
    }

private:
    [[noreturn]] void refuse(std::size_t column, const std::string& expected, const std::string& found) const {
        file_.refuse("line " + std::to_string(line_) + (column == 0 ? "" : ", column " + std::to_string(column)) +
                     ": expected " + expected + ", found " + found);
    }

    void take(std::string_view line) {
        if (++line_ == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
        if (trimmed(line).empty()) return;
        if (columns_ == 0) {
            bool numeric = true;
            columns_ =
                for_fields(line, [&](std::size_t, std::string_view field) { numeric &= number(field).has_value(); });
            set_columns();
            if (!numeric) return;  // a header
        }
        const std::size_t found = for_fields(line, [&](std::size_t column, std::string_view field) {
            if (column <= columns_) value(column, field);
        });
        if (found != columns_) {
            refuse(0, std::to_string(columns_) + " columns as in the lines above", std::to_string(found));
        }
    }

    void set_columns() {
        if (columns_ < 2) refuse(0, "a label and at least one feature, with commas between", "one column");
        const std::size_t label = label_.value_or(columns_);
        if (label < 1 || label > columns_) {
            refuse(0, "a label in column " + std::to_string(label), std::to_string(columns_) + " columns");
        }
        label_ = label;
        table_.features = static_cast<Index>(columns_ - 1);
    }

    void value(std::size_t column, std::string_view field) {
        const std::optional<double> parsed = number(field);
        const bool is_label = column == *label_;
        if (!parsed || !std::isfinite(*parsed)) {
            refuse(column, is_label ? "a label (a whole number from 0)" : "a finite number",
                   "'" + std::string(field.substr(0, 40)) + "'");
        }
        if (is_label) {
            if (!is_label_value(*parsed)) refuse(column, label_range(), std::string(field.substr(0, 40)));
            table_.split.labels.push_back(static_cast<std::int32_t>(*parsed));
        } else {
            const auto rounded = static_cast<float>(*parsed);
            if (!std::isfinite(rounded)) refuse(column, "a number a float can hold", std::string(field.substr(0, 40)));
            table_.split.floats.push_back(rounded);
        }
    }

    InputFile file_;
    LabelColumn label_;
    CsvTable table_;
    std::size_t line_ = 0;
    std::size_t columns_ = 0;
};

}  // namespace

CsvTable read_csv(const std::filesystem::path& path, LabelColumn label) { return CsvReader(path, label).read(); }

}  // namespace espalier
