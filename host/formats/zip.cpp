#include "host/formats/zip.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>

#include "espalier/error.hpp"

namespace espalier {
namespace {

constexpr std::uint32_t local_magic = 0x04034b50;
constexpr std::uint32_t member_magic = 0x02014b50;
constexpr std::uint32_t end_magic = 0x06054b50;
constexpr std::uint32_t wide_end_magic = 0x06064b50;
constexpr std::uint32_t wide_locator_magic = 0x07064b50;
constexpr std::uint64_t end_bytes = 22, longest_comment = 65535;
constexpr std::uint64_t expansion = 1032;  // of deflate, at most
constexpr std::uint32_t narrow_limit = 0xffffffff;  // a field that says: see the wide one

}  // namespace

/// Little-endian fields one after the other; what lies beyond the end reads as 0.
class ZipFile::Fields {
public:
    explicit Fields(const std::vector<std::uint8_t>& bytes, std::size_t start = 0) : bytes_(bytes), next_(start) {}
    std::uint16_t u2() { return static_cast<std::uint16_t>(take(2)); }
    std::uint32_t u4() { return static_cast<std::uint32_t>(take(4)); }
    std::uint64_t u8() { return take(8); }
    void skip(std::size_t count) { next_ += count; }
    [[nodiscard]] std::size_t place() const { return next_; }
    [[nodiscard]] std::size_t left() const { return bytes_.size() - std::min(next_, bytes_.size()); }
    std::vector<std::uint8_t> some(std::size_t count) {
        count = std::min(count, left());
        const auto first = bytes_.begin() + static_cast<std::ptrdiff_t>(std::min(next_, bytes_.size()));
        next_ += count;
        return {first, first + static_cast<std::ptrdiff_t>(count)};
    }

private:
    std::uint64_t take(std::size_t count) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (next_ + i < bytes_.size()) value |= std::uint64_t{bytes_[next_ + i]} << (8 * i);
        }
        next_ += count;
        return value;
    }

    const std::vector<std::uint8_t>& bytes_;
    std::size_t next_;
};

ZipFile::ZipFile(std::filesystem::path path, std::string remedy) : path_(std::move(path)), remedy_(std::move(remedy)) {
    try {
        open();
        read_directory(find_directory());
    } catch (...) {
        if (file_ >= 0) ::close(file_);
        throw;
    }
}

ZipFile::~ZipFile() { ::close(file_); }

void ZipFile::open() {
    const auto fail = [&](const std::string& fault) {
        throw UserError(ExitCode::data, path_.string() + ": " + fault + "." + (remedy_.empty() ? "" : " " + remedy_));
    };
    file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0) fail("cannot be read (" + std::string(std::strerror(errno)) + ")");
    struct stat status {};
    if (::fstat(file_, &status) != 0) fail("cannot be read (" + std::string(std::strerror(errno)) + ")");
    if (!S_ISREG(status.st_mode)) fail("is not a regular file");
    size_ = static_cast<std::uint64_t>(status.st_size);
}

void ZipFile::refuse(std::uint64_t offset, const std::string& expected, const std::string& found) const {
    throw UserError(ExitCode::data, path_.string() + ": at byte " + std::to_string(offset) + " expected " + expected +
                                        ", found " + found + "." + (remedy_.empty() ? "" : " " + remedy_));
}

std::vector<std::uint8_t> ZipFile::at(std::uint64_t offset, std::uint64_t count, const char* what) const {
    if (offset > size_ || count > size_ - offset) {
        refuse(std::min(offset, size_), std::to_string(count) + " bytes of " + what,
               "a file of only " + std::to_string(size_) + " bytes");
    }
    std::vector<std::uint8_t> bytes(count);
    for (std::uint64_t have = 0; have < count;) {
        const ssize_t got = ::pread(file_, bytes.data() + have, count - have, static_cast<off_t>(offset + have));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            refuse(offset + have, what, got < 0 ? std::string(std::strerror(errno)) : "the end of the file");
        }
        have += static_cast<std::uint64_t>(got);
    }
    return bytes;
}

ZipFile::Directory ZipFile::find_directory() const {
    const std::uint64_t tail = std::min(size_, end_bytes + longest_comment);
    const std::uint64_t start = size_ - tail;
    const std::vector<std::uint8_t> bytes = at(start, tail, "a ZIP archive");
    std::uint64_t end = tail;
    for (std::uint64_t i = tail; i-- > 0 && end == tail;) {
        if (i + end_bytes > tail || Fields(bytes, i).u4() != end_magic) continue;
        if (i + end_bytes + Fields(bytes, i + 20).u2() <= tail) end = i;
    }
    if (end == tail) refuse(start, "a ZIP archive, whose directory ends the file", "none (was it cut short?)");
    Fields fields(bytes, end + 10);
    Directory directory;
    directory.members = fields.u2();
    directory.size = fields.u4();
    directory.start = fields.u4();
    constexpr std::uint64_t locator_bytes = 20;
    if (start + end < locator_bytes) return directory;
    const auto locator = at(start + end - locator_bytes, locator_bytes, "a ZIP archive");
    if (Fields(locator).u4() != wide_locator_magic) return directory;
    const std::uint64_t wide_start = Fields(locator, 8).u8();
    const auto wide = at(wide_start, 56, "the ZIP archive's wide end record");
    if (Fields(wide).u4() != wide_end_magic) refuse(wide_start, "a zip64 end record", "another");
    Fields wide_fields(wide, 32);
    directory.members = wide_fields.u8();
    directory.size = wide_fields.u8();
    directory.start = wide_fields.u8();
    return directory;
}

