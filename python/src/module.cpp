// The module espalier._core: options, recipes, errors. What a user calls is the package in Python around it.
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cctype>
#include <new>

#include "binding.hpp"
#include "espalier/error.hpp"
#include "espalier/machine_report.hpp"
#include "espalier/options.hpp"
#include "espalier/version.hpp"

namespace espalier_python {

using namespace espalier;

std::string in_python_words(const std::string& message) {
    static const std::string recipes = "espalier train --list-recipes";
    std::string text = message;
    for (std::size_t at = 0; (at = text.find(recipes, at)) != std::string::npos;) {
        text.replace(at, recipes.size(), "espalier.recipes()");
    }
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool option = text.compare(i, 2, "--") == 0 && i + 2 < text.size() &&
                            std::islower(static_cast<unsigned char>(text[i + 2])) != 0 && (i == 0 || text[i - 1] != '-');
        if (!option) {
            out += text[i];
            continue;
        }
        for (i += 2; i < text.size() && (std::islower(static_cast<unsigned char>(text[i])) != 0 || text[i] == '-'); ++i) {
            out += text[i] == '-' ? '_' : text[i];
        }
        --i;
    }
    return out;
}

namespace {

PyObject* exception_of(ExitCode code) {
    switch (code) {
        case ExitCode::nonfinite:
            return PyExc_FloatingPointError;
        case ExitCode::device:
            return PyExc_RuntimeError;
        case ExitCode::io:
            return PyExc_OSError;
        default:
            return PyExc_ValueError;
    }
}

void translate(const std::exception_ptr& thrown, void* /*data*/) {
    try {
        std::rethrow_exception(thrown);
    } catch (const UserError& error) {
        PyErr_SetString(exception_of(error.code()), in_python_words(error.what()).c_str());
    } catch (const std::logic_error& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
}

Experiment resolve(const std::string& recipe, const std::map<std::string, std::string>& texts) {
    Experiment experiment = recipe.empty() ? Experiment{} : recipe_experiment(recipe);
    set_options(experiment, texts, "options");
    validate(experiment);
    return experiment;
}

}  // namespace
}  // namespace espalier_python

NB_MODULE(_core, m) {
    using namespace espalier_python;
    nb::set_leak_warnings(false);  // automatic differentiation keeps graphs beyond the module's end
    nb::register_exception_translator(&translate);
    m.def("version", [] { return version(); });
    m.def("machine_report", &machine_report, nb::arg("json"));
    m.def("options", [] {
        nb::list all;
        const Experiment defaults;
        for (const OptionInfo& option : known_options()) {
            all.append(nb::make_tuple(option.name, option.group, option.help, option_value(defaults, option.name)));
        }
        return all;
    });
    m.def("recipes", [] {
        nb::list all;
        for (const RecipeInfo& recipe : known_recipes()) all.append(nb::make_tuple(recipe.name, recipe.summary));
        return all;
    });
    nb::class_<Experiment>(m, "Experiment")
        .def(nb::new_(&resolve), nb::arg("recipe"), nb::arg("texts"))
        .def("config", [](const Experiment& experiment) { return config_text(experiment); })
        .def("value", [](const Experiment& experiment, const std::string& name) { return option_value(experiment, name); })
        .def_prop_ro("layers", [](const Experiment& experiment) { return experiment.layers; })
        .def_prop_ro("is_regression", [](const Experiment& experiment) { return is_regression(experiment.loss); })
        .def_prop_ro("is_rbm", [](const Experiment& experiment) { return experiment.model == ModelKind::rbm; });
    bind_data(m);
    bind_training(m);
    bind_product(m);
    bind_device_product(m);
}
