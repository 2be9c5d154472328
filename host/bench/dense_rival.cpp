#include "host/bench/dense_rival.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "espalier/error.hpp"
#include "host/bench/ceiling.hpp"
#include "host/bench/product.hpp"
#include "host/cpu/dense_library.hpp"

namespace espalier {
namespace {

constexpr float rate = 1e-3F;
constexpr float decay_of_momentum = 0.5F;

int blas(Index value) { return static_cast<int>(value); }

/// OpenBLAS on several threads while one of these lives; the CPU backend wants one.
class BlasThreads {
public:
    explicit BlasThreads(int threads) { DenseLibrary::get().set_threads(threads); }
    BlasThreads(const BlasThreads&) = delete;
    BlasThreads& operator=(const BlasThreads&) = delete;
    ~BlasThreads() { DenseLibrary::get().set_threads(1); }
};

bool close(float got, double want, double size) {
    return std::abs(static_cast<double>(got) - want) <= 1e-5 * (size + 1e-6);
}

}  // namespace

DenseRival::DenseRival(Index inputs, Index outputs, Index batch, int threads)
    : inputs_(inputs),
      outputs_(outputs),
      batch_(batch),
      threads_(threads),
      weights_(benchmark_numbers(std::size_t{outputs} * inputs, 0)),
      momentum_(weights_.size(), 0.0F),
      gradient_(weights_.size(), 0.0F),
      bias_(benchmark_numbers(outputs, 1)),
      x_(benchmark_numbers(std::size_t{inputs} * batch, 2)),
      y_(std::size_t{outputs} * batch),
      dy_(benchmark_numbers(std::size_t{outputs} * batch, 3)),
      dx_(x_.size()) {}

void DenseRival::forward() {
    const BlasThreads several(threads_);
    for (Index r = 0; r < outputs_; ++r) std::fill_n(y_.data() + std::size_t{r} * batch_, batch_, bias_[r]);
    DenseLibrary::get().sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas(outputs_), blas(batch_), blas(inputs_),
                              1.0F, weights_.data(), blas(inputs_), x_.data(), blas(batch_), 1.0F, y_.data(),
                              blas(batch_));
}

void DenseRival::backward() {
    const BlasThreads several(threads_);
    DenseLibrary::get().sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, blas(inputs_), blas(batch_), blas(outputs_),
                              1.0F, weights_.data(), blas(inputs_), dy_.data(), blas(batch_), 0.0F, dx_.data(),
                              blas(batch_));
    DenseLibrary::get().sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas(outputs_), blas(inputs_), blas(batch_),
                              1.0F, dy_.data(), blas(batch_), x_.data(), blas(batch_), 0.0F, gradient_.data(),
                              blas(inputs_));
    float* weights = weights_.data();
    float* momentum = momentum_.data();
    const float* gradient = gradient_.data();
    const std::size_t count = weights_.size();
#pragma omp parallel for simd num_threads(threads_) schedule(static)
    for (std::size_t i = 0; i < count; ++i) {
        momentum[i] = decay_of_momentum * momentum[i] + gradient[i];
        weights[i] -= rate * momentum[i];
    }
    for (Index r = 0; r < outputs_; ++r) {
        float sum = 0;
        for (Index s = 0; s < batch_; ++s) sum += dy_[std::size_t{r} * batch_ + s];
        bias_[r] -= rate * sum;
    }
}

std::string DenseRival::fault(Index stride) {
    const std::vector<float> weights = weights_;
    const std::vector<float> bias = bias_;
    forward();
    backward();
    const auto at = [this](const std::vector<float>& values, Index row, Index sample) {
        return static_cast<double>(values[std::size_t{row} * batch_ + sample]);
    };
    const auto weight = [&](Index r, Index c) { return static_cast<double>(weights[std::size_t{r} * inputs_ + c]); };
    for (Index r = 0; r < outputs_; r += stride) {
        for (Index s = 0; s < batch_; s += stride) {
            double sum = static_cast<double>(bias[r]);
            double size = std::abs(sum);
            for (Index c = 0; c < inputs_; ++c) {
                sum += weight(r, c) * at(x_, c, s);
                size += std::abs(weight(r, c) * at(x_, c, s));
            }
            if (!close(y_[std::size_t{r} * batch_ + s], sum, size)) return "dense forward is wrong";
        }
    }
    for (Index c = 0; c < inputs_; c += stride) {
        for (Index s = 0; s < batch_; s += stride) {
            double sum = 0;
            double size = 0;
            for (Index r = 0; r < outputs_; ++r) {
                sum += weight(r, c) * at(dy_, r, s);
                size += std::abs(weight(r, c) * at(dy_, r, s));
            }
            if (!close(dx_[std::size_t{c} * batch_ + s], sum, size)) return "dense input gradient is wrong";
        }
        for (Index r = 0; r < outputs_; r += stride) {
            double gradient = 0;
            for (Index s = 0; s < batch_; ++s) gradient += at(dy_, r, s) * at(x_, c, s);
            const double want = weight(r, c) - static_cast<double>(rate) * gradient;
            if (!close(weights_[std::size_t{r} * inputs_ + c], want, 1)) return "dense update is wrong";
        }
    }
    return {};
}

RivalRate rival_rate(int threads, double seconds) {
    constexpr Index width = 1024;
    constexpr Index batch = 128;
    DenseRival rival(width, width, batch, threads);
    rival.forward();  // memory touched, threads awake
    RivalRate rate;
    const double end = wall_seconds() + seconds;
    for (double start = wall_seconds(); start < end; start = wall_seconds()) {
        rival.forward();
        rate.product = std::max(rate.product, 2.0 * width * width * batch / (wall_seconds() - start));
        rate.fma = std::max(rate.fma, fma_peak(0.002) * threads);
    }
    return rate;
}

std::string rival_fault(const RivalRate& rate, int threads) {
    const DenseLibrary& library = DenseLibrary::get();
    if (threads > 1 && !library.is_threaded()) {
        return library.version() + " is built for one thread, and the sparse side has " + std::to_string(threads);
    }
    if (rate.share() >= least_rival_share) return {};
    char text[200];
    std::snprintf(text, sizeof text, "it makes a product of 1024 x 1024 with 128 samples at %.0f %% of F, not at %.0f %% "
                  "or more as a dense library should", 100 * rate.share(), 100 * least_rival_share);
    return library.describe() + ": " + text;
}

DenseLibraryReport dense_library_report() {
    try {
        const DenseLibrary& library = DenseLibrary::get();
        return {true, library.version(), library.kernels(), library.describe(),
                library.is_threaded() ? "safe from several threads" : "one caller at a time"};
    } catch (const UserError& error) {
        return {false, {}, {}, error.what(), {}};
    }
}

std::string blas_description() {
    const DenseLibrary& library = DenseLibrary::get();
    return library.configuration() + ", kernels for " + library.kernels() + library.reason();
}

}  // namespace espalier
