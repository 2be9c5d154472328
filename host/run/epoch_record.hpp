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

/// The number of the epoch, from 1, with the least monitored loss, the first of equal ones; 0 of an empty history.
std::uint32_t best_epoch(const std::vector<EpochRecord>& history);

/// Sizes of a run's files that grow, by name: how far its history went when a checkpoint was made.
using RecordedBytes = std::map<std::string, std::uint64_t>;
/// The size of one of them. Throws UserError (checkpoint) if there is none.
std::uint64_t recorded_bytes(const RecordedBytes& recorded, const std::string& name);
/// The same of a run that goes on; nothing for a new one, whose files begin empty.
std::optional<std::uint64_t> bytes_to_keep(const std::optional<RecordedBytes>& recorded, const std::string& name);

/// The columns of the history, a line; optional ones only if `like` has them.
std::string csv_header(const EpochRecord& like = {});
/// The columns of `header`, in its order (a run that goes on keeps the columns it began with). Numbers read back
/// exactly; a column of reals never holds a whole number's text.
std::string csv_line(const EpochRecord& record, const std::string& header = csv_header());
/// True for the columns that hold whole numbers.
bool is_count_column(const std::string& name);
/// NaN and infinity are null, with "nonfinite": true in that line.
std::string json_line(const EpochRecord& record);

/// The record of such a line; null becomes NaN, and 0 what versions before a column was invented do not say. Throws
/// UserError (checkpoint): SOURCE and what is wrong.
EpochRecord parse_json_line(const std::string& line, const std::string& source);

/// The records in the first `bytes` bytes of a history.jsonl. Throws UserError (checkpoint) with file and line.
std::vector<EpochRecord> read_history(const std::filesystem::path& path, std::uint64_t bytes);

}  // namespace espalier
