// The UserErrors that calls throw.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "espalier/error.hpp"

namespace espalier {

/// The exit code and message of the UserError that a call throws; ExitCode::ok if it throws none.
template <class Call>
std::pair<ExitCode, std::string> error_of(Call&& call) {
    try {
        call();
    } catch (const UserError& error) {
        return {error.code(), error.what()};
    }
    return {ExitCode::ok, "no error"};
}

/// What a call says when it refuses with `code`; anything else is an error of the test.
template <class Call>
std::string refusal(ExitCode code, Call&& call) {
    const auto [got, message] = error_of(call);
    if (got == ExitCode::ok) throw std::runtime_error("nothing was refused");
    if (got != code) throw std::runtime_error("another exit code: " + message);
    return message;
}

}  // namespace espalier
