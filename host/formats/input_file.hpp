// A data file read from front to back: gunzipped on the way if its content (not its name) says so (all members of a
// gzip file, as pigz and `cat a.gz b.gz` make them), digested as it passes, every fault reported with path, offset, expected and found. Memory grows with what the file delivers, never
// with what a header claims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/sha256.hpp"

namespace espalier {

class InputFile {
public:
    /// Deflate cannot expand a byte to more than this many.
    static constexpr std::uint64_t deflate_expansion = 1032;
    /// Allowed expansion of formats without a header that promises a size.
    static constexpr std::uint64_t unpromised_expansion = 100;

    /// `remedy` is a sentence appended to every refusal. Throws UserError (data) if there is no such regular file.
    explicit InputFile(std::filesystem::path path, std::string remedy = "",
                       std::uint64_t expansion = deflate_expansion);
    /// A file in memory, as an archive's member is; `path` is its name in refusals.
    InputFile(std::filesystem::path path, std::vector<std::uint8_t> bytes, std::string remedy = "",
              std::uint64_t expansion = deflate_expansion);
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    ~InputFile();

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    /// Bytes delivered so far, decompressed.
    [[nodiscard]] std::uint64_t offset() const { return offset_; }
    /// Upper bound of what the whole file can deliver: its size, or its compressed size times the expansion.
    [[nodiscard]] std::uint64_t most() const { return most_; }
    /// What the first bytes look like, in words: "an HTML page", "a ZIP archive", "bytes 00 00 08 03".
    [[nodiscard]] const std::string& looks_like() const { return looks_like_; }

    /// Up to `bytes` bytes, fewer only at the end. Throws UserError (data) on damage or a gzip bomb.
    std::size_t read_some(void* to, std::size_t bytes);
    /// Exactly `bytes` bytes of `what`; refuses a shorter file.
    void read(void* to, std::size_t bytes, std::string_view what);
    /// The same into new memory, after checking `bytes` against most().
    std::vector<std::uint8_t> read_bytes(std::uint64_t bytes, std::string_view what);
    /// Everything left.
    std::vector<std::uint8_t> read_all();
    /// Refuses trailing bytes; checks the gzip checksum.
    void expect_end();
    /// SHA-256 of all bytes delivered, hex; call once, last.
    [[nodiscard]] std::string digest();

    /// Throws UserError (data): "PATH: at byte OFFSET expected EXPECTED, found FOUND. REMEDY"
    [[noreturn]] void refuse(std::uint64_t offset, const std::string& expected, const std::string& found) const;
    /// Throws UserError (data): "PATH: FAULT. REMEDY"
    [[noreturn]] void refuse(const std::string& fault) const;

private:
    struct Inflater;

    void start(std::uint64_t expansion);
    void rewind();
    void fill();
    bool begins_another_member();
    std::size_t inflate_some(std::uint8_t* to, std::size_t bytes);

    std::filesystem::path path_;
    std::string remedy_;
    std::string looks_like_;
    int file_ = -1;  // -1: raw_ holds everything
    std::uint64_t size_ = 0;  // on disk
    std::uint64_t most_ = 0;
    std::uint64_t offset_ = 0;
    std::vector<std::uint8_t> raw_;  // read from disk, not yet used
    std::size_t raw_next_ = 0, raw_end_ = 0;
    std::unique_ptr<Inflater> inflater_;  // null: the file is not compressed
    Sha256 digest_;
};

/// The whole decompressed file's SHA-256, hex.
std::string file_digest(const std::filesystem::path& path, const std::string& remedy = "");

}  // namespace espalier
