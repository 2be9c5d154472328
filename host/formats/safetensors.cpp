#include "host/formats/safetensors.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "espalier/error.hpp"
#include "host/formats/sha256.hpp"
#include "host/formats/safetensors_header.hpp"
#include "host/system/utf8.hpp"

namespace espalier {

namespace {

static_assert(std::endian::native == std::endian::little, "tensors are stored as they lie in memory");

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t alignment = 8;  // of the data, for readers that map the file
constexpr std::uint64_t largest_header = 100'000'000;
constexpr std::uint64_t checksum_bytes = 32;

nlohmann::ordered_json header_entry(const std::string& type, const std::vector<std::uint64_t>& shape,
                                    std::uint64_t begin, std::uint64_t end) {
    return {{"dtype", type}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

/// A file without a name that lies in memory alone.
class MemoryFile {
public:
    MemoryFile() : file_(::memfd_create("espalier", MFD_CLOEXEC)) {
        if (file_ < 0) {
            throw UserError(ExitCode::device,
                            "no memory for a network file's bytes: " + std::generic_category().message(errno));
        }
    }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    ~MemoryFile() {
        if (file_ >= 0) ::close(file_);
    }
    /// Under which it can be opened while it lives.
    [[nodiscard]] std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(file_); }
    [[nodiscard]] int release() { return std::exchange(file_, -1); }
    [[nodiscard]] std::string contents() const {
        struct stat status {};
        std::string bytes(::fstat(file_, &status) == 0 ? static_cast<std::size_t>(status.st_size) : 0, '\0');
        for (std::size_t at = 0; at < bytes.size();) {
            const ssize_t got = ::pread(file_, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) throw UserError(ExitCode::device, "a network file's bytes in memory cannot be read back");
            at += static_cast<std::size_t>(got);
        }
        return bytes;
    }

private:
    int file_;
};

/// Damage found while reading back is the disk's fault, not the reader's input.
void verify_written(const std::filesystem::path& written, const std::filesystem::path& shown) {
    try {
        SafetensorsFile(written).expect_checksum();
    } catch (const UserError& error) {
        throw UserError(ExitCode::io, "cannot write " + shown.string() +
                                          ": what was read back is not what was written (" + error.what() + ")");
    }
}

}  // namespace

std::uint64_t tensor_item_size(const std::string& type) {
    if (type == "F32" || type == "I32" || type == "U32") return 4;
    if (type == "F64" || type == "I64" || type == "U64") return 8;
    if (type == "F16" || type == "BF16" || type == "I16" || type == "U16") return 2;
    if (type == "U8" || type == "I8" || type == "BOOL") return 1;
    return 0;
}

std::optional<std::uint64_t> tensor_bytes(const std::string& type, const std::vector<std::uint64_t>& shape) {
    std::uint64_t bytes = tensor_item_size(type);
    if (bytes == 0) return std::nullopt;
    for (const std::uint64_t extent : shape) {
        if (extent != 0 && bytes > std::numeric_limits<std::uint64_t>::max() / extent) return std::nullopt;
        bytes *= extent;
    }
    return bytes;
}

/// Header, data and checksum; what it refers to must outlive it.
static std::function<void(OutputFile&)> safetensors_body(const std::map<std::string, std::string>& metadata,
                                                         const std::vector<TensorSource>& tensors) {
    nlohmann::ordered_json header;
    header["__metadata__"] = metadata;
    std::uint64_t end = 0;
    for (const auto& tensor : tensors) {
        const auto bytes = tensor_bytes(tensor.type, tensor.shape);
        expects(bytes.has_value() && !header.contains(tensor.name), "tensors of known types and different names");
        const std::uint64_t begin = end;
        end += *bytes;
        header[tensor.name] = header_entry(tensor.type, tensor.shape, begin, end);
    }
    expects(!header.contains(checksum_tensor), "tensors that leave the checksum's name alone");
    header[checksum_tensor] = header_entry("U8", {checksum_bytes}, end, end + checksum_bytes);
    std::string text = json_text(header);
    text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
    const std::uint64_t length = text.size();
    return [text, length, &tensors](OutputFile& file) {
        Sha256 digest;
        file.watch([&](const void* bytes, std::size_t size) { digest.update(bytes, size); });
        file.write(&length, length_bytes);
        file.write(text.data(), text.size());
        for (const auto& tensor : tensors) tensor.write(file);
        file.watch({});
        const auto checksum = digest.bytes();
        file.write(checksum.data(), checksum.size());
    };
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<TensorSource>& tensors) {
    write_atomically(path, safetensors_body(metadata, tensors), [&](const std::filesystem::path& written) { verify_written(written, path); });
}

std::string safetensors_bytes(const std::map<std::string, std::string>& metadata,
                              const std::vector<TensorSource>& tensors) {
    const MemoryFile memory;
    OutputFile file(memory.path(), "memory");
    safetensors_body(metadata, tensors)(file);
    file.close();
    return memory.contents();
}

SafetensorsFile::SafetensorsFile(std::string_view bytes, std::string shown) : path_(std::move(shown)) {
    MemoryFile memory;
    OutputFile file(memory.path(), path_);
    file.write(bytes.data(), bytes.size());
    file.close();
    file_ = memory.release();
    open_checked();
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path) : path_(std::move(path)) {
    file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (file_ < 0) {
        throw UserError(ExitCode::checkpoint,
                        "cannot read " + path_.string() + ": " + std::generic_category().message(errno));
    }
    open_checked();
}

void SafetensorsFile::open_checked() {
    try {
        read_header();
        check_layout();
    } catch (...) {
        ::close(file_);
        throw;
    }
}

SafetensorsFile::~SafetensorsFile() { ::close(file_); }

void SafetensorsFile::read_header() {
    struct stat status {};
    if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
        throw UserError(ExitCode::checkpoint, "cannot read " + path_.string() + ": it is not a regular file");
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    if (size_ < length_bytes) {
        refuse_at(0, "expected a safetensors file, which begins with 8 bytes, found a file of " +
                         std::to_string(size_) + " bytes");
    }
    std::uint64_t length = 0;
    read_bytes(0, &length, length_bytes);
    const std::uint64_t most = std::min(size_ - length_bytes, largest_header);
    if (length < 2 || length > most) {
        refuse_at(0, "expected the length of a safetensors header, 2 to " + std::to_string(most) +
                         " bytes in a file of this size, found " + std::to_string(length) +
                         "; the file is cut short or of another format");
    }
    data_start_ = length_bytes + length;
    std::string text(length, '\0');
    read_bytes(length_bytes, text.data(), length);
    SafetensorsHeader header = parse_safetensors_header(text);
    if (!header.fault.empty()) refuse_at(length_bytes + header.fault_offset, header.fault);
    metadata_ = std::move(header.metadata);
    tensors_ = std::move(header.tensors);
}

void SafetensorsFile::check_layout() const {
    std::vector<const std::pair<const std::string, TensorEntry>*> in_order;
    for (const auto& tensor : tensors_) {
        const auto& [name, entry] = tensor;
        const auto bytes = tensor_bytes(entry.type, entry.shape);
        if (!bytes.has_value() || entry.end < entry.begin || entry.bytes() != *bytes) {
            refuse("tensor '" + name + "': its offsets [" + std::to_string(entry.begin) + ", " +
                   std::to_string(entry.end) + ") do not fit its type " + entry.type + " and shape" +
                   (bytes.has_value() ? ", which take " + std::to_string(*bytes) + " bytes" : " of impossible size"));
        }
        in_order.push_back(&tensor);
    }
    std::sort(in_order.begin(), in_order.end(), [](const auto* a, const auto* b) {
        return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
    });
    std::uint64_t end = 0;
    for (const auto* tensor : in_order) {
        if (tensor->second.begin != end) {
            refuse("tensor '" + tensor->first + "': expected its data at offset " + std::to_string(end) +
                   " of the data, where the one before ends, found " + std::to_string(tensor->second.begin));
        }
        end = tensor->second.end;
    }
    if (const std::uint64_t held = size_ - data_start_; end != held) {
        refuse_at(data_start_, "expected " + std::to_string(end) + " bytes of data, found " + std::to_string(held) +
                                   (held < end ? "; the file is cut short" : "; something is appended"));
    }
}

void SafetensorsFile::expect_checksum() const {
    const auto found = tensors_.find(checksum_tensor);
    if (found == tensors_.end()) refuse(std::string("expected a tensor '") + checksum_tensor + "', found none");
    const TensorEntry& tensor = found->second;
    if (tensor.type != "U8" || tensor.bytes() != checksum_bytes || data_start_ + tensor.end != size_) {
        refuse(std::string("expected '") + checksum_tensor + "' to be the last 32 bytes");
    }
    Sha256 digest;
    std::vector<char> buffer(std::size_t{1} << 20);
    for (std::uint64_t at = 0; at < size_ - checksum_bytes;) {
        const std::uint64_t part = std::min<std::uint64_t>(buffer.size(), size_ - checksum_bytes - at);
        read_bytes(at, buffer.data(), part);
        digest.update(buffer.data(), part);
        at += part;
    }
    std::array<std::uint8_t, checksum_bytes> stored{};
    read(tensor, stored.data());
    if (digest.bytes() != stored)
        refuse(tensor, 0, "the checksum does not fit the bytes before it; the file is damaged, or another program has "
                          "rewritten it (then espalier import takes it)");
}

void SafetensorsFile::read(const TensorEntry& tensor, void* to) const {
    read_bytes(data_start_ + tensor.begin, to, tensor.bytes());
}

void SafetensorsFile::read_bytes(std::uint64_t offset, void* to, std::uint64_t size) const {
    char* next = static_cast<char*>(to);
    while (size > 0) {
        const ssize_t got = ::pread(file_, next, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            refuse_at(offset, got == 0 ? std::string("the file ends while it is being read")
                                       : std::generic_category().message(errno));
        }
        next += got;
        offset += static_cast<std::uint64_t>(got);
        size -= static_cast<std::uint64_t>(got);
    }
}

void SafetensorsFile::refuse(const TensorEntry& tensor, std::uint64_t offset, const std::string& what) const {
    refuse_at(data_start_ + tensor.begin + offset, what);
}

void SafetensorsFile::refuse(const std::string& what) const { refuse_at(length_bytes, "header: " + what); }

void SafetensorsFile::refuse_at(std::uint64_t offset, const std::string& what) const {
    throw UserError(ExitCode::checkpoint, path_.string() + ", offset " + std::to_string(offset) + ": " + what);
}

}  // namespace espalier
