// ZIP archives, read: members stored or deflated, also beyond 4 GiB (zip64). Encrypted ones are refused. Every fault is
// reported with path, offset, expected and found; nothing is allocated from a claim the file cannot fill. Not by
// libarchive, which in the C locale gives no names that are not ASCII, and reads members in their order alone.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace espalier {

class ZipFile {
public:
    /// `remedy` is a sentence appended to every refusal. Throws UserError (data).
    explicit ZipFile(std::filesystem::path path, std::string remedy = "");
    ZipFile(const ZipFile&) = delete;
    ZipFile& operator=(const ZipFile&) = delete;
    ~ZipFile();

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] bool contains(const std::string& name) const;
    /// A member's content, its checksum verified. Throws UserError (data).
    [[nodiscard]] std::vector<std::uint8_t> read(const std::string& name) const;

private:
    struct Member {
        std::string name;
        std::uint64_t header = 0;  // where its local header lies
        std::uint64_t packed = 0, size = 0;
        std::uint32_t checksum = 0;
        std::uint16_t flags = 0, method = 0;
    };
    /// Where and how long the directory is, and of how many members.
    struct Directory {
        std::uint64_t start = 0, size = 0, members = 0;
    };
    class Fields;

    void open();
    [[nodiscard]] Directory find_directory() const;
    void read_directory(const Directory& directory);
    void take_wide_sizes(const std::vector<std::uint8_t>& extra, std::uint64_t place, Member& member) const;
    [[nodiscard]] std::vector<std::uint8_t> at(std::uint64_t offset, std::uint64_t count, const char* what) const;
    [[nodiscard]] std::vector<std::uint8_t> inflated(const Member& member, const std::vector<std::uint8_t>& packed) const;
    [[noreturn]] void refuse(std::uint64_t offset, const std::string& expected, const std::string& found) const;

    std::filesystem::path path_;
    std::string remedy_;
    int file_ = -1;
    std::uint64_t size_ = 0;
    std::vector<Member> members_;
};

}  // namespace espalier
