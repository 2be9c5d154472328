#include "host/formats/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "espalier/error.hpp"

namespace espalier {
namespace {

constexpr std::size_t piece = std::size_t{1} << 20;

std::string hex_bytes(const std::uint8_t* bytes, std::size_t count) {
    std::string text = "bytes";
    for (std::size_t i = 0; i < count; ++i) {
        text += ' ';
        text += "0123456789abcdef"[bytes[i] >> 4];
        text += "0123456789abcdef"[bytes[i] & 15];
    }
    return text;
}

/// Names the formats that turn up where data was expected, most of all a web server's page.
std::string describe(const std::uint8_t* bytes, std::size_t count) {
    const std::string_view text(reinterpret_cast<const char*>(bytes), count);
    const auto first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
    if (count == 0) return "an empty file";
    if (first != std::string_view::npos && text[first] == '<') return "an HTML or XML page";
    if (text.starts_with("PK\x03\x04")) return "a ZIP archive";
    if (text.starts_with("\x93NUMPY")) return "an NPY file";
    if (text.starts_with("\x1f\x8b")) return "a gzip file";
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) return "UTF-16 text (save it as UTF-8)";
    if (text.starts_with("BZh")) return "a bzip2 file";
    if (text.starts_with("\xfd"
                         "7zXZ")) {
        return "an XZ file";
    }
    return hex_bytes(bytes, std::min<std::size_t>(count, 4));
}

}  // namespace

struct InputFile::Inflater {
    z_stream stream{};
    bool ended = false;

    // 16: a gzip wrapper, whose checksum and length zlib then verifies
    Inflater() { expects(inflateInit2(&stream, 15 + 16) == Z_OK, "zlib to start"); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() { inflateEnd(&stream); }
};

InputFile::InputFile(std::filesystem::path path, std::string remedy, std::uint64_t expansion)
    : path_(std::move(path)), remedy_(std::move(remedy)) {
    // O_NONBLOCK: opening a pipe must not wait for a writer
    file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0) refuse("cannot be read (" + std::string(std::strerror(errno)) + ")");
    try {
        struct stat status {};
        if (::fstat(file_, &status) != 0) refuse("cannot be read (" + std::string(std::strerror(errno)) + ")");
        if (!S_ISREG(status.st_mode)) refuse("is not a regular file");
        size_ = static_cast<std::uint64_t>(status.st_size);
        most_ = size_;
        raw_.resize(std::clamp<std::uint64_t>(size_, 1, piece / 4));
        fill();
        start(expansion);
    } catch (...) {
        ::close(file_);
        throw;
    }
}

InputFile::InputFile(std::filesystem::path path, std::vector<std::uint8_t> bytes, std::string remedy,
                     std::uint64_t expansion)
    : path_(std::move(path)), remedy_(std::move(remedy)), size_(bytes.size()), raw_(std::move(bytes)) {
    raw_end_ = raw_.size();
    start(expansion);
}

InputFile::~InputFile() {
    if (file_ >= 0) ::close(file_);
}

/// Looks at the first bytes, which have been read.
void InputFile::start(std::uint64_t expansion) {
    most_ = size_;
    if (raw_end_ < 2 || raw_[0] != 0x1f || raw_[1] != 0x8b) {
        looks_like_ = describe(raw_.data(), std::min<std::size_t>(raw_end_, 64));
        return;
    }
    inflater_ = std::make_unique<Inflater>();
    // a few bytes of grace keep tiny files from failing a ratio
    most_ = size_ * expansion + 4096;
    std::uint8_t head[64] = {};
    const std::size_t got = inflate_some(head, sizeof head);
    looks_like_ = "a gzip file holding " + describe(head, got);
    // from the start again, now that the first bytes are known
    inflater_ = std::make_unique<Inflater>();
    rewind();
}

void InputFile::rewind() {
    raw_next_ = 0;
    if (file_ < 0) return;
    if (::lseek(file_, 0, SEEK_SET) != 0) refuse("cannot be rewound (" + std::string(std::strerror(errno)) + ")");
    fill();
}

void InputFile::refuse(const std::string& fault) const {
    throw UserError(ExitCode::data, path_.string() + ": " + fault + "." + (remedy_.empty() ? "" : " " + remedy_));
}

void InputFile::refuse(std::uint64_t offset, const std::string& expected, const std::string& found) const {
    refuse("at byte " + std::to_string(offset) + " expected " + expected + ", found " + found);
}

void InputFile::fill() {
    if (file_ < 0) {
        raw_next_ = raw_end_;
        return;
    }
    raw_next_ = raw_end_ = 0;
    for (;;) {
        const ssize_t got = ::read(file_, raw_.data(), raw_.size());
        if (got >= 0) {
            raw_end_ = static_cast<std::size_t>(got);
            return;
        }
        if (errno != EINTR) refuse("reading failed (" + std::string(std::strerror(errno)) + ")");
    }
}

/// At the end of a gzip member: whether another one follows, which is then begun.
bool InputFile::begins_another_member() {
    if (raw_next_ == raw_end_) fill();
    if (raw_next_ == raw_end_ || raw_[raw_next_] != 0x1f) return false;
    return inflateReset(&inflater_->stream) == Z_OK;
}