void ZipFile::take_wide_sizes(const std::vector<std::uint8_t>& extra, std::uint64_t place, Member& member) const {
    Fields fields(extra);
    while (fields.left() >= 4) {
        const std::uint16_t kind = fields.u2();
        const std::size_t bytes = fields.u2();
        if (kind != 1) {
            fields.skip(bytes);
            continue;
        }
        const std::size_t end = fields.place() + bytes;
        for (std::uint64_t* each : {&member.size, &member.packed, &member.header}) {
            if (*each != narrow_limit) continue;
            if (fields.place() + 8 > end || fields.left() < 8) refuse(place, "a zip64 field of 64 bits", "its end");
            *each = fields.u8();
        }
        return;
    }
}

void ZipFile::read_directory(const Directory& directory) {
    constexpr std::size_t fixed = 46;
    const auto bytes = at(directory.start, directory.size, "the ZIP archive's directory");
    Fields fields(bytes);
    for (std::uint64_t m = 0; m < directory.members; ++m) {
        const std::uint64_t place = directory.start + fields.place();
        if (fields.left() < fixed || fields.u4() != member_magic) {
            refuse(place, "member " + std::to_string(m + 1) + " of " + std::to_string(directory.members), "none");
        }
        Member member;
        fields.skip(4);
        member.flags = fields.u2();
        member.method = fields.u2();
        fields.skip(4);
        member.checksum = fields.u4();
        member.packed = fields.u4();
        member.size = fields.u4();
        const std::size_t name = fields.u2(), extra = fields.u2(), comment = fields.u2();
        fields.skip(8);
        member.header = fields.u4();
        if (fields.left() < name + extra + comment) refuse(place, "a member's name and fields", "the directory's end");
        const auto text = fields.some(name);
        member.name.assign(text.begin(), text.end());
        take_wide_sizes(fields.some(extra), place, member);
        fields.skip(comment);
        members_.push_back(std::move(member));
    }
}

std::vector<std::string> ZipFile::names() const {
    std::vector<std::string> names;
    for (const Member& member : members_) names.push_back(member.name);
    return names;
}

bool ZipFile::contains(const std::string& name) const {
    return std::any_of(members_.begin(), members_.end(), [&](const Member& member) { return member.name == name; });
}

std::vector<std::uint8_t> ZipFile::read(const std::string& name) const {
    const auto found =
        std::find_if(members_.begin(), members_.end(), [&](const Member& member) { return member.name == name; });
    if (found == members_.end()) refuse(size_, "a member '" + name + "'", "none");
    const Member& member = *found;
    if ((member.flags & 1) != 0) refuse(member.header, "a member '" + name + "' in the clear", "an encrypted one");
    if (member.method != 0 && member.method != 8) {
        refuse(member.header, "a member stored or deflated", "method " + std::to_string(member.method));
    }
    const auto header = at(member.header, 30, "a member's header");
    if (Fields(header).u4() != local_magic) refuse(member.header, "a member's header", "something else");
    Fields lengths(header, 26);
    const std::uint64_t start = member.header + 30 + lengths.u2() + lengths.u2();
    if (member.method == 0 && member.packed != member.size) refuse(member.header, "two equal sizes", "others");
    std::vector<std::uint8_t> bytes = at(start, member.packed, "a member");
    if (member.method == 8) bytes = inflated(member, bytes);
    uLong checksum = crc32(0, nullptr, 0);
    for (std::size_t i = 0; i < bytes.size();) {
        const auto part = static_cast<uInt>(std::min<std::size_t>(bytes.size() - i, std::size_t{1} << 30));
        checksum = crc32(checksum, bytes.data() + i, part);
        i += part;
    }
    if (checksum != member.checksum) refuse(start, "member '" + name + "' with its checksum", "damaged content");
    return bytes;
}

std::vector<std::uint8_t> ZipFile::inflated(const Member& member, const std::vector<std::uint8_t>& packed) const {
    if (member.size / expansion > member.packed) {
        refuse(member.header, std::to_string(member.size) + " bytes in '" + member.name + "'",
               std::to_string(member.packed) + " compressed ones, which cannot expand to that many");
    }
    std::vector<std::uint8_t> bytes(member.size);
    z_stream stream{};
    if (inflateInit2(&stream, -15) != Z_OK) throw std::bad_alloc();
    int status = Z_OK;
    std::size_t in = 0, out = 0;
    while (status == Z_OK) {
        constexpr std::size_t most = std::size_t{1} << 30;
        const std::size_t in_now = std::min(packed.size() - in, most), out_now = std::min(bytes.size() - out, most);
        std::uint8_t none = 0;
        stream.next_in = const_cast<Bytef*>(in_now == 0 ? &none : packed.data() + in);
        stream.avail_in = static_cast<uInt>(in_now);
        stream.next_out = out_now == 0 ? &none : bytes.data() + out;
        stream.avail_out = static_cast<uInt>(out_now);
        status = inflate(&stream, Z_NO_FLUSH);
        in += in_now - stream.avail_in;
        out += out_now - stream.avail_out;
    }
    inflateEnd(&stream);
    if (status != Z_STREAM_END || out != bytes.size()) {
        refuse(member.header, "member '" + member.name + "' of " + std::to_string(member.size) + " bytes",
               "a damaged stream after " + std::to_string(out));
    }
    return bytes;
}

}  // namespace espalier
