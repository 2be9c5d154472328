// Errors: UserError for what a person can mend (says what, where, what would be right), expects() for
// what only a programmer can. Only main prints; it ends with the exit code an error carries.
#pragma once

#include <stdexcept>
#include <string>

namespace espalier {

enum class ExitCode : int {
    ok = 0,
    usage = 2,       // option, config or recipe
    data = 3,        // data set missing, corrupt or of the wrong shape
    checkpoint = 4,  // network or checkpoint file
    nonfinite = 5,   // NaN or Inf in loss or weights
    device = 6,      // no such backend, out of memory
    io = 7,          // cannot write
    ranks = 8,       // processes that train together disagree, or one is gone
    stopped = 75,    // ended by a signal, state saved
};

class UserError : public std::runtime_error {
public:
    UserError(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

/// Throws std::logic_error naming the caller's place when `condition` is false.
inline void expects(bool condition, const char* what, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) {
    if (!condition) {
        throw std::logic_error(std::string(file) + ":" + std::to_string(line) + ": expected " + what);
    }
}

}  // namespace espalier
