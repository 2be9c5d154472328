// Training, and what it leaves behind.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "binding.hpp"
#include "espalier/backends.hpp"
#include "espalier/error.hpp"
#include "espalier/predictions.hpp"
#include "espalier/saved_network.hpp"
#include "espalier/train_network.hpp"

namespace espalier_python {

using namespace espalier;

namespace {

/// A network with the experiment it comes from and what its data mean.
struct Core {
    Experiment experiment;
    DataMeaning meaning;
    std::shared_ptr<const Network> network;
    std::vector<EpochRecord> history;
    std::uint32_t kept_epoch = 0;
    bool stopped = false, stopped_early = false;
    /// Edges of every input of layer 1 around each epoch's evolution, [records][2][inputs]; empty if that layer is dense.
    std::vector<std::uint32_t> connections;
    nb::object raised;  // what a callback or a signal raised, None if nothing

    [[nodiscard]] const Layer& layer(std::size_t index) const {
        if (index >= network->layers.size()) {
            throw nb::index_error(("layer: expected 0 to " + std::to_string(network->layers.size() - 1) + ", found " +
                                   std::to_string(index)).c_str());
        }
        return network->layers[index];
    }
    [[nodiscard]] std::string bytes() const {
        return network_bytes(*network, network_metadata(named(), meaning, kept_epoch));
    }
    /// The library takes its data from the caller, not by the name an option has.
    [[nodiscard]] Experiment named() const {
        Experiment result = experiment;
        result.dataset = meaning.name;
        return result;
    }
};

nb::dict record_of(const EpochRecord& record) {
    nb::dict all;
    all["epoch"] = record.epoch;
    const std::pair<const char*, double> reals[] = {{"train_loss", record.train_loss},
                                                    {"train_accuracy", record.train_accuracy},
                                                    {"test_loss", record.test_loss},
                                                    {"test_accuracy", record.test_accuracy},
                                                    {"test_confidence", record.test_confidence},
                                                    {"test_wrong_confidence", record.test_wrong_confidence},
                                                    {"train_seconds", record.train_seconds},
                                                    {"test_seconds", record.test_seconds},
                                                    {"evolution_seconds", record.evolution_seconds},
                                                    {"images_per_second", record.images_per_second},
                                                    {"learning_rate", record.learning_rate},
                                                    {"weight_decay", record.weight_decay},
                                                    {"zeta", record.zeta}};
    for (const auto& [name, value] : reals) all[name] = value;
    const std::pair<const char*, std::uint64_t> counts[] = {{"edges", record.edges},
                                                            {"replaced_positive", record.replaced_positive},
                                                            {"replaced_negative", record.replaced_negative},
                                                            {"pruned", record.pruned},
                                                            {"grown", record.grown}};
    for (const auto& [name, value] : counts) all[name] = value;
    if (record.validation_loss) all["validation_loss"] = *record.validation_loss;
    if (record.validation_accuracy) all["validation_accuracy"] = *record.validation_accuracy;
    const std::pair<const char*, std::optional<double>> of_regressions[] = {{"train_r2", record.train_r2},
                                                                            {"test_r2", record.test_r2},
                                                                            {"test_rmse", record.test_rmse},
                                                                            {"validation_r2", record.validation_r2},
                                                                            {"validation_rmse", record.validation_rmse}};
    for (const auto& [name, value] : of_regressions) {
        if (value) all[name] = *value;
    }
    return all;
}

/// Tells Python, which may end the run: by a callback that returns True, an exception, or a signal (Ctrl-C). What was
/// raised is kept and raised again when the run is whole.
class Watcher final : public TrainObserver {
public:
    Watcher(nb::object callback, Core& core) : callback_(std::move(callback)), core_(core) {}

