// The safetensors container: 8-byte little-endian header length, JSON header, data. Tensors lie one after the other
// without holes, in the order they are written. The reader trusts nothing: sizes are checked against the file before
// anything is allocated, duplicate keys, overlaps and holes are refused.
// Format: https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/output_file.hpp"

namespace espalier {

/// Bytes of one item of a safetensors type name ("F32", "I64", ...); 0 for an unknown one.
std::uint64_t tensor_item_size(const std::string& type);

/// A tensor to write: `write` must put out exactly the bytes that type and shape ask for.
struct TensorSource {
    std::string name;
    std::string type;
    std::vector<std::uint64_t> shape;
    std::function<void(OutputFile&)> write;
};

/// The last tensor of every file written here, U8 [32]: the SHA-256 of all bytes before it, header included.
constexpr const char* checksum_tensor = "checksum";

/// Writes a file, whole or not at all (write_atomically), reads it back and verifies its checksum before it takes its
/// place. Equal arguments give equal bytes. Throws UserError (io) with path and reason.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<TensorSource>& tensors);

/// The bytes of the same file, never on a disk. Throws UserError (device) without memory for them.
std::string safetensors_bytes(const std::map<std::string, std::string>& metadata,
                              const std::vector<TensorSource>& tensors);

/// Where a tensor lies in a file.
struct TensorEntry {
    std::string type;
    std::vector<std::uint64_t> shape;
    std::uint64_t begin = 0, end = 0;  // bytes from the start of the data

    [[nodiscard]] std::uint64_t bytes() const { return end - begin; }
};

/// A file opened for reading, its header read and checked. Everything throws UserError (checkpoint) with file, offset,
/// expected and found.
class SafetensorsFile {
public:
    explicit SafetensorsFile(std::filesystem::path path);
    /// The bytes of a file; `shown` is its name in errors.
    SafetensorsFile(std::string_view bytes, std::string shown);
    SafetensorsFile(const SafetensorsFile&) = delete;
    SafetensorsFile& operator=(const SafetensorsFile&) = delete;
    ~SafetensorsFile();

    [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
    [[nodiscard]] const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }

    [[nodiscard]] bool has_checksum() const { return tensors_.contains(checksum_tensor); }
    /// Reads the whole file and throws unless it ends with its right checksum.
    void expect_checksum() const;

    /// Copies the tensor's bytes() bytes.
    void read(const TensorEntry& tensor, void* to) const;
    /// Throws with the place of byte `offset` of the tensor in the file.
    [[noreturn]] void refuse(const TensorEntry& tensor, std::uint64_t offset, const std::string& what) const;
    /// Throws about the header.
    [[noreturn]] void refuse(const std::string& what) const;

private:
    void open_checked();
    void read_header();
    void check_layout() const;
    void read_bytes(std::uint64_t offset, void* to, std::uint64_t size) const;
    [[noreturn]] void refuse_at(std::uint64_t offset, const std::string& what) const;

    std::filesystem::path path_;
    int file_ = -1;
    std::uint64_t size_ = 0;        // of the file
    std::uint64_t data_start_ = 0;  // offset of the data in the file
    std::map<std::string, std::string> metadata_;
    std::map<std::string, TensorEntry> tensors_;
};

}  // namespace espalier
