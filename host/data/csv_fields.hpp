// Lines of a CSV file and the fields in them: commas, semicolons, tabs or blanks between, quotes as RFC 4180 has them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace espalier {

/// Without blanks, tabs and a carriage return at either end.
std::string_view trimmed_field(std::string_view field);

/// The number a field is, "True" and "False" being 1 and 0; nothing for a text. Underflow gives 0, overflow infinity.
std::optional<double> csv_number(std::string_view field);

/// True for what programs write where a value is missing: nothing, NA, N/A, NaN, null, ?
bool is_missing(std::string_view field);

/// The text itself if it is UTF-8, else what it is as Latin-1.
std::string as_utf8(std::string_view text);

/// What stands between the fields of a file whose first line is given: '\t', ';', ',' or ' ' (any run of blanks).
char find_separator(std::string_view line);

/// Follows quotes over the lines of a record: after a line, whether a quoted field goes on in the next one.
class QuoteWatch {
public:
    bool goes_on(std::string_view line, char separator);

private:
    bool inside_ = false;
};

/// Splits one record into fields.
class FieldSplitter {
public:
    explicit FieldSplitter(char separator) : separator_(separator) {}

    /// Calls `use(column, field)` for each field, columns counted from 1; returns their number. `stray` is the column
    /// of the first quoted field with text behind its quotes, 0: none.
    template <class Use>
    std::size_t split(std::string_view record, std::size_t& stray, Use&& use) {
        stray = 0;
        std::size_t column = 0;
        bool more = true;
        if (separator_ == ' ') record = trimmed_field(record);
        while (more) {
            const std::string_view field = next(record, more);
            ++column;
            if (stray_ && stray == 0) stray = column;
            use(column, field);
        }
        return column;
    }

private:
    std::string_view next(std::string_view& record, bool& more);

    char separator_;
    bool stray_ = false;
    std::string unquoted_;
};

}  // namespace espalier
