// What a backend counts while it scores samples.
#pragma once

#include <cstdint>

namespace espalier {

/// Sums since the last call of metrics().
struct Metrics {
    double batch_loss_sum = 0;   // sum over batches of the batch's mean loss
    double sample_loss_sum = 0;  // sum over samples
    double confidence_sum = 0;   // of all predictions
    double wrong_confidence_sum = 0;
    std::uint64_t batches = 0;
    std::uint64_t samples = 0;
    std::uint64_t correct = 0;
    /// Number, from 0, of the first batch whose loss is not finite; none, or a backend that does not say: the default.
    std::uint64_t first_nonfinite = ~std::uint64_t{0};

    /// Calls use(name, pointer to member) for each of the sums.
    template <class Use>
    static void for_each_sum(const Use& use) {
        use("batch_loss_sum", &Metrics::batch_loss_sum);
        use("sample_loss_sum", &Metrics::sample_loss_sum);
        use("confidence_sum", &Metrics::confidence_sum);
        use("wrong_confidence_sum", &Metrics::wrong_confidence_sum);
        use("batches", &Metrics::batches);
        use("samples", &Metrics::samples);
        use("correct", &Metrics::correct);
    }
    /// Adds the sums of another part of the same pass; what first_nonfinite counts from is for the caller to know.
    void add_sums(const Metrics& more) {
        for_each_sum([&](const char* /*name*/, auto sum) { this->*sum += more.*sum; });
    }
};

}  // namespace espalier
