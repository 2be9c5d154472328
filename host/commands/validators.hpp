// What arguments of commands may be, refused in the words of the options that train takes.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/options/option_kinds.hpp"

namespace espalier {

/// One of these names, in any case; it arrives as it is spelled here.
inline CLI::Validator one_of(std::vector<std::string> names) {
    const auto check = [names = std::move(names)](std::string& text) -> std::string {
        for (const std::string& name : names) {
            if (!option_kinds::same_name(name, text)) continue;
            text = name;
            return {};
        }
        return "unknown value '" + text + "'; expected " + option_kinds::alternatives_text(names);
    };
    return CLI::Validator(check, "");
}

/// A number in [low, high].
template <class Number>
CLI::Validator within(Number low, Number high) {
    const auto check = [low, high](std::string& text) -> std::string {
        try {
            (void)option_kinds::read_number<Number>(text, static_cast<double>(low), static_cast<double>(high));
        } catch (const UserError& error) {
            return error.what();
        }
        return {};
    };
    return CLI::Validator(check, "in [" + number_text(low) + ", " + number_text(high) + "]");
}

}  // namespace espalier
