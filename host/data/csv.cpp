#include "host/data/csv.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "host/data/csv_fields.hpp"
#include "host/data/targets.hpp"
#include "host/formats/input_file.hpp"

namespace espalier {
namespace {

constexpr std::size_t longest_record = std::size_t{64} << 20;

std::string quoted_field(std::string_view field) { return "'" + as_utf8(field.substr(0, 40)) + "'"; }

class CsvReader {
public:
    CsvReader(const std::filesystem::path& path, const CsvOptions& options)
        : file_(path, "", InputFile::unpromised_expansion), options_(options) {}

    CsvTable read() {
        if (file_.looks_like().find("HTML") != std::string::npos || file_.looks_like().starts_with("UTF-16")) {
            file_.refuse(0, "CSV text", file_.looks_like());
        }
        std::string text;
        std::string buffer(std::min<std::uint64_t>(std::uint64_t{1} << 20, file_.most() + 1), '\0');
        for (std::size_t got = buffer.size(); got == buffer.size();) {
            got = file_.read_some(buffer.data(), buffer.size());
            text.append(buffer, 0, got);
            if (text.find('\0') != std::string::npos) file_.refuse(0, "CSV text", file_.looks_like());
            const auto lone = text.find('\r');
            if (line_ == 0 && lone != std::string::npos && text.find('\n') == std::string::npos && lone + 1 < text.size()) {
                file_.refuse(lone, "lines that end with a line feed",
                             "a carriage return alone, as old Macintosh programs write it; tr '\\r' '\\n' mends the file");
            }
            std::size_t start = 0;
            for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
                take_line(std::string_view(text).substr(start, end - start));
            }
            text.erase(0, start);
            if (text.size() > longest_record) {
                ++line_;
                refuse_line("a line of at most " + std::to_string(longest_record) + " bytes", "more");
            }
        }
        if (!text.empty()) take_line(text);
        finish();
        return std::move(table_);
    }

private:
    void finish() {
        file_.expect_end();
        if (!record_.empty()) {
            line_ = record_line_;
            refuse_line("a quote that ends the quoted field", "the end of the file");
        }
        if (table_.floats.empty())
            file_.refuse("expected samples, found none in " + std::to_string(line_) + " lines");
        table_.labels = labels_.take();
        if (text_label_ != 0 && number_label_ != 0) {
            table_.remarks.push_back("the labels of " + file_.path().string() + " are numbers (line " +
                                     std::to_string(number_label_) + ") and texts (line " +
                                     std::to_string(text_label_) + "): all are taken as names of classes");
        }
        table_.digest = file_.digest();
    }

    [[noreturn]] void refuse_line(const std::string& expected, const std::string& found) const {
        file_.refuse("line " + std::to_string(line_) + ": expected " + expected + ", found " + found);
    }
    [[noreturn]] void refuse_field(std::size_t column, const std::string& expected, const std::string& found) const {
        const std::string name = column <= names_.size() ? " (" + quoted_field(names_[column - 1]) + ")" : "";
        const bool perhaps_header = names_.empty() && options_.header == CsvOptions::Header::guess &&
                                    line_ == first_line_ && text_in_first_line_;
        file_.refuse("line " + std::to_string(line_) + ", column " + std::to_string(column) + name + ": expected " +
                     expected + ", found " + found +
                     (perhaps_header ? ". If line " + std::to_string(line_) + " is a header, say header=yes" : ""));
    }
    [[noreturn]] void refuse_ambiguous(const std::string& why) const {
        file_.refuse("line " + std::to_string(first_line_) + " could be a header or a sample: " + why +
                     ". Say which: header=yes or header=no");
    }

