#include "host/training/run_observers.hpp"

#include <cstdio>

#include "host/report/report.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/system/progress.hpp"

namespace espalier {
namespace {

constexpr std::chrono::duration<double> between_checkpoints{60};

std::string regression_line(const EpochRecord& record) {
    char line[200];
    std::snprintf(line, sizeof line, "train %.4f R2 %.4f   test %.4f R2 %.4f RMSE %.5g   %.3f s   %llu replaced",
                  record.train_loss, record.train_r2.value_or(0), record.test_loss, *record.test_r2,
                  record.test_rmse.value_or(0), record.train_seconds + record.test_seconds + record.evolution_seconds,
                  static_cast<unsigned long long>(record.grown));
    return line;
}

/// In full, and as short as it goes.
std::vector<std::string> regression_figures(const EpochRecord& record) {
    char figures[64];
    std::snprintf(figures, sizeof figures, "test %.4f  R2 %.4f", record.test_loss, *record.test_r2);
    char least[48];
    std::snprintf(least, sizeof least, "R2 %.4f", *record.test_r2);
    return {figures, least};
}

}  // namespace

void HistoryObserver::on_degrees(std::uint32_t epoch, std::size_t layer, const Degrees& before, const Degrees& after) {
    if (is_recorded(epoch, plan_.every, plan_.epochs)) recorder_.degrees(layer, before, after);
}

void TopologyObserver::on_epoch_end(EpochEnd& end) { records_.epoch(end.trainer().progress().epoch, end.network()); }

void Checkpointer::on_epoch_end(EpochEnd& end) {
    const std::uint32_t epoch = end.trainer().progress().epoch;
    const bool due = every_ > 0 ? epoch % every_ == 0 : std::chrono::steady_clock::now() - last_ >= between_checkpoints;
    if (keep_ == 0 || !due || end.trainer().done()) return;  // the last one is saved after the run
    save(end.trainer(), end.network());
}

void Checkpointer::save(const Trainer& trainer, const Network& network) {
    if (keep_ == 0) return;
    info_.progress = trainer.progress();
    info_.test_loss.reset();
    info_.validation_loss.reset();
    if (info_.progress.step == 0 && !trainer.history().empty()) {
        info_.test_loss = trainer.history().back().test_loss;
        info_.validation_loss = trainer.history().back().validation_loss;
    }
    info_.recorded = recorder_.sync();
    records_.sync(info_.recorded);
    info_.lifetimes = records_.lifetimes();
    add_checkpoint(recorder_.folder(), info_, network, keep_);
    last_ = std::chrono::steady_clock::now();
}

void NetworkKeeper::on_tested(const EpochRecord& record, EpochEnd& end) {
    latest_.reset();  // before there is another one
    latest_ = end.share();
    const auto& history = end.trainer().history();
    const std::uint32_t best = best_epoch(history);
    const bool better = best == 0 || record.monitored_loss() < history[best - 1].monitored_loss();
    if (better && save_best_) save_best_(*latest_, record.epoch);
}

void ProgressObserver::on_progress(std::uint32_t epoch, double part) { progress_.within(epoch, part); }

void ProgressObserver::on_epoch_end(EpochEnd& end) {
    const EpochRecord& record = end.trainer().history().back();
    if (record.test_r2.has_value()) {
        progress_.epoch_done(record.epoch, regression_line(record), regression_figures(record));
        return;
    }
    const bool rbm = model_ == ModelKind::rbm;
    char line[200];
    std::snprintf(line, sizeof line, "%strain %.4f %6.2f %%   test %.4f %6.2f %%   %.3f s   %llu replaced",
                  rbm ? "reconstruction_error and units right: " : "", record.train_loss, 100 * record.train_accuracy,
                  record.test_loss, 100 * record.test_accuracy,
                  record.train_seconds + record.test_seconds + record.evolution_seconds,
                  static_cast<unsigned long long>(record.grown));
    char figures[64];
    std::snprintf(figures, sizeof figures, "test %.4f  %.2f %%", record.test_loss, 100 * record.test_accuracy);
    char least[48];
    std::snprintf(least, sizeof least, "%.4f %.2f%%", record.test_loss, 100 * record.test_accuracy);
    progress_.epoch_done(record.epoch, line, {figures, least});
}

LiveObserver::LiveObserver(const std::filesystem::path& folder, std::uint32_t epochs, Progress& progress)
    : epochs_(epochs), server_([folder] { return page_so_far({folder}, {}); }) {
    progress.say("live at " + server_.address());
}

void LiveObserver::on_epoch_end(EpochEnd& /*end*/) { server_.progress(place()); }

void LiveObserver::end(bool stopped) { server_.end((stopped ? "stopped after " : "") + place()); }

std::string LiveObserver::place() const {
    return "epoch " + std::to_string(epoch_) + " of " + std::to_string(epochs_);
}

}  // namespace espalier