    void on_degrees(std::uint32_t /*epoch*/, std::size_t layer, const Degrees& before, const Degrees& after) override {
        if (layer != 0) return;
        for (const Degrees* each : {&before, &after}) {
            core_.connections.insert(core_.connections.end(), each->inputs.begin(), each->inputs.end());
        }
    }
    void on_epoch(const EpochRecord& record) override {
        const nb::gil_scoped_acquire gil;
        if (callback_.is_none() || stop_) return;
        try {
            stop_ = nb::cast<bool>(callback_(record_of(record)));
        } catch (nb::python_error& error) {
            keep(error);
        }
    }
    bool stop() {
        if (stop_) return true;
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() == 0) return false;
        nb::python_error error;
        keep(error);
        return true;
    }

private:
    void keep(nb::python_error& error) {
        core_.raised = nb::borrow(error.value());
        stop_ = true;
    }

    nb::object callback_;
    Core& core_;
    bool stop_ = false;
};

std::unique_ptr<Core> train(const Experiment& experiment, const DataSet& data, const std::string& out, bool overwrite,
                            nb::object callback) {
    auto core = std::make_unique<Core>();
    core->experiment = experiment;
    core->raised = nb::none();
    Watcher watcher(std::move(callback), *core);
    const TrainingHooks hooks{{&watcher}, [&] { return watcher.stop(); }};
    const nb::gil_scoped_release free;
    DataSet prepared = data;
    prepare_data(experiment, prepared);
    core->meaning = prepared;
    TrainedNetwork trained;
    if (out.empty()) {
        const auto backend = make_backend(experiment);
        const Network start = starting_network(experiment, *backend, prepared);
        trained = train_network(experiment, *backend, prepared, start, hooks);
    } else {
        trained = train_network_into(out, experiment, prepared, hooks, overwrite);
    }
    core->network = std::move(trained.network);
    core->history = std::move(trained.history);
    core->kept_epoch = trained.kept_epoch;
    core->stopped = trained.stopped;
    core->stopped_early = trained.stopped_early;
    return core;
}

std::unique_ptr<Core> core_of(SavedNetwork saved) {
    auto core = std::make_unique<Core>();
    core->experiment = std::move(saved.experiment);
    core->meaning = std::move(saved.meaning);
    core->network = std::make_shared<const Network>(std::move(saved.network));
    return core;
}

std::unique_ptr<Core> with_none(std::unique_ptr<Core> core) {
    core->raised = nb::none();
    return core;
}

template <class T>
Predictions answers_of(const Core& core, const Array<const T, 2>& x) {
    const auto backend = make_backend(core.experiment);
    const SavedNetwork saved{"the network", *core.network, core.experiment, core.meaning};
    Split split;
    split.labels.resize(x.shape(0));
    if constexpr (std::is_same_v<T, float>) {
        split.floats.assign(x.data(), x.data() + x.size());
    } else {
        split.bytes.assign(x.data(), x.data() + x.size());
    }
    return predict(*backend, saved, split);
}

/// Probabilities [samples][outputs] and classes [samples] into arrays of the caller's.
template <class T>
void predict_into(const Core& core, const Array<const T, 2>& x, const Array<float, 2>& probabilities,
                  const Array<std::int32_t, 1>& classes) {
    const std::size_t outputs = core.network->layers.back().num_outputs;
    if (probabilities.shape(0) != x.shape(0) || probabilities.shape(1) != outputs || classes.size() != x.shape(0)) {
        throw nb::value_error("predictions: expected arrays of [samples, outputs] and [samples]");
    }
    if (core.meaning.targets() > 0) throw nb::value_error("predictions: expected a classifier, found a regression");
    const nb::gil_scoped_release free;
    const Predictions answers = answers_of(core, x);
    std::copy(answers.probabilities.begin(), answers.probabilities.end(), probabilities.data());
    std::copy(answers.classes.begin(), answers.classes.end(), classes.data());
}

/// A regression's values [samples][outputs], in its targets' units.
template <class T>
void regress_into(const Core& core, const Array<const T, 2>& x, const Array<double, 2>& values) {
    if (values.shape(0) != x.shape(0) || values.shape(1) != core.network->layers.back().num_outputs) {
        throw nb::value_error("values: expected an array of [samples, outputs]");
    }
    if (core.meaning.targets() == 0) throw nb::value_error("values: expected a regression, found a classifier");
    const nb::gil_scoped_release free;
    const Predictions answers = answers_of(core, x);
    std::copy(answers.values.begin(), answers.values.end(), values.data());
}

/// (values, columns, row starts, (outputs, inputs)) of a sparse layer, (values, None, None, shape) of a dense one.
nb::object matrix(nb::handle self, std::size_t index) {
    const Layer& layer = nb::cast<const Core&>(self).layer(index);
    const auto shape = nb::make_tuple(layer.num_outputs, layer.num_inputs);
    const auto values = view_of<float>(layer.weights, self);
    if (!layer.topology) return nb::make_tuple(values, nb::none(), nb::none(), shape);
    return nb::make_tuple(values, view_of<std::int32_t>(layer.topology->column, self),
                          view_of<std::int32_t>(layer.topology->row_start, self), shape);
}

nb::list history_of(const Core& core) {
    nb::list all;
    for (const EpochRecord& record : core.history) all.append(record_of(record));
    return all;
}

}  // namespace

