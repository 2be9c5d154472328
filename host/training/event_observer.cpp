#include "host/training/event_observer.hpp"

#include <algorithm>

#include "host/formats/heat_map.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {

EventObserver::EventObserver(const std::filesystem::path& folder, const RecordPlan& plan,
                             std::optional<std::uint32_t> last_epoch)
    : plan_(plan), file_(folder / run_layout::events, last_epoch) {}

void EventObserver::on_degrees(std::uint32_t /*epoch*/, std::size_t layer, const Degrees& /*before*/,
                               const Degrees& after) {
    if (layer == 0) connections_ = after.inputs;
}

void EventObserver::scalars(const EpochRecord& record) {
    file_.scalar("loss/train", record.train_loss);
    file_.scalar("loss/test", record.test_loss);
    if (record.test_r2) {  // a regression, which knows no right answers
        if (record.train_r2) file_.scalar("r2/train", *record.train_r2);
        file_.scalar("r2/test", *record.test_r2);
        if (record.test_rmse) file_.scalar("rmse/test", *record.test_rmse);
        if (record.validation_r2) file_.scalar("r2/validation", *record.validation_r2);
    } else {
        file_.scalar("accuracy/train", record.train_accuracy);
        file_.scalar("accuracy/test", record.test_accuracy);
    }
    if (record.validation_loss) file_.scalar("loss/validation", *record.validation_loss);
    if (!record.test_r2 && record.validation_accuracy) file_.scalar("accuracy/validation", *record.validation_accuracy);
    file_.scalar("schedule/learning_rate", record.learning_rate);
    file_.scalar("schedule/zeta", record.zeta);
    file_.scalar("topology/edges", static_cast<double>(record.edges));
    file_.scalar("topology/grown", static_cast<double>(record.grown));
    file_.scalar("speed/images_per_second", record.images_per_second);
}

void EventObserver::on_epoch_end(EpochEnd& end) {
    const EpochRecord& record = end.trainer().history().back();
    scalars(record);
    if (is_recorded(record.epoch, plan_.every, plan_.epochs)) {
        const Network& network = end.network();
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            file_.histogram("weights/layer" + std::to_string(l + 1), network.layers[l].weights);
        }
        const DataMeaning& data = end.trainer().data_meaning();
        if (data.height > 1 && connections_.size() == data.features()) {
            const auto counts = sum_over_channels(connections_, data.channels);
            const std::uint64_t most = *std::max_element(counts.begin(), counts.end());
            if (most > 0) file_.png("topology/connections", framed_heat_map(counts, data.height, data.width, most));
        }
    }
    file_.put(record.epoch);
}

}  // namespace espalier
