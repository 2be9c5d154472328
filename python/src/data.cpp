// Data sets: by name, or from arrays.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <span>

#include "binding.hpp"
#include "espalier/train_network.hpp"

namespace espalier_python {

using namespace espalier;

namespace {

using Labels = Array<const std::int64_t, 1>;

template <class T>
std::span<const T> items(const std::optional<Array<const T, 2>>& array) {
    return array.has_value() ? std::span(array->data(), array->size()) : std::span<const T>();
}
std::span<const std::int64_t> items(const std::optional<Labels>& labels) {
    return labels.has_value() ? std::span(labels->data(), labels->size()) : std::span<const std::int64_t>();
}

template <class T>
DataSet from_arrays(const Array<const T, 2>& x, const Labels& y, const std::optional<Array<const T, 2>>& test_x,
                    const std::optional<Labels>& test_y, const std::vector<Index>& shape, const Experiment& experiment) {
    const nb::gil_scoped_release free;
    const SampleShape sample{shape.at(1), shape.at(2), shape.at(0)};
    return make_dataset(std::span(x.data(), x.size()), items(std::optional(y)), sample, items<T>(test_x), items(test_y),
                        experiment.standardize);
}

std::span<const double> items(const std::optional<Array<const double, 2>>& targets) {
    return targets.has_value() ? std::span(targets->data(), targets->size()) : std::span<const double>();
}

/// The same of a regression: targets [samples][names], in their own units.
template <class T>
DataSet with_targets(const Array<const T, 2>& x, const Array<const double, 2>& y,
                     const std::optional<Array<const T, 2>>& test_x, const std::optional<Array<const double, 2>>& test_y,
                     const std::vector<Index>& shape, const Experiment& experiment,
                     const std::vector<std::string>& names) {
    const nb::gil_scoped_release free;
    const SampleShape sample{shape.at(1), shape.at(2), shape.at(0)};
    return make_dataset(std::span(x.data(), x.size()), items(std::optional(y)), sample, items<T>(test_x), items(test_y),
                        experiment.standardize, names);
}

template <class T>
void set_target_validation(DataSet& data, const Array<const T, 2>& x, const Array<const double, 2>& y) {
    DataSet checked = make_dataset(std::span(x.data(), x.size()), items(std::optional(y)),
                                   {1, static_cast<Index>(x.shape(1)), 1}, std::span<const T>(),
                                   std::span<const double>(), Standardize::none, data.target_names);
    data.validation = std::move(checked.train);
}

/// Validation samples come as another data set's test samples, which is how their labels are checked.
template <class T>
void set_validation(DataSet& data, const Array<const T, 2>& x, const Labels& y, const Array<const T, 2>& one_x,
                    const Labels& one_y) {
    DataSet checked = make_dataset(std::span(one_x.data(), one_x.size()), items(std::optional(one_y)),
                                   {1, static_cast<Index>(x.shape(1)), 1}, std::span(x.data(), x.size()),
                                   items(std::optional(y)), Standardize::none);
    data.validation = std::move(checked.test);
}

template <class T>
void bind_arrays(nb::module_& m, nb::class_<DataSet>& data) {
    m.def("data_from_arrays", &from_arrays<T>, nb::arg("x").noconvert(), nb::arg("y").noconvert(),
          nb::arg("test_x").noconvert().none(), nb::arg("test_y").noconvert().none(), nb::arg("shape"),
          nb::arg("experiment"));
    m.def("data_with_targets", &with_targets<T>, nb::arg("x").noconvert(), nb::arg("y").noconvert(),
          nb::arg("test_x").noconvert().none(), nb::arg("test_y").noconvert().none(), nb::arg("shape"),
          nb::arg("experiment"), nb::arg("names"));
    data.def("set_target_validation", &set_target_validation<T>, nb::arg("x").noconvert(), nb::arg("y").noconvert());
    data.def("set_validation", &set_validation<T>, nb::arg("x").noconvert(), nb::arg("y").noconvert(),
             nb::arg("one_x").noconvert(), nb::arg("one_y").noconvert());
}

}  // namespace

void bind_data(nb::module_& m) {
    nb::class_<DataSet> data(m, "Data");
    bind_arrays<float>(m, data);
    bind_arrays<std::uint8_t>(m, data);
    m.def("load_data", [](const Experiment& experiment) {
        const nb::gil_scoped_release free;
        return load_dataset(request_of(experiment));
    });
    data.def("set_classes", [](DataSet& self, std::vector<std::string> names) {
            self.classes = static_cast<Index>(names.size());
            self.class_names = std::move(names);
        })
        .def_prop_ro("name", [](const DataSet& self) { return self.name; })
        .def_prop_ro("remarks", [](const DataSet& self) { return self.remarks; })
        .def_prop_ro("features", [](const DataSet& self) { return self.features(); })
        .def_prop_ro("classes", [](const DataSet& self) { return self.classes; })
        .def_prop_ro("targets", [](const DataSet& self) { return self.target_names; })
        .def_prop_ro("counts", [](const DataSet& self) {
            return nb::make_tuple(self.train.count(), self.test.count(), self.validation.count());
        });
}

}  // namespace espalier_python
