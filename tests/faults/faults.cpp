// Loaded before a program (LD_PRELOAD), makes one of its system calls on files below a folder go wrong. Environment:
//   ESPALIER_FAULT_UNDER  the folder; calls on other files are neither counted nor touched
//   ESPALIER_FAULT_AT     the number of the call, from 1
//   ESPALIER_FAULT_EVERY  "fsync" or "flock": instead, every call of that name fails
//   ESPALIER_FAULT        an errno the call fails with, "short" (a write takes only half), "signal N" (raised
//                         before it)
//   ESPALIER_FAULT_COUNT  a file that receives the number of calls when the program exits
//   ESPALIER_FAULT_THREADS  how many threads the program can start; needs none of the others
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<int> calls{0};

template <class Function>
Function next(const char* name, Function /*same type*/) {
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool is_under(const char* path) {
    static const char* const folder = std::getenv("ESPALIER_FAULT_UNDER");
    return folder != nullptr && path != nullptr && std::strncmp(path, folder, std::strlen(folder)) == 0;
}

bool is_under(int descriptor) {
    char link[64];
    char path[PATH_MAX + 1];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return false;
    path[length] = '\0';
    return is_under(path);
}

/// Counts the call; true if it is the one to go wrong.
bool is_chosen() {
    static const char* const at = std::getenv("ESPALIER_FAULT_AT");
    return ++calls == (at != nullptr ? std::atoi(at) : 0);
}

/// Counts the call and returns the errno it shall fail with, or 0. A signal is raised on the way.
int fault() {
    if (!is_chosen()) return 0;
    const char* const kind = std::getenv("ESPALIER_FAULT");
    if (kind == nullptr || std::strcmp(kind, "short") == 0) return 0;
    if (std::strncmp(kind, "signal ", 7) == 0) {
        std::raise(std::atoi(kind + 7));
        return 0;
    }
    return std::atoi(kind);
}

bool fails() {
    const int error = fault();
    if (error != 0) errno = error;
    return error != 0;
}

/// Whether all calls of that name are to fail; sets errno if so.
bool always_fails(const char* name) {
    static const char* const chosen = std::getenv("ESPALIER_FAULT_EVERY");
    static const char* const kind = std::getenv("ESPALIER_FAULT");
    if (chosen == nullptr || kind == nullptr || std::strcmp(chosen, name) != 0) return false;
    errno = std::atoi(kind);
    return true;
}

/// Bytes a write may take.
size_t allowed(size_t size) {
    static const char* const kind = std::getenv("ESPALIER_FAULT");
    static const char* const at = std::getenv("ESPALIER_FAULT_AT");
    const bool half = kind != nullptr && std::strcmp(kind, "short") == 0 && at != nullptr && calls == std::atoi(at);
    return half ? (size + 1) / 2 : size;
}

__attribute__((destructor)) void say_count() {
    const char* const path = std::getenv("ESPALIER_FAULT_COUNT");
    if (path == nullptr) return;
    if (FILE* file = std::fopen(path, "w"); file != nullptr) {
        std::fprintf(file, "%d\n", calls.load());
        std::fclose(file);
    }
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (is_under(path) && fails()) return -1;
    static const auto real = next("open", &open);
    return real(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (is_under(path) && fails()) return -1;
    static const auto real = next("open64", &open64);
    return real(path, flags, mode);
}

int close(int file) {
    const bool failed = is_under(file) && fails();
    const int error = errno;
    static const auto real = next("close", &close);
    const int result = real(file);  // closed all the same
    if (!failed) return result;
    errno = error;
    return -1;
}

ssize_t write(int file, const void* bytes, size_t size) {
    static const auto real = next("write", &write);
    if (!is_under(file)) return real(file, bytes, size);
    if (fails()) return -1;
    return real(file, bytes, allowed(size));
}

ssize_t pwrite(int file, const void* bytes, size_t size, off_t offset) {
    static const auto real = next("pwrite", &pwrite);
    if (!is_under(file)) return real(file, bytes, size, offset);
    if (fails()) return -1;
    return real(file, bytes, allowed(size), offset);
}

ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t offset) {
    static const auto real = next("pwrite64", &pwrite64);
    if (!is_under(file)) return real(file, bytes, size, offset);
    if (fails()) return -1;
    return real(file, bytes, allowed(size), offset);
}

ssize_t pread(int file, void* bytes, size_t size, off_t offset) {
    static const auto real = next("pread", &pread);
    if (is_under(file) && fails()) return -1;
    return real(file, bytes, size, offset);
}

ssize_t pread64(int file, void* bytes, size_t size, off64_t offset) {
    static const auto real = next("pread64", &pread64);
    if (is_under(file) && fails()) return -1;
    return real(file, bytes, size, offset);
}

int fsync(int file) {
    static const auto real = next("fsync", &fsync);
    return is_under(file) && (always_fails("fsync") || fails()) ? -1 : real(file);
}

int ftruncate(int file, off_t size) noexcept {
    static const auto real = next("ftruncate", &ftruncate);
    return is_under(file) && fails() ? -1 : real(file, size);
}

int ftruncate64(int file, off64_t size) noexcept {
    static const auto real = next("ftruncate64", &ftruncate64);
    return is_under(file) && fails() ? -1 : real(file, size);
}

int flock(int file, int operation) noexcept {
    static const auto real = next("flock", &flock);
    return is_under(file) && (always_fails("flock") || fails()) ? -1 : real(file, operation);
}

int rename(const char* from, const char* to) noexcept {
    static const auto real = next("rename", &rename);
    return is_under(to) && fails() ? -1 : real(from, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
    static const auto real = next("mkdir", &mkdir);
    return is_under(path) && fails() ? -1 : real(path, mode);
}

int remove(const char* path) noexcept {
    static const auto real = next("remove", &remove);
    return is_under(path) && fails() ? -1 : real(path);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*), void* argument) noexcept {
    static std::atomic<int> started{0};
    static const char* const most = std::getenv("ESPALIER_FAULT_THREADS");
    if (most != nullptr && ++started > std::atoi(most)) return EAGAIN;
    static const auto real = next("pthread_create", &pthread_create);
    return real(thread, attributes, work, argument);
}
}
