// The text forms of an epoch's record: a line of history.csv and one of history.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/epoch_record.hpp"

namespace espalier {

/// Sizes of a run's files that grow, by name: how far its history went when a checkpoint was made.
using RecordedBytes = std::map<std::string, std::uint64_t>;
/// The size of one of them. Throws UserError (checkpoint) if there is none.
std::uint64_t recorded_bytes(const RecordedBytes& recorded, const std::string& name);
/// The same of a run that goes on; nothing for a new one, whose files begin empty.
std::optional<std::uint64_t> bytes_to_keep(const std::optional<RecordedBytes>& recorded, const std::string& name);

std::string csv_header();
/// Numbers read back exactly.
std::string csv_line(const EpochRecord& record);
/// NaN and infinity are null, with "nonfinite": true in that line.
std::string json_line(const EpochRecord& record);

/// The record of such a line; null becomes NaN. Throws UserError (checkpoint): SOURCE and what is wrong.
EpochRecord parse_json_line(const std::string& line, const std::string& source);

/// The records in the first `bytes` bytes of a history.jsonl. Throws UserError (checkpoint) with file and line.
std::vector<EpochRecord> read_history(const std::filesystem::path& path, std::uint64_t bytes);

}  // namespace espalier
