// Signals that ask a run to save and end: SIGINT, SIGTERM, SIGHUP (the terminal closed), SIGUSR1 and SIGUSR2 (batch
// systems' warnings) and SIGXCPU (the soft limit of CPU time). A second SIGINT ends at once.
#pragma once

namespace espalier {

/// From now on those signals only set a mark. SIGHUP stays ignored where it was (nohup).
void watch_signals();

/// Holds the signals back: they wait until receive_signals(), also through fork and exec. A child that is to save
/// when asked to so cannot be ended before it is able to.
void hold_signals();
void receive_signals();

/// A file size limit and a pipe without reader become write errors instead of the end of the process.
void ignore_write_signals();

/// The signal that asked to stop, 0 if none did.
int stop_signal() noexcept;

}  // namespace espalier
