#include "protected_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <utility>

#include "fiber.hpp"
#include "guarded_memory.hpp"
#include "watch.hpp"

extern "C" {
// address sanitizer's, where it is there
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* memory, std::size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* memory, std::size_t bytes);
}

namespace cuda_on_host {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t alignment = 256;
constexpr std::byte fence{0xa5};

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

/// All there are: where their pages begin, how many bytes.
std::map<std::byte*, std::size_t>& all_pages() {
    static auto* const all = new std::map<std::byte*, std::size_t>;  // may be asked for until the very end
    return *all;
}
thread_local int num_accesses = 0;  // of this thread, which a key is open for

/// The protection key of device memory, which a thread opens and closes without asking the system; negative where the
/// processor has none, and pages change instead.
int key() {
    static const int allocated = pkey_alloc(0, PKEY_DISABLE_ACCESS);
    return allocated;
}

void open_or_close(bool open) {
    if (key() >= 0) {
        pkey_set(key(), open ? 0U : PKEY_DISABLE_ACCESS);
        return;
    }
    for (const auto& [pages, bytes] : all_pages()) mprotect(pages, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

}  // namespace

ProtectedMemory::ProtectedMemory(std::size_t bytes)
    : page_bytes_(rounded_up(std::max<std::size_t>(bytes, 1), page)), bytes_(bytes) {
    void* const mapped =
        mmap(nullptr, page_bytes_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    pages_ = static_cast<std::byte*>(mapped) + page;
    mprotect(pages_, page_bytes_, PROT_READ | PROT_WRITE);
    data_ = pages_ + page_bytes_ - rounded_up(std::max<std::size_t>(bytes, 1), alignment);
    std::memset(pages_, 0xff, page_bytes_);
    std::memset(data_ + bytes_, static_cast<int>(fence),
                static_cast<std::size_t>(pages_ + page_bytes_ - data_) - bytes_);
    if (has_address_sanitizer()) {
        __asan_poison_memory_region(data_ + bytes_, static_cast<std::size_t>(pages_ + page_bytes_ - data_) - bytes_);
    }
    watch::fresh(data_, bytes_);
    if (key() >= 0) {
        pkey_mprotect(pages_, page_bytes_, PROT_READ | PROT_WRITE, key());
    } else if (num_accesses == 0) {
        mprotect(pages_, page_bytes_, PROT_NONE);
    }
    all_pages().emplace(pages_, page_bytes_);
}

ProtectedMemory::ProtectedMemory(ProtectedMemory&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)),
      page_bytes_(other.page_bytes_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(other.bytes_) {}

ProtectedMemory::~ProtectedMemory() {
    if (pages_ == nullptr) return;
    all_pages().erase(pages_);
    if (has_address_sanitizer()) __asan_unpoison_memory_region(pages_, page_bytes_);
    munmap(pages_ - page, page_bytes_ + 2 * page);
}

void ProtectedMemory::check() const {
    if (has_address_sanitizer()) return;
    const BlockAccess access(this);
    const auto intact = [](std::byte each) { return each == fence; };
    if (std::all_of(data_ + bytes_, pages_ + page_bytes_, intact)) return;
    throw Fault("device memory: something was written past its " + std::to_string(bytes_) + " bytes");
}

std::recursive_mutex& device_mutex() {
    static auto* const mutex = new std::recursive_mutex;  // likewise
    return *mutex;
}

DeviceAccess::DeviceAccess() {
    device_mutex().lock();
    if (num_accesses++ == 0) open_or_close(true);
}
DeviceAccess::~DeviceAccess() {
    if (--num_accesses == 0) open_or_close(false);
    device_mutex().unlock();
}

BlockAccess::BlockAccess(const ProtectedMemory* block) : block_(num_accesses == 0 || key() >= 0 ? block : nullptr) {
    if (block_ == nullptr) return;
    if (key() >= 0) {  // opening all costs no more than opening one
        if (num_accesses++ == 0) open_or_close(true);
    } else {
        mprotect(block_->pages_, block_->page_bytes_, PROT_READ | PROT_WRITE);
    }
}
BlockAccess::~BlockAccess() {
    if (block_ == nullptr) return;
    if (key() >= 0) {
        if (--num_accesses == 0) open_or_close(false);
    } else {
        mprotect(block_->pages_, block_->page_bytes_, PROT_NONE);
    }
}

}  // namespace cuda_on_host
