#include <exception>
#include <new>

#include "espalier/error.hpp"
#include "host/commands/command.hpp"
#include "host/system/available_memory.hpp"

namespace espalier {

int code_of(const Action& action, const std::function<void(const std::string&)>& tell) {
    const auto fail = [&](ExitCode code, const std::string& message) {
        tell("espalier: " + message);
        return static_cast<int>(code);
    };
    try {
        return action();
    } catch (const UserError& error) {
        return fail(error.code(), error.what());
    } catch (const std::bad_alloc&) {
        return fail(ExitCode::device, "out of memory: " + available_memory_text() +
                                          ", which is too little; --dry-run estimates what a run needs");
    } catch (const std::exception& error) {
        return fail(static_cast<ExitCode>(1), std::string("internal error: ") + error.what());
    }
}

}  // namespace espalier
