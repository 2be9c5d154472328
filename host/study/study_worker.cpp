#include "host/study/study_worker.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "host/formats/output_file.hpp"
#include "host/options/config_text.hpp"
#include "host/study/study_parts.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// Takes over from `one` what does not matter for whether two runs go together.
void set_numbers_alike(const Experiment& one, Experiment& other) {
    other.seed = one.seed;
    other.epochs = one.epochs;
    other.patience = one.patience;
    other.learning_rate = one.learning_rate;
    other.weight_decay = one.weight_decay;
    other.l1 = one.l1;
    other.layer_decay = one.layer_decay;
    other.decay_form = one.decay_form;
    other.initial_weights = one.initial_weights;
    other.initial_bias = one.initial_bias;
    other.dense_weights = one.dense_weights;
    other.new_weights = one.new_weights;
    other.train_loss_mean = one.train_loss_mean;
    other.record_every = one.record_every;
    if (one.optimizer.index() == other.optimizer.index()) other.optimizer = one.optimizer;
    if ((one.dropout > 0) == (other.dropout > 0)) other.dropout = one.dropout;
}

/// Likewise of edges: how many there are, and how they evolve.
void set_edges_alike(const Experiment& one, Experiment& other) {
    if ((one.topology == TopologyKind::dense) == (other.topology == TopologyKind::dense)) other.topology = one.topology;
    other.density = one.density;
    other.epsilon = one.epsilon;
    other.sparsity = one.sparsity;
    other.layer_density = one.layer_density;
    other.birth_law = one.birth_law;
    other.prune = one.prune;
    other.prune_scope = one.prune_scope;
    other.percolate = one.percolate;
    other.grow = one.grow;
    other.redistribute = one.redistribute;
    other.room = one.room;
    other.zeta = one.zeta;
    other.edges_kept = one.edges_kept;
    other.cadence = one.cadence;
    other.zero_before_test = one.zero_before_test;
    other.last_epoch = one.last_epoch;
    other.reset_state = one.reset_state;
}

}  // namespace

bool go_together(const Experiment& one, const Experiment& other) {
    if (one.model != ModelKind::mlp || !one.init_from.empty() || one.spmm == Spmm::cusparse) return false;
    if (one.backend != other.backend || one.device != other.device || one.spmm != other.spmm || one.graph != other.graph) {
        return false;
    }
    Experiment alike = other;
    alike.recipe = one.recipe;
    set_numbers_alike(one, alike);
    set_edges_alike(one, alike);
    return difference(alike, one).empty();
}

Worker::Worker(const fs::path& study_folder, std::vector<CellAtWork> cells, int device)
    : cells_(std::move(cells)), device_(device), process_(words(study_folder, cells_, device)) {}

std::vector<std::string> Worker::words(const fs::path& study_folder, const std::vector<CellAtWork>& cells, int device) {
    std::vector<std::string> configs;
    for (const CellAtWork& each : cells) {
        configs.push_back(cell_folder(study_folder, *each.cell).string() + ".toml");
        write_atomically(configs.back(), [&](OutputFile& file) { file.append(config_text(each.cell->experiment)); });
    }
    std::vector<std::string> on_device;
    if (device != any_device) on_device = {"--device", std::to_string(device)};
    std::vector<std::string> all{this_program()};
    if (cells.size() == 1) {
        const std::string run = cell_folder(study_folder, *cells[0].cell).string();
        all.insert(all.end(), {"train", "--config", configs[0], "--out", run, "--json", "--progress", "lines", "--ranks", "off"});
        if (cells[0].has_checkpoints) {
            all.insert(all.end(), {"--resume", "auto"});
        } else {
            all.emplace_back("--overwrite");
        }
        all.insert(all.end(), on_device.begin(), on_device.end());
        return all;
    }
    all.emplace_back("train-together");
    all.insert(all.end(), on_device.begin(), on_device.end());
    for (std::size_t c = 0; c < cells.size(); ++c) {
        const std::string run = cell_folder(study_folder, *cells[c].cell).string();
        all.insert(all.end(), {cells[c].has_checkpoints ? "go-on" : "begin", configs[c], run});
    }
    return all;
}

double Worker::seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

bool Worker::lost() const {
    return std::any_of(cells_.begin(), cells_.end(), [](const CellAtWork& each) { return each.claim->lost(); });
}

void Worker::read() {
    for (const std::string& line : process_.lines()) {
        std::size_t number = 0;
        int begin = 0;
        const bool is_headed = cells_.size() > 1 && std::sscanf(line.c_str(), "[%zu] %n", &number, &begin) == 1 &&
                               begin > 0 && number < cells_.size();
        if (!is_headed && cells_.size() > 1) {
            for (CellAtWork& each : cells_) each.last = line;
            continue;
        }
        CellAtWork& cell = cells_[number];
        const std::string text = line.substr(is_headed ? static_cast<std::size_t>(begin) : 0);
        unsigned epoch = 0;
        unsigned epochs = 0;
        int code = 0;
        const bool counts = std::sscanf(text.c_str(), "epoch %u/%u ", &epoch, &epochs) == 2;
        // a network to start from is trained first and counts its own
        if (counts && epochs == cell.cell->experiment.epochs) {
            if (cell.part == 0) cell.begun = (epoch - 1.0) / epochs;
            cell.part = static_cast<double>(epoch) / epochs;
        } else if (is_headed && std::sscanf(text.c_str(), "exit code %d", &code) == 1) {
            cell.code = code;
        } else if (!counts && !text.empty()) {
            cell.last = text;
        }
    }
}

}  // namespace espalier
