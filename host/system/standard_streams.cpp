#include "host/system/standard_streams.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>

namespace espalier {

void open_standard_streams() {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
        if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
        // The lowest free number is this stream's. Without a /dev anything that refuses writes will do.
        if (::open("/dev/null", O_RDWR) < 0) (void)::open("/", O_RDONLY | O_DIRECTORY);
    }
}

int flush_stdout() {
    std::cout.flush();
    const bool failed_before = !std::cout || std::ferror(stdout) != 0;
    errno = 0;
    if (std::fflush(stdout) != 0) return errno != 0 ? errno : EIO;
    if (failed_before) {  // nobody kept the error; a pipe without reader can still be told from others
        pollfd file{STDOUT_FILENO, POLLOUT, 0};
        if (::poll(&file, 1, 0) > 0 && (file.revents & POLLERR) != 0) return EPIPE;
        return ::write(STDOUT_FILENO, "", 0) < 0 ? errno : EIO;
    }
    // Some file systems tell of a full disk or quota only when a file is closed; stdout itself must stay open.
    const int copy = ::dup(STDOUT_FILENO);
    return copy >= 0 && ::close(copy) != 0 && errno != EINTR ? errno : 0;
}

}  // namespace espalier
