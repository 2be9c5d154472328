#include "host/system/threads.hpp"

#include <latch>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "espalier/error.hpp"

namespace espalier {

std::jthread start_thread(std::function<void()> work) {
    try {
        return std::jthread(std::move(work));
    } catch (const std::system_error& error) {
        throw UserError(ExitCode::device, "cannot start another thread: " + error.code().message());
    }
}

void expect_threads(int count) {
    thread_local int had = 0;  // OpenMP keeps them, so they would be counted twice
    if (count <= had) return;
    std::latch end(1);  // until then all of them are there at once
    std::vector<std::jthread> threads;
    try {
        for (int t = 0; t < count; ++t) threads.push_back(start_thread([&end] { end.wait(); }));
    } catch (const UserError& error) {
        end.count_down();
        throw UserError(error.code(), std::string(error.what()) + "; no more than --threads " +
                                          std::to_string(threads.size() + 1) + " can be had");
    } catch (...) {
        end.count_down();
        throw;
    }
    end.count_down();
    had = count;
}

}  // namespace espalier
