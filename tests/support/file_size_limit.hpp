// Stands in for a full disk: for as long as it lives, this process cannot write a file beyond `bytes`.
#pragma once

#include <sys/resource.h>

#include "host/system/signals.hpp"

namespace espalier {

class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        ignore_write_signals();
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit lowered{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &lowered);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

private:
    rlimit before_{};
};

}  // namespace espalier