    /// Takes a line into the record it belongs to, and the record when it is whole.
    void take_line(std::string_view line) {
        if (++line_ == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
        if (record_.empty() && trimmed_field(line).empty()) return;
        if (columns_ == 0 && line.starts_with('#')) return;  // numpy.savetxt's header
        if (separator_ == '\0') separator_ = find_separator(line);
        const bool goes_on = quotes_.goes_on(line, separator_);
        if (!goes_on && record_.empty()) {
            take_record(line);
            return;
        }
        if (record_.empty()) record_line_ = line_;
        record_.append(record_.empty() ? "" : "\n").append(line);
        if (record_.size() > longest_record) {
            line_ = record_line_;
            refuse_line("a quote that ends the quoted field", "none in " + std::to_string(longest_record) + " bytes");
        }
        if (goes_on) return;
        const std::string record = std::move(record_);
        record_.clear();
        take_record(record);
    }

    void take_record(std::string_view record) {
        if (columns_ == 0 && begin(record)) return;
        std::size_t stray = 0;
        const std::size_t found =
            FieldSplitter(separator_).split(record, stray, [&](std::size_t column, std::string_view field) {
                if (column > columns_) return;
                if (column == label_) {
                    take_label(column, field);
                } else if (!targets_.empty() && is_target(column)) {
                    take_target(column, field);
                } else {
                    take_feature(column, field);
                }
            });
        if (found != columns_) {
            refuse_line(std::to_string(columns_) + " columns as in the lines above", std::to_string(found));
        }
        if (stray != 0) refuse_field(stray, "a separator behind the closing quote", "more text");
        table_.targets.insert(table_.targets.end(), targets_of_record_.begin(), targets_of_record_.end());
    }

    /// Looks at the first line; true if it is a header.
    bool begin(std::string_view record) {
        std::vector<std::string> fields;
        std::size_t stray = 0;
        columns_ = FieldSplitter(separator_).split(
            record, stray, [&](std::size_t, std::string_view field) { fields.emplace_back(field); });
        first_line_ = line_;
        table_.labelled = options_.unlabelled_features == 0 || columns_ != options_.unlabelled_features;
        if (columns_ < (table_.labelled ? 2 : 1)) {
            refuse_line("a label and at least one feature, with commas, semicolons, tabs or blanks between",
                        "one column");
        }
        const bool named = options_.targets.empty() ? choose_label(fields) : choose_targets(fields);
        const bool header = named || is_header(fields);
        table_.features = static_cast<Index>(columns_ - targets_.size() - (label_ == 0 ? 0 : 1));
        if (header) take_header(fields);
        return header;
    }

    /// Finds the label's column; true if it is named, which makes the line a header.
    bool choose_label(const std::vector<std::string>& fields) {
        if (!table_.labelled) return false;
        if (knows_label(fields)) return true;
        const std::string& label = options_.label;
        std::size_t column = 0;
        const auto [end, fault] = std::from_chars(label.data(), label.data() + label.size(), column);
        const bool number = fault == std::errc{} && end == label.data() + label.size();
        if (label == "first" || label == "last" || number) {
            label_ = label == "first" ? 1 : label == "last" ? columns_ : column;
            if (label_ < 1 || label_ > columns_) {
                refuse_line("a label in column " + label, std::to_string(columns_) + " columns");
            }
            return false;
        }
        const auto named = std::find(fields.begin(), fields.end(), label);
        if (named == fields.end() || options_.header == CsvOptions::Header::no) {
            std::string names;
            for (std::size_t i = 0; i < std::min<std::size_t>(fields.size(), 8); ++i) {
                names += (i == 0 ? "" : ", ") + quoted_field(fields[i]);
            }
            refuse_line("a header with a column '" + label + "', the label's",
                        names + (fields.size() > 8 ? ", ..." : ""));
        }
        label_ = static_cast<std::size_t>(named - fields.begin()) + 1;
        return true;
    }

    /// Finds the targets' columns; true if one is named, which makes the line a header.
    bool choose_targets(const std::vector<std::string>& fields) {
        table_.target_names = unnamed_targets(1);
        if (!table_.labelled) return false;
        const std::string or_none = options_.unlabelled_features == 0
                                        ? ""
                                        : " (or the " + std::to_string(options_.unlabelled_features) + " features alone)";
        const auto refuse = [&](const std::string& expected, const std::string& found) {
            refuse_line(expected + or_none, found);
        };
        const TargetColumns found =
            find_targets(options_.targets, fields, options_.header != CsvOptions::Header::no, refuse);
        targets_ = found.columns;
        if (targets_.size() == columns_) refuse_line("a feature beside the targets", "targets alone");
        targets_of_record_.resize(targets_.size());
        table_.target_names = unnamed_targets(targets_.size());
        return found.named;
    }

    [[nodiscard]] bool is_target(std::size_t column) const {
        return std::find(targets_.begin(), targets_.end(), column) != targets_.end();
    }

    /// Finds the label as the one column that is no known feature.
    bool knows_label(const std::vector<std::string>& fields) {
        const auto& known = options_.known_columns;
        const bool named = options_.header != CsvOptions::Header::no;
        if (!named || known.empty() || fields.size() != known.size() + 1) return false;
        std::size_t others = 0, other = 0;
        for (std::size_t i = 0; i < fields.size(); ++i) {
            if (std::find(known.begin(), known.end(), as_utf8(fields[i])) != known.end()) continue;
            ++others;
            other = i + 1;
        }
        if (others != 1) return false;
        label_ = other;
        return true;
    }

    bool is_header(const std::vector<std::string>& fields) {
        if (options_.header != CsvOptions::Header::guess) return options_.header == CsvOptions::Header::yes;
        std::size_t numbers = 0, features = 0, missing = 0;
        bool counts = true;  // 0, 1, 2, ... from the first feature or the first column on
        for (std::size_t i = 0, next = 0; i < fields.size(); ++i) {
            const bool is_number = csv_number(fields[i]).has_value() && !is_missing(fields[i]);
            numbers += is_number ? 1 : 0;
            const bool is_label = i + 1 == label_;
            if (is_label && !is_number) continue;
            counts = counts && fields[i] == std::to_string(next++);
            if (is_label) continue;
            features += is_number ? 1 : 0;
            missing += is_missing(fields[i]) ? 1 : 0;
        }
        const std::size_t num_features = fields.size() - (label_ == 0 ? 0 : 1);
        const bool text_label = numbers < fields.size() && features == num_features;
        text_in_first_line_ = numbers < fields.size();
        if (numbers == 0 && missing == num_features) refuse_ambiguous("its features are all missing");
        if (numbers == fields.size() && counts && fields.size() >= 4) {
            refuse_ambiguous("it counts 0, 1, 2, ..., as a table without names of its own does");
        }
        if (text_label && counts && num_features >= 2) {
            refuse_ambiguous("it counts 0, 1, 2, ... beside " + quoted_field(fields[label_ - 1]));
        }
        if (text_label) text_label_of_first_line_ = fields[label_ - 1];
        return numbers == 0;
    }

    void take_header(std::vector<std::string>& fields) {
        for (std::string& field : fields) field = as_utf8(field);
        names_ = std::move(fields);
        for (std::size_t i = 0; i < names_.size(); ++i) {
            if (i + 1 == label_) {
                table_.label_column = names_[i];
            } else if (!is_target(i + 1)) {
                table_.columns.push_back(names_[i]);
            }
        }
        for (std::size_t t = 0; t < targets_.size(); ++t) table_.target_names[t] = names_[targets_[t] - 1];
        if (label_ != 0 && names_[label_ - 1].empty()) {
            line_ = first_line_;
            refuse_field(label_, "the label's name",
                         "none: pandas writes its row numbers so; leave them out (index=False) or name the label's "
                         "column (label=NAME)");
        }
        if (std::find(table_.columns.begin(), table_.columns.end(), "") != table_.columns.end()) {
            table_.remarks.push_back(file_.path().string() +
                                     " has a column without a name: if it numbers the rows, as pandas' index does, it "
                                     "should not be a feature");
        }
    }

    void take_label(std::size_t column, std::string_view field) {
        if (is_missing(field)) {
            refuse_field(column, "a label", field.empty() ? "none" : "a missing one (" + quoted_field(field) + ")");
        }
        const bool is_text = field == "True" || field == "False" || !csv_number(field).has_value();
        std::optional<std::string> name = is_text ? as_utf8(field) : label_name(*csv_number(field));
        if (!name) {
            refuse_field(column, "a label (a whole number or a text; label= names its column, --targets columns of real values)",
                         quoted_field(field));
        }
        std::uint64_t& first = is_text ? text_label_ : number_label_;
        if (first == 0) first = line_;
        if (!text_label_of_first_line_.empty() && !is_text) {
            refuse_ambiguous("its label is the text " + quoted_field(text_label_of_first_line_) + ", that of line " +
                             std::to_string(line_) + " the number " + quoted_field(field));
        }
        if (line_ > first_line_) text_label_of_first_line_.clear();
        if (!labels_.add(*name, line_)) {
            refuse_field(column, "labels of at most " + std::to_string(max_classes) + " classes",
                         "one more, " + quoted_field(field) + " (label= names the label's column)");
        }
    }

    void take_target(std::size_t column, std::string_view field) {
        const auto place = static_cast<std::size_t>(std::find(targets_.begin(), targets_.end(), column) - targets_.begin());
        targets_of_record_[place] = finite_number(column, field);
    }

    void take_feature(std::size_t column, std::string_view field) {
        const auto rounded = static_cast<float>(finite_number(column, field));
        if (!std::isfinite(rounded)) refuse_field(column, "a number a float can hold", quoted_field(field));
        table_.floats.push_back(rounded);
    }

    [[nodiscard]] double finite_number(std::size_t column, std::string_view field) const {
        const std::optional<double> parsed = csv_number(field);
        if (!parsed || !std::isfinite(*parsed)) {
            refuse_field(column, "a finite number",
                         (is_missing(field) ? "a missing value: " : "") + quoted_field(field) + advice(field));
        }
        return *parsed;
    }

    static std::string advice(std::string_view field) {
        const bool numeric = !field.empty() && field.find_first_not_of("0123456789,.+-eE") == std::string_view::npos;
        if (numeric && field.find(',') != std::string_view::npos) return " (decimals are written with a point)";
        return "";
    }

    InputFile file_;
    CsvOptions options_;
    CsvTable table_;
    LabelCollector labels_;
    QuoteWatch quotes_;
    char separator_ = '\0';            // none seen yet
    std::string record_;               // lines of a record whose quotes are open
    std::size_t line_ = 0, record_line_ = 0, first_line_ = 0;
    std::size_t columns_ = 0;
    std::size_t label_ = 0;            // its column, from 1; 0: none
    std::vector<std::size_t> targets_;       // their columns, from 1, in the order asked for
    std::vector<double> targets_of_record_;  // likewise
    std::vector<std::string> names_;         // of all columns
    bool text_in_first_line_ = false;  // which was taken for a sample
    std::string text_label_of_first_line_;
    std::uint64_t text_label_ = 0, number_label_ = 0;  // lines of the first of each kind
};

}  // namespace

CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options) {
    return CsvReader(path, options).read();
}

}  // namespace espalier
