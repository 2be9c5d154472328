// Rules are values: small trivially copyable structs gathered in std::variants. A rule has a `name` and `fields()`;
// from these follow its text form, e.g. "momentum(momentum=0.9)", command line, config file, log and network file.
// A new rule is one struct and its name in one list (the variant).
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"

namespace espalier {

/// One named number of a rule, with its default in the struct itself and the closed range it must lie in.
template <class Rule, class Value>
struct Field {
    std::string_view name;
    Value Rule::*member;
    double low;
    double high;
};

/// `Field` with its types deduced.
template <class Rule, class Value>
constexpr Field<Rule, Value> field(std::string_view name, Value Rule::*member, double low, double high) {
    return {name, member, low, high};
}
/// A switch, written 0 or 1 and read as 0, 1, false or true.
template <class Rule>
constexpr Field<Rule, bool> field(std::string_view name, bool Rule::*member) {
    return {name, member, 0, 1};
}

/// Text form of a rule: its name, and its fields in parentheses if it has any.
template <class Rule>
std::string rule_text(const Rule& rule) {
    std::string fields;
    std::apply(
        [&](const auto&... each) {
            ((fields += (fields.empty() ? "" : ",") + std::string(each.name) + "=" + number_text(rule.*each.member)),
             ...);
        },
        Rule::fields());
    return std::string(Rule::name) + (fields.empty() ? "" : "(" + fields + ")");
}

template <class... Rules>
std::string rule_text(const std::variant<Rules...>& rule) {
    return std::visit([](const auto& each) { return rule_text(each); }, rule);
}

/// The names of a variant's rules, "a, b or c".
template <class... Rules>
std::string rule_names(const std::variant<Rules...>* /*type*/) {
    const std::array<std::string_view, sizeof...(Rules)> names{Rules::name...};
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + std::string(names[i]);
    }
    return text;
}

namespace detail {

inline std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

template <class Rule, class Value>
bool assign(Rule& rule, const Field<Rule, Value>& entry, std::string_view name, std::string_view value) {
    if (entry.name != name) return false;
    const std::optional<Value> parsed = number_from<Value>(value);
    if (!parsed) {
        throw UserError(ExitCode::usage, std::string(Rule::name) + ": " + std::string(name) + "=" + std::string(value) +
                                             (std::is_same_v<Value, bool> ? " is not 0, 1, false or true"
                                              : std::is_integral_v<Value> ? " is not a whole number"
                                                                          : " is not a number"));
    }
    if (!(static_cast<double>(*parsed) >= entry.low && static_cast<double>(*parsed) <= entry.high)) {
        throw UserError(ExitCode::usage, std::string(Rule::name) + ": " + std::string(name) + "=" + std::string(value) +
                                             " is outside [" + number_text(static_cast<Value>(entry.low)) + ", " +
                                             number_text(static_cast<Value>(entry.high)) + "]");
    }
    rule.*entry.member = *parsed;
    return true;
}

template <class Rule>
Rule parse_fields(std::string_view fields) {
    Rule rule{};
    std::vector<std::string_view> given;
    while (!fields.empty()) {
        const auto comma = fields.find(',');
        const auto pair = fields.substr(0, comma);
        fields = comma == std::string_view::npos ? std::string_view{} : fields.substr(comma + 1);
        const auto equals = pair.find('=');
        const auto name = trimmed(pair.substr(0, equals));
        const auto value = equals == std::string_view::npos ? std::string_view{} : trimmed(pair.substr(equals + 1));
        const bool known =
            std::apply([&](const auto&... each) { return (assign(rule, each, name, value) || ...); }, Rule::fields());
        if (!known) {
            throw UserError(ExitCode::usage, std::string(Rule::name) + " has no field '" + std::string(name) +
                                                 "'; it reads as " + rule_text(Rule{}));
        }
        if (std::find(given.begin(), given.end(), name) != given.end()) {
            throw UserError(ExitCode::usage, std::string(Rule::name) + ": " + std::string(name) + " is given twice");
        }
        given.push_back(name);
    }
    return rule;
}

}  // namespace detail

/// Reads the text form of one of a variant's rules; fields left out keep their defaults.
/// Throws UserError (usage) naming the known rules or fields when the text fits none.
template <class Variant>
Variant parse_rule(std::string_view text) {
    const auto open = text.find('(');
    const auto name = detail::trimmed(text.substr(0, open));
    std::string_view fields;
    if (open != std::string_view::npos) {
        fields = detail::trimmed(text.substr(open + 1));
        if (fields.empty() || fields.back() != ')') {
            throw UserError(ExitCode::usage, "'" + std::string(text) + "': the closing parenthesis is missing");
        }
        fields.remove_suffix(1);
    }
    return [&]<class... Rules>(std::variant<Rules...>* type) -> Variant {
        Variant result;
        const bool found = ((Rules::name == name && (result = detail::parse_fields<Rules>(fields), true)) || ...);
        if (!found) {
            throw UserError(ExitCode::usage, "unknown value '" + std::string(name) + "'; expected " + rule_names(type));
        }
        return result;
    }(static_cast<Variant*>(nullptr));
}

}  // namespace espalier
