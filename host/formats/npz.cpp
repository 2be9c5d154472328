#include "host/formats/npz.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "espalier/error.hpp"
#include "host/formats/input_file.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/output_file.hpp"

namespace espalier {

namespace {

/// Little-endian fields one after the other.
class Fields {
public:
    Fields& u2(std::uint64_t value) { return put(value, 2); }
    Fields& u4(std::uint64_t value) { return put(value, 4); }
    Fields& text(const std::string& value) {
        bytes_ += value;
        return *this;
    }
    [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
    Fields& put(std::uint64_t value, int count) {
        for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 255);
        return *this;
    }
    std::string bytes_;
};

/// CRC-32 of a header and the items after it.
std::uint32_t checksum(const std::string& head, const NpzMember& member) {
    const auto* next = static_cast<const Bytef*>(member.items);
    uLong crc = crc32(0, reinterpret_cast<const Bytef*>(head.data()), static_cast<uInt>(head.size()));
    for (std::uint64_t left = member.bytes; left > 0;) {
        const auto part = static_cast<uInt>(std::min<std::uint64_t>(left, std::uint64_t{1} << 30));
        crc = crc32(crc, next, part);
        next += part;
        left -= part;
    }
    return static_cast<std::uint32_t>(crc);
}

// What local header and directory share: version 2.0, no flags, stored, 1 January 1980.
std::string shared_fields(std::uint32_t crc, std::uint64_t size, const std::string& name) {
    return Fields().u2(20).u2(0).u2(0).u2(0).u2(0x21).u4(crc).u4(size).u4(size).u2(name.size()).u2(0).bytes();
}

}  // namespace

void write_npz(const std::filesystem::path& path, const std::vector<NpzMember>& members) {
    write_atomically(path, [&](OutputFile& file) {
        std::string directory;
        for (const NpzMember& member : members) {
            const std::string head = npy_header(member.descr, member.shape);
            const std::string name = member.name + ".npy";
            const std::uint64_t size = head.size() + member.bytes;
            const std::uint64_t start = file.size();
            if (start + size > std::numeric_limits<std::uint32_t>::max() - 65536) {
                throw UserError(ExitCode::io, "cannot write " + path.string() +
                                                  ": its arrays take more than the 4 GiB of a ZIP file; export to "
                                                  "safetensors or npy instead");
            }
            const std::string shared = shared_fields(checksum(head, member), size, name);
            const std::string local = Fields().u4(0x04034b50).text(shared).text(name).bytes();
            file.write(local.data(), local.size());
            file.write(head.data(), head.size());
            file.write(member.items, member.bytes);
            directory +=
                Fields().u4(0x02014b50).u2(20).text(shared).u2(0).u2(0).u2(0).u4(0).u4(start).text(name).bytes();
        }
        const std::uint64_t start = file.size();
        const std::string end = Fields()
                                    .u4(0x06054b50)
                                    .u2(0)
                                    .u2(0)
                                    .u2(members.size())
                                    .u2(members.size())
                                    .u4(directory.size())
                                    .u4(start)
                                    .u2(0)
                                    .bytes();
        file.write(directory.data(), directory.size());
        file.write(end.data(), end.size());
    });
}

std::vector<std::string> NpzFile::names() const {
    std::vector<std::string> names;
    for (const std::string& name : zip_.names()) {
        if (name.ends_with(".npy")) names.push_back(name.substr(0, name.size() - 4));
    }
    return names;
}

NpyArray NpzFile::read(const std::string& name) const {
    InputFile member(path() / name, zip_.read(name + ".npy"));
    return read_npy(member);
}

}  // namespace espalier
