// What code compiled with -fsanitize=thread calls, by g++'s and clang's names. This file, too, is compiled without it.
#include <cstddef>
#include <cstdint>

#include "watch.hpp"

using cuda_on_host::watch::access;

#define HERE __builtin_return_address(0)
#define ACCESS(size)                                                                            \
    void __tsan_read##size(void* p) { access(p, size, false, false, HERE); }                    \
    void __tsan_write##size(void* p) { access(p, size, true, false, HERE); }                    \
    void __tsan_unaligned_read##size(void* p) { access(p, size, false, false, HERE); }          \
    void __tsan_unaligned_write##size(void* p) { access(p, size, true, false, HERE); }          \
    void __tsan_volatile_read##size(void* p) { access(p, size, false, false, HERE); }           \
    void __tsan_volatile_write##size(void* p) { access(p, size, true, false, HERE); }           \
    void __tsan_unaligned_volatile_read##size(void* p) { access(p, size, false, false, HERE); } \
    void __tsan_unaligned_volatile_write##size(void* p) { access(p, size, true, false, HERE); } \
    void __tsan_read_write##size(void* p) { access(p, size, true, false, HERE); }               \
    void __tsan_unaligned_read_write##size(void* p) { access(p, size, true, false, HERE); }

#define FETCH(bits, type, name)                                            \
    type __tsan_atomic##bits##_##name(volatile type* p, type value, int) { \
        access(const_cast<type*>(p), sizeof(type), true, true, HERE);      \
        return __atomic_##name(p, value, __ATOMIC_SEQ_CST);                \
    }
#define EXCHANGE(bits, type, name)                                                                                 \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile type* p, type* expected, type value, int, int) {    \
        access(const_cast<type*>(p), sizeof(type), true, true, HERE);                                              \
        return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0; \
    }
#define ATOMIC(bits, type)                                                                                   \
    type __tsan_atomic##bits##_load(const volatile type* p, int) {                                           \
        access(const_cast<const type*>(p), sizeof(type), false, true, HERE);                                 \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                         \
    }                                                                                                        \
    void __tsan_atomic##bits##_store(volatile type* p, type value, int) {                                    \
        access(const_cast<type*>(p), sizeof(type), true, true, HERE);                                        \
        __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                                        \
    }                                                                                                        \
    type __tsan_atomic##bits##_exchange(volatile type* p, type value, int) {                                 \
        access(const_cast<type*>(p), sizeof(type), true, true, HERE);                                        \
        return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);                                              \
    }                                                                                                        \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type* p, type expected, type value, int, int) { \
        access(const_cast<type*>(p), sizeof(type), true, true, HERE);                                        \
        __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
        return expected;                                                                                     \
    }                                                                                                        \
    EXCHANGE(bits, type, strong)                                                                             \
    EXCHANGE(bits, type, weak)                                                                               \
    FETCH(bits, type, fetch_add)                                                                             \
    FETCH(bits, type, fetch_sub)                                                                             \
    FETCH(bits, type, fetch_and)                                                                             \
    FETCH(bits, type, fetch_or)                                                                              \
    FETCH(bits, type, fetch_xor)                                                                             \
    FETCH(bits, type, fetch_nand)

extern "C" {
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
ATOMIC(8, std::uint8_t)
ATOMIC(16, std::uint16_t)
ATOMIC(32, std::uint32_t)
ATOMIC(64, std::uint64_t)

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, std::size_t bytes) { access(p, bytes, false, false, HERE); }
void __tsan_write_range(void* p, std::size_t bytes) { access(p, bytes, true, false, HERE); }
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
    access(from, bytes, false, false, HERE);
    access(to, bytes, true, false, HERE);
    return __builtin_memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
    access(from, bytes, false, false, HERE);
    access(to, bytes, true, false, HERE);
    return __builtin_memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
    access(to, bytes, true, false, HERE);
    return __builtin_memset(to, value, bytes);
}
}
