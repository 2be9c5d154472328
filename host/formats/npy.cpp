#include "host/formats/npy.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "espalier/error.hpp"
#include "host/formats/input_file.hpp"
#include "host/formats/npy_items.hpp"
#include "host/formats/output_file.hpp"

namespace espalier {
namespace {

static_assert(std::endian::native == std::endian::little, "items go to and from memory as they are");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longest_header = 65536;  // of an array without named fields; NumPy's own limit is 10000
constexpr std::size_t max_dimensions = 32;    // NumPy's limit

struct TypeCode {
    NpyType type;
    std::string_view text;
    std::size_t bytes;
};
constexpr TypeCode type_codes[] = {{NpyType::b1, "|b1", 1}, {NpyType::u1, "|u1", 1}, {NpyType::u2, "<u2", 2},
                                   {NpyType::u4, "<u4", 4}, {NpyType::u8, "<u8", 8}, {NpyType::i1, "|i1", 1},
                                   {NpyType::i2, "<i2", 2}, {NpyType::i4, "<i4", 4}, {NpyType::i8, "<i8", 8},
                                   {NpyType::f4, "<f4", 4}, {NpyType::f8, "<f8", 8}, {NpyType::text, "|S", 1}};
constexpr std::size_t longest_text = std::size_t{1} << 20;  // characters of an item

const TypeCode& code_of(NpyType type) {
    return *std::find_if(std::begin(type_codes), std::end(type_codes),
                         [&](const auto& code) { return code.type == type; });
}

/// How the items lie in the file.
struct Layout {
    bool big_endian = false;
    bool fortran_order = false;
    bool half = false;  // float16, which becomes float32
    std::size_t text_bytes = 0;  // of a text item; 0: numbers
    bool unicode = false;        // whose characters take four bytes
};

/// The header dictionary, a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
public:
    HeaderParser(const InputFile& file, std::uint64_t start, std::string_view text)
        : file_(file), start_(start), text_(text) {}

    void parse(NpyArray& array, Layout& layout) {
        bool descr = false, order = false, shape = false;
        expect('{');
        while (!take('}')) {
            const std::string_view key = quoted();
            expect(':');
            if (key == "descr" && !descr) {
                descr = true;
                parse_type(array, layout);
            } else if (key == "fortran_order" && !order) {
                order = true;
                parse_order(layout);
            } else if (key == "shape" && !shape) {
                shape = true;
                parse_shape(array);
            } else {
                refuse("the keys descr, fortran_order and shape once each", "'" + std::string(key) + "'");
            }
            if (!take(',')) {
                expect('}');
                break;
            }
        }
        if (!(descr && order && shape)) refuse("the keys descr, fortran_order and shape", "fewer");
        if (next_ != text_.size()) refuse("the end of the header", found());
    }

private:
    [[noreturn]] void refuse(const std::string& expected, const std::string& what) const {
        file_.refuse(start_ + next_, "in the NPY header " + expected, what);
    }
    std::string found() const {
        return next_ < text_.size() ? "'" + std::string(text_.substr(next_, 20)) + "'" : "its end";
    }
    void skip_blanks() {
        while (next_ < text_.size() && (text_[next_] == ' ' || text_[next_] == '\n')) ++next_;
    }
    bool take(char wanted) {
        skip_blanks();
        if (next_ == text_.size() || text_[next_] != wanted) return false;
        ++next_;
        skip_blanks();
        return true;
    }
    void expect(char wanted) {
        if (!take(wanted)) refuse(std::string("'") + wanted + "'", found());
    }
    std::string_view quoted() {
        skip_blanks();
        const char quote = next_ < text_.size() ? text_[next_] : '\0';
        const auto end = quote == '\'' || quote == '"' ? text_.find(quote, next_ + 1) : std::string_view::npos;
        if (end == std::string_view::npos) refuse("a quoted text", found());
        const std::string_view value = text_.substr(next_ + 1, end - next_ - 1);
        next_ = end + 1;
        return value;
    }
    void parse_type(NpyArray& array, Layout& layout) {
        skip_blanks();
        const std::string known = "bool, u1 to u8, i1 to i8, f2, f4, f8, S or U as descr";
        if (next_ < text_.size() && text_[next_] == '[') refuse(known, "a record type");
        const std::string text(quoted());
        const bool ordered = !text.empty() && std::string_view("<>=|").find(text[0]) != std::string_view::npos;
        layout.big_endian = text.starts_with('>');
        const std::string_view kind = std::string_view(text).substr(ordered ? 1 : 0);
        if (kind.starts_with('U') || kind.starts_with('S')) {
            parse_text_type(kind, array, layout);
            return;
        }
        layout.half = kind == "f2";
        const auto* code = std::find_if(std::begin(type_codes), std::end(type_codes), [&](const auto& each) {
            return each.text.substr(1) == (layout.half ? "f4" : kind) && (ordered || each.bytes == 1);
        });
        if (code == std::end(type_codes)) refuse(known, "'" + text + "'" + mend(kind));
        array.type = code->type;
    }
    void parse_text_type(std::string_view kind, NpyArray& array, Layout& layout) {
        std::size_t length = 0;
        const auto [end, fault] = std::from_chars(kind.data() + 1, kind.data() + kind.size(), length);
        if (fault != std::errc{} || end != kind.data() + kind.size() || length < 1 || length > longest_text) {
            refuse("texts of 1 to " + std::to_string(longest_text) + " characters", "'" + std::string(kind) + "'");
        }
        array.type = NpyType::text;
        layout.unicode = kind.starts_with('U');
        layout.text_bytes = length * (layout.unicode ? 4 : 1);
    }
    static std::string mend(std::string_view kind) {
        if (kind.starts_with('O')) return " (pickled objects); save numpy.stack(...) or .astype() of a plain type";
        if (kind.starts_with('c')) return " (complex numbers); save real and imaginary parts as features";
        return "";
    }
    void parse_order(Layout& layout) {
        skip_blanks();
        layout.fortran_order = text_.substr(next_).starts_with("True");
        if (!layout.fortran_order && !text_.substr(next_).starts_with("False")) refuse("True or False", found());
        next_ += layout.fortran_order ? 4 : 5;
    }
    void parse_shape(NpyArray& array) {
        expect('(');
        while (!take(')')) {
            std::uint64_t extent = 0;
            const auto [end, fault] = std::from_chars(text_.data() + next_, text_.data() + text_.size(), extent);
            if (fault != std::errc{}) refuse("an extent below 2^64", found());
            if (array.shape.size() == max_dimensions) refuse("at most 32 dimensions", "more");
            next_ = static_cast<std::size_t>(end - text_.data());
            array.shape.push_back(extent);
            if (!take(',')) {
                expect(')');
                break;
            }
        }
    }

