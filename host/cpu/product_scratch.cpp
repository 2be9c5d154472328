#include "host/cpu/product_scratch.hpp"

#include <utility>

namespace espalier {

std::shared_ptr<ProductScratch> ProductScratch::shared() {
    static std::mutex mutex;
    static std::weak_ptr<ProductScratch> current;
    const std::scoped_lock lock(mutex);
    auto scratch = current.lock();
    if (scratch == nullptr) current = scratch = std::make_shared<ProductScratch>();
    return scratch;
}

AlignedVector<float> ProductScratch::take(std::size_t floats) {
    AlignedVector<float> piece;
    {
        const std::scoped_lock lock(mutex_);
        if (!idle_.empty()) {
            piece = std::move(idle_.back());
            idle_.pop_back();
        }
    }
    if (piece.size() < floats) {
        piece = {};  // before the larger one is there
        piece = AlignedVector<float>(floats);
    }
    return piece;
}

void ProductScratch::give_back(AlignedVector<float> piece) noexcept {
    try {
        const std::scoped_lock lock(mutex_);
        idle_.push_back(std::move(piece));
    } catch (...) {  // no memory for the note of it: the piece goes
    }
}

BorrowedScratch::BorrowedScratch(ProductScratch& from, AlignedVector<float>& to, std::size_t floats) : from_(from), to_(to) {
    to = from.take(floats);
}

BorrowedScratch::~BorrowedScratch() { from_.give_back(std::exchange(to_, {})); }

}  // namespace espalier
