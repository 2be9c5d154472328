// SIGINT, SIGTERM and SIGUSR1 ask a run to save and end; a second SIGINT ends at once.
#pragma once

namespace espalier {

/// From now on the three signals only set a mark.
void watch_signals();

/// A file size limit becomes a write error instead of the end of the process.
void ignore_file_size_signal();

/// The signal that asked to stop, 0 if none did.
int stop_signal() noexcept;

}  // namespace espalier
