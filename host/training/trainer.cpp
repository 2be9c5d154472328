#include "espalier/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "espalier/error.hpp"
#include "espalier/initialize_network.hpp"
#include "host/data/class_weights.hpp"
#include "host/run/epoch_record.hpp"
#include "host/training/evolution_plan.hpp"
#include "host/training/rank_agreement.hpp"

namespace espalier {
namespace {

// The most steps of one advance().
constexpr std::uint32_t slice_steps = 64;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bool all_finite(const std::vector<float>& values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace

std::shared_ptr<const Network> EpochEnd::share() {
    if (network_ == nullptr) network_ = std::make_shared<const Network>(trainer_.network());
    return network_;
}

Trainer::Trainer(Experiment experiment, Backend& backend, const DataSet& data, const Network& network)
    : experiment_(std::move(experiment)),
      backend_(backend),
      data_meaning_(data),
      train_(backend, data, data.train),
      model_(make_model(backend, experiment_, network)),
      decay_form_(experiment_.decay_form == "default" ? default_decay_form(experiment_.optimizer)
                                                      : parse_rule<DecayForm>(experiment_.decay_form)),
      steps_per_epoch_((data.train.count() + experiment_.batch - 1) / experiment_.batch),
      scalars_(backend, std::max<std::size_t>(1, experiment_.layer_decay.size()) * steps_per_epoch_),
      probe_size_(probe_size(experiment_, data.train.count())),
      grow_(network.layers.size(), experiment_.grow),
      pruned_(network.layers.size()),
      shared_out_(network.layers.size()) {
    if (evolves()) expect_growth_on(experiment_, backend.name());
    if (!experiment_.class_weights.empty()) {
        model_->set_class_weights(class_weights(experiment_.class_weights, data, experiment_.layers.back()));
    }
    if (data.test.count() > 0) test_.emplace(backend, data, data.test);
    if (data.validation.count() > 0) validation_.emplace(backend, data, data.validation);
    expects(is_regression(experiment_.loss) == (data.targets() > 0), "targets for a regression, and for nothing else");
    if (data.targets() > 0) take_targets(data);
    if (!experiment_.layer_decay.empty()) model_->set_scalars_stride(steps_per_epoch_);
    const WeightLaw law = experiment_.new_weights == "initial" ? experiment_.initial_weights
                                                               : parse_rule<WeightLaw>(experiment_.new_weights);
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        edges_.push_back(static_cast<EdgeIndex>(layer.weights.size()));
        new_weights_.push_back(
            in_layer(law, layer.num_inputs, layer.num_outputs, initial_edge_count(experiment_, l)));
    }
}

void Trainer::take_targets(const DataSet& data) {
    test_targets_ = data.test.targets;
    validation_targets_ = data.validation.targets;
    if (const auto most = std::max(data.test.count(), data.validation.count()); most > 0) model_->keep_outputs(most);
    const std::size_t count = data.targets();
    const std::vector<double>& targets = data.train.targets;
    std::vector<double> mean(count, 0.0);
    for (std::size_t i = 0; i < targets.size(); ++i) mean[i % count] += targets[i] / data.train.count();
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const double distance = (targets[i] - mean[i % count]) / data.target_deviation[i % count];
        target_variance_ += distance * distance / static_cast<double>(targets.size());
    }
}

void Trainer::continue_from(TrainingProgress progress, std::vector<EpochRecord> history) {
    expects(progress.epoch <= experiment_.epochs && progress.step <= steps_per_epoch_, "progress within the run");
    expects(history.size() == progress.epoch, "a record of every epoch done");
    progress_ = std::move(progress);
    history_ = std::move(history);
}

bool Trainer::run(const std::function<bool()>& stop) {
    while (!done()) {
        if (stop && stop()) return false;
        advance();
    }
    return true;
}

bool Trainer::advance() {
    if (done()) return false;
    if (!compared_) compare_ranks();
    if (progress_.step == 0) begin_epoch();
    if (progress_.step < steps_per_epoch_) {
        train_slice();
    } else {
        finish_epoch();
    }
    return !done();
}

void Trainer::compare_ranks() {
    expect_equal_layers(backend_, *model_, progress_.epoch + 1);
    compared_ = true;
}

void Trainer::begin_epoch() {
    const double epochs = experiment_.epochs;
    const std::uint32_t epoch = progress_.epoch;
    progress_.record = {};
    progress_.record.epoch = epoch + 1;
    progress_.record.learning_rate = scheduled(experiment_.learning_rate, epoch, epochs);
    progress_.record.weight_decay = scheduled(experiment_.weight_decay, epoch, epochs);
    progress_.record.zeta = scheduled(experiment_.zeta, epoch, epochs);
    progress_.metrics = {};
    progress_.before = all_degrees();
}

/// Pruning comes before the test or after it as the experiment says (a published figure may be of the pruned network),
/// regrowth always after both: new edges have learned nothing that could be tested. After the last epoch the test comes
/// last of all, since its figures are to be those of the network that is kept.
void Trainer::finish_epoch() {
    const std::uint32_t epoch = progress_.epoch;
    EpochRecord& record = progress_.record;
    summarise_training();
    const EvolutionMoment now{true, epoch, (epoch + 1) * steps_per_epoch_,
                              Stream{experiment_.seed, Purpose::evolve, 0, epoch}};
    const bool last = epoch + 1 == experiment_.epochs;
    const bool evolves_now =
        evolves() && due(experiment_.cadence, now) && !(last && experiment_.last_epoch == LastEpoch::keep);
    EpochEnd tested(*this);
    const auto test_now = [&] {
        evaluate(record);
        for (TrainObserver* each : observers_) each->on_tested(record, tested);
    };

    if (!experiment_.zero_before_test && !last) test_now();
    if (evolves_now) {
        probe(epoch, record);
        plan_cut(epoch + 1.0);
    }
    const auto start = Clock::now();
    if (evolves_now) {
        for (std::size_t l = 0; l < model_->num_layers(); ++l) prune(l, epoch + 1.0, epoch, record);
        percolate(epoch + 1.0, record);
        share_out(sparse_layers());
    }
    record.evolution_seconds += seconds_since(start);
    if (experiment_.zero_before_test && !last) test_now();
    const auto second_start = Clock::now();
    if (evolves_now) {
        finish_evolution(epoch);
        compare_ranks();
    }
    record.evolution_seconds += seconds_since(second_start);
    if (last) test_now();

    const std::vector<Degrees> after = all_degrees();
    std::size_t sparse = 0;
    for (std::size_t l = 0; l < model_->num_layers(); ++l) {
        if (!model_->is_sparse(l)) continue;
        for (const EdgeIndex degree : after[sparse].outputs) record.edges += degree;
        for (TrainObserver* each : observers_) each->on_degrees(epoch + 1, l, progress_.before[sparse], after[sparse]);
        ++sparse;
    }
    ++progress_.epoch;
    progress_.step = 0;
    history_.push_back(record);
    for (TrainObserver* each : observers_) each->on_epoch(record);
    EpochEnd changed(*this);
    EpochEnd& end = evolves_now && !last ? changed : tested;
    for (TrainObserver* each : observers_) each->on_epoch_end(end);
}

/// What the epoch's steps come to, in its record.
void Trainer::summarise_training() {
    const Metrics& metrics = progress_.metrics;
    EpochRecord& record = progress_.record;
    record.images_per_second = static_cast<double>(metrics.samples) / record.train_seconds;
    record.train_loss = experiment_.train_loss_mean == TrainLossMean::batches
                            ? metrics.batch_loss_sum / static_cast<double>(metrics.batches)
                            : metrics.sample_loss_sum / static_cast<double>(metrics.samples);
    Metrics figures = metrics;
    if (experiment_.train_figures == TrainFigures::after) {
        figures = test(train_);
        record.train_loss = figures.sample_loss_sum / static_cast<double>(figures.samples);
    }
    const auto samples = static_cast<double>(figures.samples);
    record.train_accuracy = static_cast<double>(figures.correct) / (samples * model_->answers_per_sample());
    if (data_meaning_.targets() == 0) return;
    record.train_r2 = target_variance_ > 0 ? 1 - figures.sample_loss_sum / samples / target_variance_ : 0;
}

void Trainer::upload_scalars(std::uint32_t epoch) {
    const double epochs = experiment_.epochs;
    const std::vector<double>& given = experiment_.layer_decay;
    std::vector<StepScalars> scalars;
    for (const double factor : given.empty() ? std::vector<double>{1} : given) {
        for (std::uint32_t s = 0; s < steps_per_epoch_; ++s) {
            const double time = epoch + static_cast<double>(s) / steps_per_epoch_;
            const std::uint32_t step = epoch * steps_per_epoch_ + s;
            scalars.push_back(
                {update_step(experiment_.optimizer, decay_form_, scheduled(experiment_.learning_rate, time, epochs),
                             factor * scheduled(experiment_.weight_decay, time, epochs), std::uint64_t{step} + 1,
                             factor * scheduled(experiment_.l1, time, epochs)),
                 epoch, step});
        }
    }
    scalars_.upload(scalars.data());
    scalars_epoch_ = epoch;
}

void Trainer::train_slice() {
    const std::uint32_t epoch = progress_.epoch;
    if (scalars_epoch_ != epoch) upload_scalars(epoch);
    const double part = static_cast<double>(progress_.step) / steps_per_epoch_;
    for (TrainObserver* each : observers_) each->on_progress(epoch + 1, part);
    const auto start = Clock::now();
    const std::uint32_t end = enqueue_slice();
    add_metrics(backend_.metrics(), progress_.step, end - progress_.step);
    progress_.record.train_seconds += seconds_since(start);
    progress_.step = end;
}

/// Steps up to the end of a slice or the next evolution, which run as one program; returns where they end. A slice
/// depends on its first step alone, so a run that was stopped has the same slices as one that was not, and so the same
/// sums.
std::uint32_t Trainer::enqueue_slice() {
    const std::uint32_t done = progress_.step;
    const std::uint32_t before = progress_.epoch * steps_per_epoch_;
    std::uint32_t end = std::min(steps_per_epoch_, done + slice_steps);
    std::vector<std::size_t> evolving;
    for (std::size_t l = 0; evolves() && l < model_->num_layers(); ++l) {
        if (evolves_at(l, before + done)) evolving.push_back(l);
        for (std::uint32_t s = done + 1; s < end; ++s) {
            if (evolves_at(l, before + s)) end = s;
        }
    }
    if (!evolving.empty()) {
        evolve(evolving, progress_.epoch + static_cast<double>(done) / steps_per_epoch_, before + done, progress_.record);
    }
    const Samples& samples = train_.samples();
    backend_.run([&, done, end] {
        for (std::uint32_t s = done; s < end; ++s) {
            const std::uint32_t first = s * experiment_.batch;
            model_->train_step(samples, first, std::min(experiment_.batch, samples.count - first), scalars_.data() + s);
        }
        model_->share_state();
    });
    return end;
}

void Trainer::add_metrics(const Metrics& slice, std::uint32_t first, std::uint32_t steps) {
    if (!std::isfinite(slice.batch_loss_sum)) {
        std::string when = "step " + std::to_string(first + 1);
        if (slice.first_nonfinite < steps) {
            when = "step " + std::to_string(first + slice.first_nonfinite + 1);
        } else if (steps > 1) {
            when = "steps " + std::to_string(first + 1) + " to " + std::to_string(first + steps);
        }
        refuse_nonfinite(when + " of " + std::to_string(steps_per_epoch_), slice.batch_loss_sum);
    }
    progress_.metrics.add_sums(slice);
}

void Trainer::evaluate(EpochRecord& record) {
    const auto start = Clock::now();
    const double answers_per_sample = model_->answers_per_sample();
    if (validation_.has_value()) {
        const Metrics metrics = test(*validation_);
        const auto samples = static_cast<double>(metrics.samples);
        record.validation_loss = metrics.sample_loss_sum / samples;
        record.validation_accuracy = static_cast<double>(metrics.correct) / (samples * answers_per_sample);
        if (data_meaning_.targets() > 0) {
            const TargetFigures figures = figures_of(validation_targets_);
            record.validation_r2 = figures.mean_r2();
            record.validation_rmse = figures.mean_rmse();
        }
        if (!std::isfinite(*record.validation_loss)) refuse_nonfinite("validation pass", *record.validation_loss);
    }
    if (!test_.has_value()) {
        record.test_seconds = seconds_since(start);
        record.test_loss = record.test_accuracy = record.test_confidence = record.test_wrong_confidence =
            std::numeric_limits<double>::quiet_NaN();
        if (data_meaning_.targets() > 0) record.test_r2 = record.test_rmse = record.test_loss;
        return;
    }
    const Metrics metrics = test(*test_);
    record.test_seconds = seconds_since(start);
    const auto samples = static_cast<double>(metrics.samples);
    const double answers = samples * answers_per_sample;
    const double wrong = answers - static_cast<double>(metrics.correct);
    record.test_loss = metrics.sample_loss_sum / samples;
    record.test_accuracy = static_cast<double>(metrics.correct) / answers;
    record.test_confidence = metrics.confidence_sum / answers;
    record.test_wrong_confidence = wrong > 0 ? metrics.wrong_confidence_sum / wrong : 0;
    if (data_meaning_.targets() > 0) {
        const TargetFigures figures = figures_of(test_targets_);
        record.test_r2 = figures.mean_r2();
        record.test_rmse = figures.mean_rmse();
    }
    if (!std::isfinite(record.test_loss)) refuse_nonfinite("test pass", record.test_loss);
}

Metrics Trainer::test(const UploadedSplit& split) {
    backend_.run([&] { model_->evaluate(split.samples()); });
    return backend_.metrics();
}

TargetFigures Trainer::figures_of(const std::vector<double>& targets) const {
    const auto samples = static_cast<std::uint32_t>(targets.size() / data_meaning_.targets());
    return target_figures(in_target_units(model_->kept_outputs(samples), data_meaning_), targets,
                          data_meaning_.target_names);
}

bool Trainer::out_of_patience() const {
    return experiment_.patience > 0 && progress_.epoch >= best_epoch(history_) + experiment_.patience;
}

void Trainer::refuse_nonfinite(const std::string& when, double loss) {
    std::string layers;
    const Network network = model_->store();
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        if (!all_finite(network.layers[l].weights) || !all_finite(network.layers[l].bias)) {
            layers += (layers.empty() ? "" : ", ") + std::to_string(l + 1);
        }
    }
    for (const NamedArray& array : network.arrays) {
        if (!all_finite(array.values)) layers += (layers.empty() ? "" : ", ") + array.name;
    }
    throw UserError(ExitCode::nonfinite,
                    "epoch " + std::to_string(progress_.epoch + 1) + ", " + when + ": the loss is " +
                        std::to_string(loss) + "; " +
                        (layers.empty() ? "all weights are still finite, so it is layer " +
                                              std::to_string(network.layers.size()) + "'s outputs that are too large"
                                        : "weights that are not finite since: layer " + layers) +
                        ". A lower --learning-rate usually helps; checkpoints are as they were");
}

std::vector<Degrees> Trainer::all_degrees() {
    std::vector<Degrees> all;
    for (std::size_t l = 0; l < model_->num_layers(); ++l) {
        if (model_->is_sparse(l)) all.push_back(backend_.degrees(model_->layer(l)));
    }
    return all;
}

}  // namespace espalier
