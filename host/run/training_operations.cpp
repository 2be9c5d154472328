#include "host/run/training_operations.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/common/evolution_steps.hpp"

namespace espalier {
namespace {

/// Counts what one run does.
class OperationCount {
public:
    OperationCount(const Experiment& experiment, std::uint32_t samples)
        : experiment_(experiment),
          samples_(samples),
          steps_((samples + experiment.batch - 1) / experiment.batch),
          evolves_(experiment.topology == TopologyKind::set),
          probe_(probe_samples(experiment.grow)) {
        if (probe_ == 0) probe_ = static_cast<int>(std::min<std::uint32_t>(experiment.batch, samples));
    }

    TrainingOperations of(const std::vector<std::vector<double>>& edges) {
        const double first = experiment_.layers.front();
        const bool correlated = std::holds_alternative<CorrelatedInputs>(experiment_.birth_law);
        if (correlated && is_sparse_layer(experiment_, 0)) count_.birth = samples_ * first * (first + 1);
        if (const auto* law = std::get_if<ConnectionSensitivity>(&experiment_.birth_law)) count_.birth = sensitivity(*law);
        for (std::size_t epoch = 0; epoch < edges.size(); ++epoch) add_epoch(static_cast<std::uint32_t>(epoch), edges[epoch]);
        return count_;
    }

private:
    [[nodiscard]] double sensitivity(const ConnectionSensitivity& law) const {
        double forward = 0, sparse = 0;
        for (std::size_t l = 0; l + 1 < experiment_.layers.size(); ++l) {
            const double cells = static_cast<double>(experiment_.layers[l]) * experiment_.layers[l + 1];
            forward += cells;
            sparse += is_sparse_layer(experiment_, l) ? cells : 0;
        }
        if (sparse == 0) return 0;
        const double back = forward - static_cast<double>(experiment_.layers[0]) * experiment_.layers[1];
        return 2 * (law.samples > 0 ? law.samples : std::min<double>(experiment_.batch, samples_)) *
               (forward + back + sparse);
    }

    void add_epoch(std::uint32_t epoch, const std::vector<double>& edges) {
        const double written = 1.0 + num_states(experiment_.optimizer);
        double forward = 0;
        for (const double of_layer : edges) forward += of_layer;
        const double back = forward - edges.front();
        count_.steps += 2 * samples_ * (2 * forward + back) + 2 * steps_ * written * forward;
        if (!evolves_) return;
        for (std::uint32_t step = 0; step < steps_; ++step) {
            const std::uint32_t run_step = epoch * steps_ + step;
            add_event(epoch + static_cast<double>(step) / steps_, edges, false, [&](std::size_t layer) {
                const Stream draws{experiment_.seed, Purpose::evolve, static_cast<std::uint32_t>(layer), run_step};
                return due(experiment_.cadence, {false, epoch, run_step, draws});
            });
        }
        if (epoch + 1 == experiment_.epochs && experiment_.last_epoch == LastEpoch::keep) return;
        const EvolutionMoment end{true, epoch, (epoch + 1) * steps_, {experiment_.seed, Purpose::evolve, 0, epoch}};
        if (due(experiment_.cadence, end)) add_event(epoch + 1.0, edges, true, [](std::size_t) { return true; });
    }

    template <class IsDue>
    void add_event(double time, const std::vector<double>& edges, bool epoch_ended, const IsDue& is_due) {
        const double zeta = scheduled(experiment_.zeta, time, experiment_.epochs);
        const bool thins = scheduled(experiment_.edges_kept, time, experiment_.epochs) < 1;
        const bool last = epoch_ended && time == experiment_.epochs;
        const bool prunes_only = last && experiment_.last_epoch != LastEpoch::evolve;
        bool happens = epoch_ended;  // whether anything goes or not
        for (std::size_t l = 0; l < edges.size(); ++l) {
            if (!is_sparse_layer(experiment_, l) || !is_due(l)) continue;
            const EdgeIndex quota = prune_quota(zeta, static_cast<EdgeIndex>(edges[l]));
            happens = happens || quota > 0 || thins;
            if (quota > 0 && !prunes_only) count_.evolution += growth(l, edges[l], quota);
        }
        if (!happens || !probe_.has_value()) return;
        double forward = 0;
        for (const double of_layer : edges) forward += of_layer;
        count_.evolution += 2.0 * *probe_ * (2 * forward - edges.front());
    }

    [[nodiscard]] double growth(std::size_t layer, double edges, EdgeIndex quota) const {
        const double inputs = experiment_.layers[layer], outputs = experiment_.layers[layer + 1];
        if (const auto* rule = std::get_if<GrowGradient>(&experiment_.grow)) {
            const double missing = inputs * outputs - edges + (rule->allow_removed ? quota : 0);
            const double wanted = std::max(std::ceil(rule->candidates * edges), static_cast<double>(quota));
            const double cells = rule->candidates > 0 ? std::min(wanted, missing) : inputs * outputs;
            return 2.0 * *probe_ * cells;
        }
        if (std::holds_alternative<GrowByPaths>(experiment_.grow)) {
            const double kept = edges - quota;
            return 2 * kept * (kept / inputs) * (kept / outputs);
        }
        return 0;
    }

    const Experiment& experiment_;
    double samples_;
    std::uint32_t steps_;
    bool evolves_;
    std::optional<int> probe_;
    TrainingOperations count_;
};

}  // namespace

TrainingOperations training_operations(const Experiment& experiment, std::uint32_t samples,
                                       const std::vector<std::vector<double>>& edges) {
    return OperationCount(experiment, samples).of(edges);
}

std::optional<TrainingOperations> training_operations(const RunFolder& run) {
    const Experiment& experiment = run.experiment;
    if (experiment.model == ModelKind::rbm) return std::nullopt;
    const std::size_t layers = experiment.layers.size() - 1;
    std::vector<double> now;  // edges of each layer when the next epoch begins
    for (std::size_t l = 0; l < layers; ++l) {
        now.push_back(static_cast<double>(experiment.layers[l]) * experiment.layers[l + 1]);
    }
    for (const DegreeRecord& record : run.degrees) {
        if (record.moments() == 0) return std::nullopt;
        if (record.inputs) continue;
        now[record.layer - 1] = 0;
        for (const EdgeIndex degree : record.at(0)) now[record.layer - 1] += degree;
    }
    std::vector<std::vector<double>> edges;
    std::uint64_t moment = 0;
    for (std::size_t epoch = 0; epoch < run.epochs(); ++epoch) {
        for (; moment < run.recorded.size() && run.recorded[moment] <= epoch; ++moment) {
            for (const DegreeRecord& record : run.degrees) {
                if (record.inputs || moment + 1 >= record.moments()) continue;
                now[record.layer - 1] = 0;
                for (const EdgeIndex degree : record.at(moment + 1)) now[record.layer - 1] += degree;
            }
        }
        edges.push_back(now);
    }
    // the history says how many samples an epoch had by their speed
    const double samples = run.history.at("images_per_second").front() * run.history.at("train_seconds").front();
    if (!(samples >= 1)) return std::nullopt;
    return training_operations(experiment, static_cast<std::uint32_t>(std::lround(samples)), edges);
}

}  // namespace espalier
