#include "host/topology/edge_lifetimes.hpp"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "espalier/error.hpp"

namespace espalier {

EdgeLifetimes::EdgeLifetimes(const Topology& first, std::uint32_t epoch) : last_(first) {
    lifetimes_.epoch = lifetimes_.first_epoch = epoch;
    lifetimes_.first_edges = first.num_edges();
    lifetimes_.born.assign(first.column.size(), epoch);
    lifetimes_.ever.assign((first.num_cells() + 63) / 64, 0);
    for (Index row = 0; row < first.num_outputs; ++row) {
        for (EdgeIndex slot = first.row_start[row]; slot < first.row_start[row + 1]; ++slot) {
            mark(Cell{row} * first.num_inputs + first.column[slot]);
        }
    }
}

EdgeLifetimes::EdgeLifetimes(const Topology& last, LifetimeState lifetimes) : last_(last), lifetimes_(std::move(lifetimes)) {
    const std::size_t ages = lifetimes_.epoch - lifetimes_.first_epoch;
    if (lifetimes_.epoch < lifetimes_.first_epoch || lifetimes_.born.size() != last.column.size() ||
        lifetimes_.ever.size() != (last.num_cells() + 63) / 64 || lifetimes_.at_risk.size() != ages ||
        lifetimes_.lost.size() != ages || std::any_of(lifetimes_.born.begin(), lifetimes_.born.end(), [&](std::uint32_t born) {
            return born < lifetimes_.first_epoch || born > lifetimes_.epoch;
        })) {
        throw UserError(ExitCode::checkpoint,
                        "the lives of " + std::to_string(lifetimes_.born.size()) + " edges do not fit a topology of " +
                            std::to_string(last.column.size()) + " after epoch " + std::to_string(lifetimes_.epoch));
    }
    for (const std::uint64_t word : lifetimes_.ever) num_ever_ += static_cast<std::uint64_t>(std::popcount(word));
}

void EdgeLifetimes::mark(Cell cell) {
    std::uint64_t& word = lifetimes_.ever[cell / 64];
    const std::uint64_t bit = std::uint64_t{1} << (cell % 64);
    num_ever_ += (word & bit) == 0 ? 1 : 0;
    word |= bit;
}

EdgeStatistics EdgeLifetimes::observe(const Topology& now, std::uint32_t epoch) {
    expects(now.num_inputs == last_.num_inputs && now.num_outputs == last_.num_outputs, "a topology of the same layer");
    expects(epoch == lifetimes_.epoch + 1, "a look after every epoch");
    const std::size_t ages = epoch - lifetimes_.first_epoch;
    lifetimes_.at_risk.resize(ages, 0);
    lifetimes_.lost.resize(ages, 0);
    EdgeStatistics result;
    result.edges = now.num_edges();
    std::vector<std::uint32_t> born(now.column.size());
    std::uint64_t age_sum = 0;
    EdgeIndex from_birth = 0;
    for (Index row = 0; row < now.num_outputs; ++row) {
        EdgeIndex old = last_.row_start[row];
        const EdgeIndex old_end = last_.row_start[row + 1];
        const auto face_epoch = [&](bool survives) {
            const std::uint32_t age = lifetimes_.epoch - lifetimes_.born[old++];
            ++lifetimes_.at_risk[age];
            if (survives) return;
            ++lifetimes_.lost[age];
            ++result.lost;
        };
        for (EdgeIndex slot = now.row_start[row]; slot < now.row_start[row + 1]; ++slot) {
            const Index column = now.column[slot];
            while (old < old_end && last_.column[old] < column) face_epoch(false);
            if (old < old_end && last_.column[old] == column) {
                born[slot] = lifetimes_.born[old];
                face_epoch(true);
            } else {
                born[slot] = epoch;
                ++result.born;
                mark(Cell{row} * now.num_inputs + column);
            }
            age_sum += epoch - born[slot];
            from_birth += born[slot] == lifetimes_.first_epoch ? 1 : 0;
        }
        while (old < old_end) face_epoch(false);
    }
    result.mean_age = result.edges > 0 ? static_cast<double>(age_sum) / result.edges : 0;
    result.from_birth = lifetimes_.first_edges > 0 ? static_cast<double>(from_birth) / lifetimes_.first_edges : 0;
    result.ever_active = static_cast<double>(num_ever_) / static_cast<double>(now.num_cells());
    lifetimes_.born = std::move(born);
    last_ = now;
    lifetimes_.epoch = epoch;
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