    const InputFile& file_;
    std::uint64_t start_;
    std::string_view text_;
    std::size_t next_ = 0;
};

/// Product of the extents and an item's bytes; nothing if it does not fit 64 bits.
std::optional<std::uint64_t> checked_bytes(std::uint64_t bytes, const std::vector<std::uint64_t>& shape) {
    if (std::find(shape.begin(), shape.end(), 0U) != shape.end()) return 0;
    for (const std::uint64_t extent : shape) {
        if (bytes > std::numeric_limits<std::uint64_t>::max() / extent) return std::nullopt;
        bytes *= extent;
    }
    return bytes;
}

std::size_t bytes_of(NpyType type, const std::vector<std::uint64_t>& shape) {
    const auto bytes = checked_bytes(item_size(type), shape);
    expects(bytes.has_value(), "an array below 2^64 bytes");
    return *bytes;
}

/// Magic, version 1.0, length and dictionary, padded with blanks so that the whole has `least` bytes or, being longer,
/// a multiple of 64.
std::string header(std::string_view descr, const std::vector<std::uint64_t>& shape, std::size_t least = 0) {
    std::string dictionary = "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        dictionary +=
            (i == 0 ? "" : " ") + std::to_string(shape[i]) + (shape.size() == 1 || i + 1 < shape.size() ? "," : "");
    }
    dictionary += "), }";
    constexpr std::size_t prefix = 10;
    const std::size_t total = std::max(least, (prefix + dictionary.size() + 1 + 63) / 64 * 64);
    dictionary.resize(total - prefix - 1, ' ');
    dictionary += '\n';
    std::string text(magic);
    text += {'\x01', '\x00', static_cast<char>(dictionary.size() & 255), static_cast<char>(dictionary.size() >> 8)};
    return text + dictionary;
}

std::string header(NpyType type, const std::vector<std::uint64_t>& shape, std::size_t least = 0) {
    return header(code_of(type).text, shape, least);
}

}  // namespace

std::string npy_header(const std::string& descr, const std::vector<std::uint64_t>& shape) {
    return header(std::string_view(descr), shape);
}

std::size_t item_size(NpyType type) { return code_of(type).bytes; }

NpyArray read_npy(const std::filesystem::path& path) {
    InputFile file(path);
    return read_npy(file);
}

