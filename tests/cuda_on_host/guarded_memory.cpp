#include "guarded_memory.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "fiber.hpp"
#include "watch.hpp"

namespace cuda_on_host {

namespace {

constexpr std::size_t canary_bytes = 256;
constexpr std::byte canary{0xa5};

std::size_t tail_bytes() { return has_address_sanitizer() ? 0 : canary_bytes; }

}  // namespace

GuardedMemory::GuardedMemory(std::size_t bytes, std::string name)
    : data_(static_cast<std::byte*>(::operator new (bytes + tail_bytes(), std::align_val_t{256}))),
      bytes_(bytes),
      name_(std::move(name)) {
    std::memset(data_, 0xff, bytes);
    std::memset(data_ + bytes, static_cast<int>(canary), tail_bytes());
    watch::fresh(data_, bytes);
}

GuardedMemory::GuardedMemory(GuardedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), name_(std::move(other.name_)) {}

GuardedMemory::~GuardedMemory() {
    if (data_ != nullptr) ::operator delete (data_, std::align_val_t{256});
}

void GuardedMemory::check() const {
    const std::byte* end = data_ + bytes_;
    const auto intact = [](std::byte each) { return each == canary; };
    if (std::all_of(end, end + tail_bytes(), intact)) return;
    throw Fault(name_ + ": something was written past its " + std::to_string(bytes_) + " bytes");
}

}  // namespace cuda_on_host
