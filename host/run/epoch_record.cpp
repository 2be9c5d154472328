#include "host/run/epoch_record.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <type_traits>

#include "espalier/error.hpp"
#include "espalier/rule.hpp"
#include "host/formats/real_text.hpp"

namespace espalier {

namespace {

/// Calls `visit(name, value)` for every column of the history, in order.
template <class Record, class Visitor>
void for_each_column(Record& record, Visitor&& visit) {
    visit("epoch", record.epoch);
    visit("train_loss", record.train_loss);
    visit("train_accuracy", record.train_accuracy);
    visit("test_loss", record.test_loss);
    visit("test_accuracy", record.test_accuracy);
    visit("test_confidence", record.test_confidence);
    visit("test_wrong_confidence", record.test_wrong_confidence);
    visit("train_seconds", record.train_seconds);
    visit("test_seconds", record.test_seconds);
    visit("evolution_seconds", record.evolution_seconds);
    visit("images_per_second", record.images_per_second);
    visit("edges", record.edges);
    visit("replaced_positive", record.replaced_positive);
    visit("replaced_negative", record.replaced_negative);
    visit("learning_rate", record.learning_rate);
    visit("weight_decay", record.weight_decay);
    visit("zeta", record.zeta);
    visit("pruned", record.pruned);
    visit("grown", record.grown);
    visit("validation_loss", record.validation_loss);
    visit("validation_accuracy", record.validation_accuracy);
    visit("train_r2", record.train_r2);
    visit("test_r2", record.test_r2);
    visit("test_rmse", record.test_rmse);
    visit("validation_r2", record.validation_r2);
    visit("validation_rmse", record.validation_rmse);
}

/// Columns that a regression does not have: it knows no right answers.
bool is_of_classes(const std::string& name) {
    return name.ends_with("_accuracy") || name.ends_with("confidence");
}

double real(double value) { return value; }
double real(const std::optional<double>& value) { return value.value_or(0); }

/// False for a figure that a record does not have.
template <class Value>
bool is_there(const EpochRecord& record, const std::string& name, const Value& value) {
    if (record.test_r2.has_value() && is_of_classes(name)) return false;
    if constexpr (std::is_same_v<Value, std::optional<double>>) return value.has_value();
    return true;
}

template <class Value>
std::string cell_text(const Value& value) {
    if constexpr (std::is_integral_v<Value>) {
        return number_text(value);
    } else {
        return real_text(real(value));
    }
}

/// Columns that histories of earlier versions, or of a regression, do not have.
bool may_be_absent(const std::string& name, bool regression) {
    return name == "pruned" || name == "grown" || (regression && is_of_classes(name));
}

/// The number of a JSON line's column.
template <class Number>
Number number_in(const nlohmann::json& object, const char* name, const std::string& source) {
    const auto found = object.find(name);
    if (found == object.end()) throw UserError(ExitCode::checkpoint, source + ": there is no '" + name + "'");
    if constexpr (std::is_floating_point_v<Number>) {
        if (found->is_null()) return std::numeric_limits<Number>::quiet_NaN();
        if (found->is_number()) return found->template get<Number>();
    } else if (found->is_number_unsigned() &&
               found->template get<std::uint64_t>() <= std::numeric_limits<Number>::max()) {
        return found->template get<Number>();
    }
    throw UserError(ExitCode::checkpoint, source + ": '" + name + "' is no such number");
}

}  // namespace

std::uint64_t recorded_bytes(const RecordedBytes& recorded, const std::string& name) {
    const auto found = recorded.find(name);
    if (found != recorded.end()) return found->second;
    throw UserError(ExitCode::checkpoint, name + " is not in the checkpoint's list of files");
}

std::optional<std::uint64_t> bytes_to_keep(const std::optional<RecordedBytes>& recorded, const std::string& name) {
    if (!recorded.has_value()) return std::nullopt;
    return recorded_bytes(*recorded, name);
}

std::uint32_t best_epoch(const std::vector<EpochRecord>& history) {
    const auto best = std::min_element(history.begin(), history.end(), [](const EpochRecord& a, const EpochRecord& b) {
        return a.monitored_loss() < b.monitored_loss();
    });
    return best == history.end() ? 0 : best->epoch;
}

std::string csv_header(const EpochRecord& like) {
    std::string line;
    for_each_column(like, [&](const char* name, const auto& value) {
        if (is_there(like, name, value)) line += (line.empty() ? "" : ",") + std::string(name);
    });
    return line + "\n";
}

std::string csv_line(const EpochRecord& record, const std::string& header) {
    std::map<std::string, std::string> cells;
    for_each_column(record, [&](const char* name, const auto& value) {
        if (is_there(record, name, value)) cells[name] = cell_text(value);
    });
    std::string line;
    std::istringstream names(header.substr(0, header.find('\n')));
    for (std::string name; std::getline(names, name, ',');) line += (line.empty() ? "" : ",") + cells[name];
    return line + "\n";
}

bool is_count_column(const std::string& name) {
    bool found = false;
    const EpochRecord none;
    for_each_column(none, [&](const char* each, const auto& value) {
        found = found || (name == each && std::is_integral_v<std::remove_cvref_t<decltype(value)>>);
    });
    return found;
}

std::string json_line(const EpochRecord& record) {
    nlohmann::ordered_json line;
    bool nonfinite = false;
    for_each_column(record, [&](const char* name, const auto& value) {
        if (!is_there(record, name, value)) return;
        if constexpr (std::is_integral_v<std::remove_cvref_t<decltype(value)>>) {
            line[name] = value;
        } else {
            const double number = real(value);
            line[name] = number;
            if (std::isfinite(number)) return;
            line[name] = nullptr;
            nonfinite = true;
        }
    });
    if (nonfinite) line["nonfinite"] = true;
    return line.dump() + "\n";
}

EpochRecord parse_json_line(const std::string& line, const std::string& source) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object()) throw UserError(ExitCode::checkpoint, source + ": expected a JSON object");
    EpochRecord record;
    const bool regression = object.contains("test_r2");
    for_each_column(record, [&](const char* name, auto& value) {
        using Value = std::remove_reference_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::optional<double>>) {
            if (object.contains(name)) value = number_in<double>(object, name, source);
        } else if (!may_be_absent(name, regression) || object.contains(name)) {
            value = number_in<Value>(object, name, source);
        }
    });
    return record;
}

std::vector<EpochRecord> read_history(const std::filesystem::path& path, std::uint64_t bytes) {
    std::ifstream file(path, std::ios::binary);
    std::vector<EpochRecord> records;
    std::uint64_t read = 0;
    for (std::string line; read < bytes && std::getline(file, line);) {
        const std::string place = path.string() + ", line " + std::to_string(records.size() + 1);
        read += line.size() + 1;
        if (read > bytes || file.eof()) throw UserError(ExitCode::checkpoint, place + " is cut off");
        records.push_back(parse_json_line(line, place));
    }
    if (read < bytes) {
        throw UserError(ExitCode::checkpoint, path.string() + ": expected at least " + std::to_string(bytes) +
                                                  " bytes, found " + std::to_string(read));
    }
    return records;
}

}  // namespace espalier