std::size_t InputFile::inflate_some(std::uint8_t* to, std::size_t bytes) {
    z_stream& stream = inflater_->stream;
    stream.next_out = to;
    stream.avail_out = static_cast<uInt>(bytes);
    while (stream.avail_out > 0 && !inflater_->ended) {
        if (raw_next_ == raw_end_) fill();
        stream.next_in = raw_.data() + raw_next_;
        stream.avail_in = static_cast<uInt>(raw_end_ - raw_next_);
        const bool out_of_input = stream.avail_in == 0;
        const int status = inflate(&stream, Z_NO_FLUSH);
        raw_next_ = raw_end_ - stream.avail_in;
        inflater_->ended = status == Z_STREAM_END && !begins_another_member();
        const std::uint64_t delivered = offset_ + bytes - stream.avail_out;
        if (status == Z_MEM_ERROR) throw std::bad_alloc();
        if (status == Z_BUF_ERROR && out_of_input) {
            refuse("the gzip stream is truncated: it ends after " + std::to_string(size_) + " compressed and " +
                   std::to_string(delivered) + " decompressed bytes, expected its checksum there");
        }
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
            refuse("the gzip stream is damaged at decompressed byte " + std::to_string(delivered) +
                   " (zlib: " + (stream.msg != nullptr ? stream.msg : "preset dictionary") + ")");
        }
    }
    return bytes - stream.avail_out;
}

std::size_t InputFile::read_some(void* to, std::size_t bytes) {
    auto* next = static_cast<std::uint8_t*>(to);
    std::size_t left = bytes;
    while (left > 0) {
        const std::size_t want = std::min(left, piece);
        std::size_t got = 0;
        if (inflater_ != nullptr) {
            got = inflate_some(next, want);
        } else {
            if (raw_next_ == raw_end_) fill();
            got = std::min(want, raw_end_ - raw_next_);
            std::memcpy(next, raw_.data() + raw_next_, got);
            raw_next_ += got;
        }
        if (got == 0) break;
        offset_ += got;
        if (inflater_ != nullptr && offset_ > most_) {
            refuse("the gzip stream expands to more than " + std::to_string(most_) + " bytes from " +
                   std::to_string(size_) + ", which no honest file of this format does; if it is one, gunzip it first");
        }
        digest_.update(next, got);
        next += got;
        left -= got;
    }
    return bytes - left;
}

void InputFile::read(void* to, std::size_t bytes, std::string_view what) {
    const std::uint64_t start = offset_;
    const std::size_t got = read_some(to, bytes);
    if (got == bytes) return;
    refuse(start, std::to_string(bytes) + " bytes of " + std::string(what),
           got == 0 ? "the end of the file" : "the end of the file after " + std::to_string(got));
}

std::vector<std::uint8_t> InputFile::read_bytes(std::uint64_t bytes, std::string_view what) {
    if (bytes > most_ - std::min(most_, offset_)) {
        refuse(offset_, std::to_string(bytes) + " bytes of " + std::string(what),
               inflater_ == nullptr
                   ? "a file of only " + std::to_string(size_) + " bytes"
                   : "a gzip file of " + std::to_string(size_) + " bytes, which cannot expand to that many");
    }
    std::vector<std::uint8_t> data;
    data.reserve(std::min(bytes, 64 * size_));  // claims addresses; memory follows as pieces arrive
    while (data.size() < bytes) {
        const std::size_t have = data.size();
        const std::size_t part = std::min<std::uint64_t>(bytes - have, 4 * piece);
        const std::uint64_t start = offset_;
        data.resize(have + part);
        const std::size_t got = read_some(data.data() + have, part);
        if (got < part) {
            refuse(start - have, std::to_string(bytes) + " bytes of " + std::string(what),
                   "the end of the file after " + std::to_string(have + got));
        }
    }
    return data;
}

std::vector<std::uint8_t> InputFile::read_all() {
    std::vector<std::uint8_t> data;
    data.reserve(inflater_ == nullptr ? size_ + 1 : 0);
    for (;;) {
        const std::size_t have = data.size();
        const std::size_t part = std::min<std::uint64_t>(piece, most_ - std::min(most_, offset_) + 1);
        data.resize(have + part);
        const std::size_t got = read_some(data.data() + have, part);
        data.resize(have + got);
        if (got < part) return data;
    }
}

void InputFile::expect_end() {
    std::uint8_t extra = 0;
    const std::uint64_t end = offset_;
    if (read_some(&extra, 1) != 0) {
        refuse(end, "the end of the file",
               inflater_ == nullptr ? std::to_string(size_ - end) + " trailing bytes" : "trailing bytes");
    }
    if (inflater_ == nullptr) return;
    if (raw_next_ == raw_end_) fill();
    if (raw_next_ != raw_end_) refuse("expected the end of the file after the gzip stream, found trailing bytes");
}

std::string InputFile::digest() { return digest_.hex(); }

std::string file_digest(const std::filesystem::path& path, const std::string& remedy) {
    InputFile file(path, remedy);
    std::vector<std::uint8_t> buffer(piece);
    while (file.read_some(buffer.data(), buffer.size()) == buffer.size()) {
    }
    file.expect_end();
    return file.digest();
}

}  // namespace espalier
