#include "host/ranks/rank_job.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <thread>

#include "espalier/error.hpp"
#include "host/system/process_name.hpp"
#include "host/system/signals.hpp"

namespace espalier {
namespace {

/// The one place beside main where an error is printed: a process that aborts the others does not get there.
[[noreturn]] void fail(Ranks& ranks, ExitCode code, const std::string& message) {
    const int rank = ranks.place().rank;
    if (rank > 0) {
        // Where all fail alike, rank 0 says so and ends the others while they wait here.
        for (int i = 0; i < 75; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            if (stop_signal() != 0) std::_Exit(static_cast<int>(code));
        }
    }
    const std::string where = rank == 0 ? "" : "rank " + std::to_string(rank) + " on " + host_name() + ": ";
    std::cerr << "espalier: " + where + message + "\n" << std::flush;
    ranks.abort(static_cast<int>(code));
    std::_Exit(static_cast<int>(code));  // as GCC does not see that
}

/// Signals after which a launcher kills everybody soon.
bool is_hurried(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGHUP; }

}  // namespace

int run_rank_job(Ranks& ranks, const std::function<int()>& work) {
    try {
        int code = work();
        std::cout.flush();  // the files are closed: nothing is lost with the process from here on
        ranks.broadcast(&code, sizeof code);
        static_cast<void>(ranks.gather(code));  // nobody leaves before all are here
        ranks.leave(code != 0 && is_hurried(stop_signal()));
        return code;
    } catch (const UserError& error) {
        fail(ranks, error.code(), error.what());
    } catch (const std::bad_alloc&) {
        fail(ranks, ExitCode::device, "out of memory; --dry-run estimates what a run needs");
    } catch (const std::exception& error) {
        fail(ranks, static_cast<ExitCode>(1), std::string("internal error: ") + error.what());
    }
}

}  // namespace espalier