void bind_training(nb::module_& m) {
    m.def("train", &train, nb::arg("experiment"), nb::arg("data"), nb::arg("out"), nb::arg("overwrite"),
          nb::arg("callback").none());
    m.def("open_network", [](const std::string& path, bool rewritten) {
        return with_none(core_of(rewritten ? open_rewritten_network(path) : open_network(path)));
    }, nb::arg("path"), nb::arg("rewritten"));
    m.def("network_from_bytes", [](const nb::bytes& bytes) {
        return with_none(core_of(open_network_bytes({bytes.c_str(), bytes.size()})));
    });
    nb::class_<Core>(m, "Network")
        .def("save", [](const Core& core, const std::string& path) {
            const nb::gil_scoped_release free;
            save_network(path, *core.network, network_metadata(core.named(), core.meaning, core.kept_epoch));
        })
        .def("to_bytes", [](const Core& core) {
            const std::string bytes = core.bytes();
            return nb::bytes(bytes.data(), bytes.size());
        })
        .def("predict", &predict_into<float>, nb::arg("x").noconvert(), nb::arg("probabilities").noconvert(),
             nb::arg("classes").noconvert())
        .def("predict", &predict_into<std::uint8_t>, nb::arg("x").noconvert(), nb::arg("probabilities").noconvert(),
             nb::arg("classes").noconvert())
        .def("regress", &regress_into<float>, nb::arg("x").noconvert(), nb::arg("values").noconvert())
        .def("regress", &regress_into<std::uint8_t>, nb::arg("x").noconvert(), nb::arg("values").noconvert())
        .def_prop_ro("target_names", [](const Core& core) { return core.meaning.target_names; })
        .def("matrix", &matrix)
        .def("bias", [](nb::handle self, std::size_t index) {
            return view_of<float>(nb::cast<const Core&>(self).layer(index).bias, self);
        })
        .def("array", [](nb::handle self, const std::string& name) -> nb::object {
            const NamedArray* found = nb::cast<const Core&>(self).network->array(name);
            return found == nullptr ? nb::none() : view_of<float>(found->values, self);
        })
        .def_prop_ro("num_layers", [](const Core& core) { return core.network->layers.size(); })
        .def_prop_ro("connections", [](nb::handle self) {
            return view_of<std::int32_t>(nb::cast<const Core&>(self).connections, self);
        })
        .def_prop_ro("experiment", [](const Core& core) { return core.named(); })
        .def_prop_ro("features", [](const Core& core) { return core.network->layers.front().num_inputs; })
        .def_prop_ro("outputs", [](const Core& core) { return core.network->layers.back().num_outputs; })
        .def_prop_ro("class_names", [](const Core& core) { return core.meaning.class_names; })
        .def_prop_ro("history", &history_of)
        .def_prop_ro("kept_epoch", [](const Core& core) { return core.kept_epoch; })
        .def_prop_ro("stopped", [](const Core& core) { return core.stopped; })
        .def_prop_ro("stopped_early", [](const Core& core) { return core.stopped_early; })
        .def_prop_ro("raised", [](const Core& core) { return core.raised; });
}

}  // namespace espalier_python
