#include "host/training/run_records.hpp"

#include <system_error>

#include "espalier/error.hpp"
#include "espalier/initialize_network.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/options/config_text.hpp"
#include "host/options/option_table.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {
namespace {

std::vector<RecordedLayer> recorded_layers(const Network& network) {
    std::vector<RecordedLayer> layers;
    for (const Layer& layer : network.layers)
        layers.push_back({layer.num_inputs, layer.num_outputs, layer.is_sparse()});
    return layers;
}

/// An epoch's record as this run will have them.
EpochRecord like_record(const DataSet& data) {
    EpochRecord record;
    const bool validated = data.validation.count() > 0;
    if (validated) record.validation_loss = record.validation_accuracy = 0;
    if (data.targets() == 0) return record;
    record.train_r2 = record.test_r2 = record.test_rmse = 0;
    if (validated) record.validation_r2 = record.validation_rmse = 0;
    return record;
}

std::optional<RecordedBytes> recorded(const RunStart& start) {
    if (!start.resumed) return std::nullopt;
    return start.resumed->info.recorded;
}

/// What a user should know before the first epoch.
void say_beginning(const Experiment& experiment, const RunStart& start, Progress& progress) {
    if (!start.remark.empty()) progress.say(start.remark);
    if (experiment.spmm != Spmm::automatic && start.backend->name() == "cpu") {
        progress.say("spmm chooses between CUDA kernels; the CPU backend has one way to multiply and takes that");
    }
    progress.say(start.data.name + " from " + start.data.source + ", " + std::to_string(start.data.train.count()) +
                 " + " + std::to_string(start.data.test.count()) + " samples; " + start.backend->describe());
    for (const std::string& each : start.data.remarks) progress.say(each);
    if (experiment.patience > 0 && start.data.validation.count() == 0) {
        progress.say(
            "note: without --validation, --patience goes by the test loss, so the test figures of the network kept are "
            "too good");
    }
    for (const std::string& layer : edge_notes(experiment)) progress.say("note: " + layer);
    if (start.resumed) say_resumed(experiment, *start.resumed, progress);
}

}  // namespace

RunRecords::RunRecords(const Experiment& experiment, const RunPlace& place, RunStart& start)
    : plan{experiment.record_every, experiment.epochs},
      recorder(start.folder, !start.resumed && (place.overwrite || start.fresh || may_restart(start.folder, place)),
               config_text(experiment), recorded_layers(start.network), recorded(start), like_record(start.data)),
      topology(start.folder, start.network, plan, recorded(start),
               start.resumed ? std::move(start.resumed->info.lifetimes) : AllLifetimes{}),
      progress(experiment.recipe.empty() ? start.data.name : experiment.recipe, experiment.epochs, place.progress) {
    write_pixel_statistics(recorder.folder() / run_layout::pixels, pixel_statistics(start.data));
    provenance = provenance_now(start.backend->describe());
    const auto before = start.resumed ? read_provenance(recorder.folder()) : std::nullopt;
    if (before) provenance.seconds = before->seconds;
    write_provenance(recorder.folder(), provenance);
    say_beginning(experiment, start, progress);
    for (const std::string& note : place.notes) progress.say("note: " + note);
    // A run that is to train more epochs is complete no longer.
    if (start.resumed && start.resumed->info.progress.epoch < experiment.epochs) {
        std::error_code absent;
        std::filesystem::remove(recorder.folder() / run_layout::results, absent);
    }
}

void RunRecords::note_machine(const Backend& backend) {
    provenance.machine = processor_name() + "; " + backend.describe();
    write_provenance(recorder.folder(), provenance);
}

}  // namespace espalier
