// The dense library: OpenBLAS, opened by the first who multiplies large dense matrices and by nobody else. OpenBLAS
// picks its kernels while it is opened, and for a processor that it does not know it picks very old ones: then it is
// closed and opened again with $OPENBLAS_CORETYPE set for that moment. Who sets that variable himself gets what he asks
// for.
#pragma once

#include <cblas.h>

#include <mutex>
#include <string>

namespace espalier {

class DenseLibrary {
public:
    /// The library in use, opened by the first call. Throws UserError (device) where there is none.
    static const DenseLibrary& get();
    /// The same, or null before that.
    static const DenseLibrary* if_open();

    DenseLibrary(const DenseLibrary&) = delete;
    DenseLibrary& operator=(const DenseLibrary&) = delete;

    /// cblas_sgemm(arguments ...), one caller at a time where the build is not safe from several threads.
    template <class... Arguments>
    void sgemm(Arguments... arguments) const {
        if (is_threaded()) return sgemm_(arguments...);
        const std::lock_guard<std::mutex> alone(one_caller_);
        sgemm_(arguments...);
    }

    /// Threads of one product; 1 unless set.
    void set_threads(int threads) const { set_threads_(threads); }
    /// Whether one product can use several threads, and several threads can each make a product.
    [[nodiscard]] bool is_threaded() const { return parallel_ != 0; }

    /// "OpenBLAS 0.3.21".
    [[nodiscard]] std::string version() const;
    /// "OpenBLAS 0.3.21 DYNAMIC_ARCH ... Zen MAX_THREADS=64".
    [[nodiscard]] const std::string& configuration() const { return configuration_; }
    /// The processor that its kernels are written for, by OpenBLAS's name: "Zen".
    [[nodiscard]] const std::string& kernels() const { return kernels_; }
    /// Why these: " (its own choice was Prescott)", " (by $OPENBLAS_CORETYPE)"; as a rule empty.
    [[nodiscard]] const std::string& reason() const { return reason_; }
    /// "OpenBLAS 0.3.21, kernels for Zen".
    [[nodiscard]] std::string describe() const { return version() + ", kernels for " + kernels_ + reason_; }

private:
    DenseLibrary();
    void open();

    void* handle_ = nullptr;
    decltype(&cblas_sgemm) sgemm_ = nullptr;
    decltype(&openblas_set_num_threads) set_threads_ = nullptr;
    int parallel_ = 0;
    std::string configuration_, kernels_, reason_;
    mutable std::mutex one_caller_;
};

/// The kernels to ask for instead of `kernels` on a processor of this kind; empty where those use its vectors already,
/// or are none that this function knows.
std::string better_dense_kernels(const std::string& kernels, bool has_avx2, bool has_avx512);

}  // namespace espalier
