#include "host/edge_history.hpp"

#include "espalier/error.hpp"

namespace espalier {

EdgeHistory::EdgeHistory(const Topology& first, std::uint32_t epoch)
    : num_inputs_(first.num_inputs),
      epoch_(epoch),
      last_(first),
      born_(first.column.size(), epoch),
      ever_((first.num_cells() + 63) / 64, 0),
      first_epoch_(epoch),
      first_edges_(first.num_edges()) {
    for (Index row = 0; row < first.num_outputs; ++row) {
        for (EdgeIndex slot = first.row_start[row]; slot < first.row_start[row + 1]; ++slot) {
            mark(Cell{row} * num_inputs_ + first.column[slot]);
        }
    }
}

void EdgeHistory::mark(Cell cell) {
    std::uint64_t& word = ever_[cell / 64];
    const std::uint64_t bit = std::uint64_t{1} << (cell % 64);
    num_ever_ += (word & bit) == 0 ? 1 : 0;
    word |= bit;
}

EdgeLook EdgeHistory::look(const Topology& now, std::uint32_t epoch) {
    expects(now.num_inputs == num_inputs_ && now.num_outputs == last_.num_outputs, "a topology of the same layer");
    expects(epoch == epoch_ + 1, "a look after every epoch");
    const std::size_t ages = epoch - first_epoch_;
    at_risk_.resize(ages, 0);
    lost_.resize(ages, 0);
    EdgeLook result;
    result.edges = now.num_edges();
    std::vector<std::uint32_t> born(now.column.size());
    std::uint64_t age_sum = 0;
    EdgeIndex from_birth = 0;
    for (Index row = 0; row < now.num_outputs; ++row) {
        EdgeIndex old = last_.row_start[row];
        const EdgeIndex old_end = last_.row_start[row + 1];
        const auto face_epoch = [&](bool survives) {
            const std::uint32_t age = epoch_ - born_[old++];
            ++at_risk_[age];
            if (survives) return;
            ++lost_[age];
            ++result.lost;
        };
        for (EdgeIndex slot = now.row_start[row]; slot < now.row_start[row + 1]; ++slot) {
            const Index column = now.column[slot];
            while (old < old_end && last_.column[old] < column) face_epoch(false);
            if (old < old_end && last_.column[old] == column) {
                born[slot] = born_[old];
                face_epoch(true);
            } else {
                born[slot] = epoch;
                ++result.born;
                mark(Cell{row} * num_inputs_ + column);
            }
            age_sum += epoch - born[slot];
            from_birth += born[slot] == first_epoch_ ? 1 : 0;
        }
        while (old < old_end) face_epoch(false);
    }
    result.mean_age = result.edges > 0 ? static_cast<double>(age_sum) / result.edges : 0;
    result.from_birth = first_edges_ > 0 ? static_cast<double>(from_birth) / first_edges_ : 0;
    result.ever_active = static_cast<double>(num_ever_) / static_cast<double>(now.num_cells());
    born_ = std::move(born);
    last_ = now;
    epoch_ = epoch;
    return result;
}

std::vector<double> survival(const std::vector<std::uint64_t>& at_risk, const std::vector<std::uint64_t>& lost) {
    expects(at_risk.size() == lost.size(), "a life table");
    std::vector<double> shares;
    double share = 1;
    for (std::size_t age = 0; age < at_risk.size(); ++age) {
        if (at_risk[age] == 0) break;
        share *= 1 - static_cast<double>(lost[age]) / static_cast<double>(at_risk[age]);
        shares.push_back(share);
    }
    return shares;
}

}  // namespace espalier
