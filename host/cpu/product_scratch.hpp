// Memory that a pass of any sparse product needs and leaves behind: the weights in forward order, the gradient by y in tiles.
// Layers of a model run one after another, so one piece, as large as the largest need, serves them all.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "host/cpu/memory.hpp"

namespace espalier {

/// Any thread.
class ProductScratch {
public:
    /// That of all products; it lives as long as one of them.
    static std::shared_ptr<ProductScratch> shared();
    /// At least `floats` of them, with what somebody left there. Throws as allocate_aligned().
    AlignedVector<float> take(std::size_t floats);
    void give_back(AlignedVector<float> piece) noexcept;

private:
    std::mutex mutex_;
    std::vector<AlignedVector<float>> idle_;  // as many as passes ran at a time
};

/// A piece of it, in `to`, while this lives.
class BorrowedScratch {
public:
    BorrowedScratch(ProductScratch& from, AlignedVector<float>& to, std::size_t floats);
    BorrowedScratch(const BorrowedScratch&) = delete;
    BorrowedScratch& operator=(const BorrowedScratch&) = delete;
    ~BorrowedScratch();

private:
    ProductScratch& from_;
    AlignedVector<float>& to_;
};

}  // namespace espalier
