// The JSON header of a safetensors file, read event by event: no tree is built, any nesting beyond the format's own
// three levels and any repeated key ends the reading.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/formats/safetensors.hpp"

namespace espalier {

struct SafetensorsHeader {
    std::map<std::string, std::string> metadata;
    std::map<std::string, TensorEntry> tensors;  // offsets and sizes not yet compared with anything
    std::string fault;                           // what is wrong with the text; empty if nothing is
    std::uint64_t fault_offset = 0;              // where, in bytes from the start of the text
};

SafetensorsHeader parse_safetensors_header(const std::string& text);

/// Bytes of a tensor; nothing for an unknown type or a product beyond 64 bits.
std::optional<std::uint64_t> tensor_bytes(const std::string& type, const std::vector<std::uint64_t>& shape);

}  // namespace espalier
