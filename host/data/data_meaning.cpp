#include "espalier/data_meaning.hpp"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"

namespace espalier {
namespace {

class MeaningReader {
public:
    MeaningReader(const nlohmann::json& object, const std::string& source) : object_(object), source_(source) {}

    DataMeaning read() {
        DataMeaning meaning;
        meaning.name = text("name");
        meaning.digest = text("digest");
        meaning.height = extent("height");
        meaning.width = extent("width");
        meaning.channels = extent("channels");
        const std::uint64_t features = std::uint64_t{meaning.height} * meaning.width;
        if (features > std::numeric_limits<Index>::max() / meaning.channels) refuse("'height', 'width', 'channels'");
        const auto scale = numbers("scale");
        if (scale.size() != 1) refuse("'scale' to be a number");
        meaning.scale = scale[0];
        meaning.mean = numbers("mean");
        meaning.deviation = numbers("deviation");
        const std::size_t count = meaning.mean.size();
        if ((count != meaning.channels && count != meaning.features()) || meaning.deviation.size() != count) {
            refuse("as many means and deviations as channels or features");
        }
        for (const double deviation : meaning.deviation) {
            if (deviation <= 0) refuse("deviations above 0");
        }
        meaning.class_names = texts("classes");
        meaning.classes = static_cast<Index>(meaning.class_names.size());
        meaning.column_names = texts("columns");
        if (!meaning.column_names.empty() && meaning.column_names.size() != meaning.features()) {
            refuse("as many columns as features");
        }
        if (object_.contains("targets")) read_targets(meaning);
        return meaning;
    }

private:
    void read_targets(DataMeaning& meaning) const {
        meaning.target_names = texts("targets");
        meaning.target_mean = numbers("target_mean");
        meaning.target_deviation = numbers("target_deviation");
        const std::size_t count = meaning.target_names.size();
        if (count == 0 || meaning.target_mean.size() != count || meaning.target_deviation.size() != count) {
            refuse("as many target means and deviations as targets");
        }
        for (const double deviation : meaning.target_deviation) {
            if (deviation <= 0) refuse("target deviations above 0");
        }
    }
    [[noreturn]] void refuse(const std::string& expected) const {
        throw UserError(ExitCode::checkpoint,
                        source_ + ": in '" + std::string(meaning_key) + "' expected " + expected + ", found none such");
    }
    const nlohmann::json& at(const char* key) const {
        const auto found = object_.find(key);
        if (found == object_.end()) refuse("'" + std::string(key) + "'");
        return *found;
    }
    std::string text(const char* key) const {
        const auto& value = at(key);
        if (!value.is_string()) refuse("'" + std::string(key) + "' to be a text");
        return value.get<std::string>();
    }
    Index extent(const char* key) const {
        const auto& value = at(key);
        if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0 ||
            value.get<std::uint64_t>() > std::numeric_limits<Index>::max()) {
            refuse("'" + std::string(key) + "' to be a number from 1 to 2^32 - 1");
        }
        return value.get<Index>();
    }
    std::vector<double> numbers(const char* key) const {
        const auto& value = at(key);
        std::vector<double> items;
        for (const auto& each : value.is_array() ? value : nlohmann::json::array({value})) {
            if (!each.is_number() || !std::isfinite(each.get<double>())) {
                refuse("'" + std::string(key) + "' to hold numbers");
            }
            items.push_back(each.get<double>());
        }
        return items;
    }
    std::vector<std::string> texts(const char* key) const {
        const auto& value = at(key);
        std::vector<std::string> items;
        for (const auto& each : value) {
            if (!each.is_string()) refuse("'" + std::string(key) + "' to hold texts");
            items.push_back(each.get<std::string>());
        }
        return items;
    }

    const nlohmann::json& object_;
    const std::string& source_;
};

}  // namespace

std::string meaning_json(const DataMeaning& meaning) {
    nlohmann::ordered_json object{{"name", meaning.name},         {"digest", meaning.digest},
                                  {"height", meaning.height},     {"width", meaning.width},
                                  {"channels", meaning.channels}, {"scale", meaning.scale},
                                  {"mean", meaning.mean},         {"deviation", meaning.deviation},
                                  {"classes", meaning.class_names}, {"columns", meaning.column_names}};
    if (meaning.targets() > 0) {
        object["targets"] = meaning.target_names;
        object["target_mean"] = meaning.target_mean;
        object["target_deviation"] = meaning.target_deviation;
    }
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

DataMeaning parse_meaning(const std::string& json, const std::string& source) {
    const auto parsed = nlohmann::json::parse(json, nullptr, false);
    if (!parsed.is_object()) {
        throw UserError(ExitCode::checkpoint,
                        source + ": expected '" + std::string(meaning_key) + "' to be a JSON object, found another text");
    }
    return MeaningReader(parsed, source).read();
}

}  // namespace espalier
