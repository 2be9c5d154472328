#include "host/system/signals.hpp"

#include <csignal>
#include <initializer_list>

namespace espalier {
namespace {

volatile std::sig_atomic_t received = 0;

extern "C" void on_signal(int signal) {
    if (received != 0 && signal == SIGINT) {
        std::signal(SIGINT, SIG_DFL);
        std::raise(SIGINT);
    }
    received = signal;
}

}  // namespace

void watch_signals() {
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
        struct sigaction action {};
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART;
        sigaction(signal, &action, nullptr);
    }
}

void ignore_file_size_signal() { std::signal(SIGXFSZ, SIG_IGN); }

int stop_signal() noexcept { return received; }

}  // namespace espalier
