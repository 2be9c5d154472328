// TensorBoard's event files: records of a length, a masked CRC-32C of it, a protocol buffer (Event) and a masked CRC-32C of
// that. The four messages used are written by hand.
// Format: tensorboard/compat/proto/event.proto, summary.proto and histogram.proto of github.com/tensorflow/tensorboard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/formats/output_file.hpp"

namespace espalier {

/// CRC-32 of Castagnoli's polynomial, as iSCSI has it.
std::uint32_t crc32c(std::string_view bytes);

class EventFile {
public:
    /// Begins a file, or goes on with one behind its last whole event of a step up to `last_step`: readers show every event
    /// of a step that was done twice. Throws UserError (io).
    EventFile(const std::filesystem::path& path, std::optional<std::uint64_t> last_step);

    /// Collects what one step has to say; put() writes it as one event.
    void scalar(const std::string& tag, double value);
    /// Of finite values, in buckets of equal length between the least and the largest.
    void histogram(const std::string& tag, const std::vector<float>& values);
    void png(const std::string& tag, std::string_view bytes);
    void put(std::uint64_t step);

private:
    void write(std::string_view event);

    OutputFile file_;
    std::string summary_;
};

}  // namespace espalier
