// Samples to validate on: they choose the best epoch, so that the test samples need not.
#pragma once

#include "espalier/experiment.hpp"
#include "espalier/dataset.hpp"

namespace espalier {

/// Gives `data` the validation samples that the experiment asks for, if any: a share of its training samples, which go
/// there (hold_out()), or all samples of a file of the same form, normalised as the training samples are. Throws as
/// load_dataset().
void take_validation(const Experiment& experiment, DataSet& data);

}  // namespace espalier
