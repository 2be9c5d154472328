// What is recorded of one epoch, and its text forms: a line of history.csv and one of history.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

struct EpochRecord {
    std::uint32_t epoch = 0;                    // from 1
    double train_loss = 0, train_accuracy = 0;  // running, while training; accuracies as fractions
    double test_loss = 0, test_accuracy = 0;
    double test_confidence = 0, test_wrong_confidence = 0;  // mean confidence of all and of the wrong test predictions
    double train_seconds = 0, test_seconds = 0, evolution_seconds = 0;
    double images_per_second = 0;
    std::uint64_t edges = 0;  // sparse layers, after evolution
    std::uint64_t replaced_positive = 0, replaced_negative = 0;
    double learning_rate = 0, weight_decay = 0, zeta = 0;  // at the epoch's start
};

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
