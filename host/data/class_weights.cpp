#include "host/data/class_weights.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>

#include "espalier/error.hpp"
#include "espalier/dataset.hpp"

namespace espalier {
namespace {

std::vector<float> balanced_weights(const DataSet& data, Index outputs) {
    std::vector<std::uint64_t> samples(outputs, 0);
    for (const std::int32_t label : data.train.labels) ++samples.at(static_cast<std::size_t>(label));
    const auto classes = std::count_if(samples.begin(), samples.end(), [](std::uint64_t each) { return each > 0; });
    std::vector<float> weights(outputs, 1.0F);
    for (std::size_t c = 0; c < weights.size(); ++c) {
        if (samples[c] == 0) continue;
        weights[c] = static_cast<float>(static_cast<double>(data.train.count()) /
                                        (static_cast<double>(classes) * static_cast<double>(samples[c])));
    }
    return weights;
}

/// Reads the lines of a file of weights.
class WeightsReader {
public:
    WeightsReader(const std::string& path, const DataSet& data, Index outputs)
        : path_(path), names_(data.class_names), weights_(outputs, 1.0F), given_(data.classes, false) {}

    std::vector<float> read() {
        std::ifstream file(path_);
        if (!file) throw UserError(ExitCode::usage, "class-weights: cannot read '" + path_ + "', and it is not balanced");
        for (std::string line; std::getline(file, line); ++line_) {
            if (!line.empty() && line.back() == '\r') line.pop_back();
            if (!line.empty()) read_line(line);
        }
        for (std::size_t c = 0; c < given_.size(); ++c) {
            if (given_[c]) continue;
            throw UserError(ExitCode::data, path_ + ": no weight for class " + std::to_string(c) + "; expected a line for each of the " +
                                                std::to_string(given_.size()) + " classes");
        }
        return std::move(weights_);
    }

private:
    [[noreturn]] void refuse(const std::string& expected, const std::string& found) const {
        throw UserError(ExitCode::data, path_ + ", line " + std::to_string(line_) + ": expected " + expected +
                                            ", found '" + found + "'");
    }

    void read_line(const std::string& line) {
        const auto comma = line.rfind(',');
        if (comma == std::string::npos) refuse("CLASS,WEIGHT", line);
        const std::size_t number = class_of(line.substr(0, comma));
        if (given_[number]) refuse("each class once", line);
        given_[number] = true;
        const std::string text = line.substr(comma + 1);
        float weight = 0;
        const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), weight);
        const bool good = fault == std::errc{} && end == text.data() + text.size() && std::isfinite(weight) && weight >= 0;
        if (!good) refuse("a weight of at least 0", text);
        weights_[number] = weight;
    }

    [[nodiscard]] std::size_t class_of(const std::string& text) const {
        if (const auto found = std::find(names_.begin(), names_.end(), text); found != names_.end()) {
            return static_cast<std::size_t>(found - names_.begin());
        }
        std::size_t number = 0;
        const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (fault != std::errc{} || end != text.data() + text.size() || number >= given_.size()) {
            refuse("a class's name, or a number below " + std::to_string(given_.size()), text);
        }
        return number;
    }

    std::string path_;
    std::vector<std::string> names_;  // of classes, empty where they have none
    std::size_t line_ = 1;
    std::vector<float> weights_;
    std::vector<bool> given_;
};

}  // namespace

std::vector<float> class_weights(const std::string& asked, const DataSet& data, Index outputs) {
    expects(outputs >= data.classes, "an output for each class");
    return asked == "balanced" ? balanced_weights(data, outputs) : WeightsReader(asked, data, outputs).read();
}

}  // namespace espalier
