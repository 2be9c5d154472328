#include "host/training/rank_agreement.hpp"

#include <algorithm>
#include <cstring>

#include "espalier/error.hpp"
#include "espalier/experiment.hpp"
#include "espalier/version.hpp"
#include "host/formats/sha256.hpp"
#include "host/options/option_table.hpp"
#include "host/system/process_name.hpp"

namespace espalier {
namespace {

/// What a rank has, and where it runs.
struct Claimed {
    char digest[65] = {};
    char host[64] = {};
};

void expect_same(Ranks& ranks, const std::string& what, const std::string& own) {
    Claimed mine;
    std::memcpy(mine.digest, sha256(own).c_str(), 64);
    host_name().copy(mine.host, sizeof mine.host - 1);
    const std::vector<Claimed> all = ranks.gather(mine);
    for (std::size_t r = 1; r < all.size(); ++r) {
        if (std::strcmp(all[r].digest, all[0].digest) == 0) continue;
        throw UserError(ExitCode::usage, "rank " + std::to_string(r) + " on " + all[r].host + " has other " + what +
                                             " than rank 0 on " + all[0].host + "; all ranks must have the same");
    }
}

/// "rank 2", "ranks 1, 2".
std::string named(const std::vector<std::size_t>& ranks) {
    std::string text = ranks.size() == 1 ? "rank " : "ranks ";
    for (const std::size_t rank : ranks) text += (rank == ranks.front() ? "" : ", ") + std::to_string(rank);
    return text;
}

}  // namespace

void expect_equal_options(Ranks* ranks, const Experiment& experiment) {
    if (ranks == nullptr) return;
    expect_same(*ranks, "version of the program (" + version() + ")", version());
    std::string options;
    for (const auto& option : experiment_options()) {
        if (option.group == "Machine" || option.name == "dataset" || option.name == "data-dir") continue;
        options += option.name + "=" + option.get(experiment) + "\n";
    }
    expect_same(*ranks, "options", options);
}

void expect_equal_data(Ranks* ranks, const Experiment& experiment, const std::string& digest, Index lanes) {
    if (ranks == nullptr) return;
    expect_same(*ranks, "data", digest);
    const auto count = static_cast<Index>(ranks->place().size);
    const Index tiles = (experiment.batch + lanes - 1) / lanes;
    if (tiles >= count) return;
    throw UserError(ExitCode::usage, "batch " + std::to_string(experiment.batch) + " is " + std::to_string(tiles) +
                                         (tiles == 1 ? " tile of " : " tiles of ") + std::to_string(lanes) +
                                         " samples, too few for " + std::to_string(count) + " ranks; --batch " +
                                         std::to_string(count * lanes) + " or " + std::to_string(tiles) +
                                         (tiles == 1 ? " rank" : " ranks"));
}

void expect_equal_layers(Backend& backend, Model& model, std::uint32_t epoch) {
    for (std::size_t l = 0; l < model.num_layers(); ++l) {
        const std::vector<std::uint64_t> folds = backend.fingerprints(model.layer(l));
        std::vector<std::size_t> others;
        for (std::size_t r = 1; r < folds.size(); ++r) {
            if (folds[r] != folds[0]) others.push_back(r);
        }
        if (others.empty()) continue;
        throw UserError(ExitCode::ranks, "epoch " + std::to_string(epoch) + ", layer " + std::to_string(l + 1) + ": " +
                                             named(others) + " and rank 0 hold different topologies or weights; "
                                             "checkpoints are as they were");
    }
}

std::function<bool()> agreed_stop(Ranks* ranks, std::function<bool()> stop) {
    if (ranks == nullptr) return stop;
    return [ranks, stop = std::move(stop)] {
        const std::vector<char> all = ranks->gather(static_cast<char>(stop() ? 1 : 0));
        return std::any_of(all.begin(), all.end(), [](char each) { return each != 0; });
    };
}

}  // namespace espalier
