#include "host/data/labels.hpp"

#include <algorithm>
#include <charconv>

namespace espalier {
namespace {

std::optional<std::int64_t> whole_number(const std::string& name) {
    std::int64_t value = 0;
    const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), value);
    if (fault != std::errc{} || end != name.data() + name.size()) return std::nullopt;
    return value;
}

}  // namespace

bool LabelCollector::add(std::string_view name, std::uint64_t place) {
    key_.assign(name);
    const auto known = codes_.find(key_);
    if (known != codes_.end()) {
        table_.codes.push_back(known->second);
        return true;
    }
    if (table_.names.size() == max_classes) return false;
    const auto code = static_cast<std::int32_t>(table_.names.size());
    codes_.emplace(key_, code);
    table_.names.push_back(key_);
    table_.first.push_back(place);
    table_.codes.push_back(code);
    return true;
}

std::optional<std::string> label_name(double value) {
    constexpr double largest = 9007199254740992.0;  // whole numbers are exact up to here
    if (!(std::abs(value) <= largest) || std::floor(value) != value) return std::nullopt;
    return std::to_string(static_cast<std::int64_t>(value));
}

std::vector<std::string> classes_in_order(std::vector<std::string> names) {
    const bool numbers =
        std::all_of(names.begin(), names.end(), [](const auto& name) { return whole_number(name).has_value(); });
    std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
        return numbers ? *whole_number(a) < *whole_number(b) : a < b;
    });
    return names;
}

bool are_class_numbers(const std::vector<std::string>& classes) {
    for (std::size_t c = 0; c < classes.size(); ++c) {
        if (classes[c] != std::to_string(c)) return false;
    }
    return true;
}

std::string list_classes(const std::vector<std::string>& classes, std::size_t most) {
    std::string text;
    for (std::size_t c = 0; c < std::min(classes.size(), most); ++c) {
        text += (c == 0 ? "" : ", ") + std::to_string(c) + " = " + classes[c];
    }
    return text + (classes.size() > most ? ", ..." : "");
}

std::vector<std::int32_t> class_numbers(const LabelTable& table, const std::vector<std::string>& classes,
                                        std::optional<std::size_t>& unknown) {
    std::unordered_map<std::string, std::int32_t> numbers;
    for (std::size_t c = 0; c < classes.size(); ++c) numbers.emplace(classes[c], static_cast<std::int32_t>(c));
    std::vector<std::int32_t> of_names;
    unknown.reset();
    for (std::size_t n = 0; n < table.names.size(); ++n) {
        const auto found = numbers.find(table.names[n]);
        if (found == numbers.end() && !unknown.has_value()) unknown = n;
        of_names.push_back(found == numbers.end() ? -1 : found->second);
    }
    std::vector<std::int32_t> labels;
    labels.reserve(table.codes.size());
    for (const std::int32_t code : table.codes) labels.push_back(of_names[static_cast<std::size_t>(code)]);
    return labels;
}

}  // namespace espalier