NpyArray read_npy(InputFile& file) {
    char start[8] = {};
    const std::size_t got = file.read_some(start, sizeof start);
    if (got < sizeof start || std::string_view(start, magic.size()) != magic) {
        file.refuse(0, "an NPY file (bytes 93 4e 55 4d 50 59)", file.looks_like());
    }
    if (start[6] < 1 || start[6] > 3) file.refuse(6, "NPY version 1, 2 or 3", std::to_string(start[6]));
    std::array<std::uint8_t, 4> length_bytes{};
    file.read(length_bytes.data(), start[6] == 1 ? 2 : 4, "header length");
    std::size_t length = 0;
    for (std::size_t i = 4; i-- > 0;) length = length << 8 | length_bytes[i];
    if (length > longest_header) {
        file.refuse(8, "a header of at most " + std::to_string(longest_header) + " bytes", std::to_string(length));
    }
    const std::uint64_t header_start = file.offset();
    std::string text(length, '\0');
    file.read(text.data(), length, "header");
    NpyArray array;
    Layout layout;
    HeaderParser(file, header_start, text).parse(array, layout);
    const bool is_text = array.type == NpyType::text;
    const std::size_t item = is_text ? layout.text_bytes : item_size(array.type);
    const auto bytes = checked_bytes(item, array.shape);
    if (!bytes)
        file.refuse(header_start, "a shape whose bytes fit 64 bits", "'" + text.substr(0, text.find('}') + 1) + "'");
    array.data = file.read_bytes(layout.half ? *bytes / 2 : *bytes, "items");
    file.expect_end();
    array.digest = file.digest();
    const std::size_t ordered = layout.half ? 2 : layout.unicode ? 4 : item_size(array.type);  // bytes swapped together
    if (layout.big_endian) swap_bytes(array.data, ordered);
    if (layout.half) widen_halves(array.data);
    if (layout.fortran_order) reorder(array.shape, item, array.data);
    if (!is_text) return array;
    array.texts = texts_of(array.data, item, layout.unicode);
    array.data.clear();
    return array;
}

void write_npy(const std::filesystem::path& path, NpyType type, const std::vector<std::uint64_t>& shape,
               const void* items) {
    write_atomically(path, [&](OutputFile& file) {
        const std::string head = header(type, shape);
        file.write(head.data(), head.size());
        file.write(items, bytes_of(type, shape));
    });
}

namespace {

/// Writes all bytes at a place of the file; returns 0 or the errno.
int write_at(int file, const void* bytes, std::size_t count, std::uint64_t offset) {
    const char* next = static_cast<const char*>(bytes);
    while (count > 0) {
        const ssize_t done = ::pwrite(file, next, count, static_cast<off_t>(offset));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        next += done;
        count -= static_cast<std::size_t>(done);
        offset += static_cast<std::uint64_t>(done);
    }
    return 0;
}

}  // namespace

NpyAppender::NpyAppender(std::filesystem::path path, NpyType type, const std::vector<std::uint64_t>& row_shape,
                         std::optional<std::uint64_t> bytes)
    : path_(std::move(path)), type_(type), row_bytes_(bytes_of(type, row_shape)) {
    shape_.push_back(std::numeric_limits<std::uint64_t>::max());
    shape_.insert(shape_.end(), row_shape.begin(), row_shape.end());
    header_bytes_ = header(type_, shape_).size();  // wide enough for every count
    if (bytes.has_value()) {
        if (*bytes < header_bytes_ || (*bytes - header_bytes_) % row_bytes_ != 0) {
            throw UserError(ExitCode::io, "cannot go on writing " + path_.string() + ": " + std::to_string(*bytes) +
                                              " bytes are not the end of a row");
        }
        rows_ = (*bytes - header_bytes_) / row_bytes_;
        file_ = reopen(path_, *bytes);
    } else {
        file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (file_ < 0) throw_unwritable(path_, errno);
    }
    shape_[0] = rows_;
    if (const int error = write_header(); error != 0) {
        ::close(file_);
        throw_unwritable(path_, error);
    }
}

int NpyAppender::write_header() {
    const std::string head = header(type_, shape_, header_bytes_);
    return write_at(file_, head.data(), head.size(), 0);
}

void NpyAppender::sync() { sync_file(file_, path_); }

NpyAppender::NpyAppender(NpyAppender&& other) noexcept
    : path_(std::move(other.path_)),
      type_(other.type_),
      shape_(std::move(other.shape_)),
      row_bytes_(other.row_bytes_),
      header_bytes_(other.header_bytes_),
      rows_(other.rows_),
      file_(std::exchange(other.file_, -1)) {}

NpyAppender& NpyAppender::operator=(NpyAppender&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(type_, other.type_);
    std::swap(shape_, other.shape_);
    std::swap(row_bytes_, other.row_bytes_);
    std::swap(header_bytes_, other.header_bytes_);
    std::swap(rows_, other.rows_);
    std::swap(file_, other.file_);
    return *this;
}

NpyAppender::~NpyAppender() {
    if (file_ >= 0) ::close(file_);
}

void NpyAppender::append(const void* row) {
    const std::uint64_t end = header_bytes_ + rows_ * row_bytes_;
    // the row first: until the header counts it, readers do not see it
    int error = write_at(file_, row, row_bytes_, end);
    if (error == 0) {
        shape_[0] = rows_ + 1;
        error = write_header();
    }
    if (error != 0) {
        shape_[0] = rows_;
        // the header still counts the old rows; what cannot be cut off is ignored by NumPy
        [[maybe_unused]] const int uncut = ::ftruncate(file_, static_cast<off_t>(end));
        throw_unwritable(path_, error);
    }
    ++rows_;
}

}  // namespace espalier
