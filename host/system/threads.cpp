#include "host/system/threads.hpp"

#include <system_error>
#include <utility>

#include "espalier/error.hpp"

namespace espalier {

std::jthread start_thread(std::function<void()> work) {
    try {
        return std::jthread(std::move(work));
    } catch (const std::system_error& error) {
        throw UserError(ExitCode::device, "cannot start another thread: " + error.code().message());
    }
}

}  // namespace espalier
