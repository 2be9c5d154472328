#include "host/system/signals.hpp"

#include <csignal>

namespace espalier {
namespace {

constexpr int stop_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

volatile std::sig_atomic_t received = 0;

extern "C" void on_signal(int signal) {
    if (received != 0 && signal == SIGINT) {
        std::signal(SIGINT, SIG_DFL);
        std::raise(SIGINT);
    }
    received = signal;
}

bool is_ignored(int signal) {
    struct sigaction action {};
    return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void change_mask(int how) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : stop_signals) sigaddset(&set, signal);
    pthread_sigmask(how, &set, nullptr);
}

}  // namespace

void watch_signals() {
    for (const int signal : stop_signals) {
        if (signal == SIGHUP && is_ignored(signal)) continue;
        struct sigaction action {};
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART;
        sigaction(signal, &action, nullptr);
    }
}

void hold_signals() { change_mask(SIG_BLOCK); }

void receive_signals() { change_mask(SIG_UNBLOCK); }

void ignore_write_signals() {
    std::signal(SIGXFSZ, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
}

int stop_signal() noexcept { return received; }

}  // namespace espalier
