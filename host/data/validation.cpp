#include "host/data/validation.hpp"

#include <charconv>
#include <iterator>

namespace espalier {

void take_validation(const Experiment& experiment, DataSet& data) {
    const std::string& asked = experiment.validation;
    if (asked.empty()) return;
    double share = 0;
    const auto [end, fault] = std::from_chars(asked.data(), asked.data() + asked.size(), share);
    if (fault == std::errc{} && end == asked.data() + asked.size()) {
        data.validation = hold_out(data.train, data.features(), share);
        return;
    }
    const DataMeaning meaning = data;
    DataRequest request;
    request.name = asked;
    request.data_dir = experiment.data_dir;
    request.network = &meaning;
    request.targets = experiment.targets;
    DataSet others = load_dataset(request);
    data.validation = std::move(others.test);
    data.remarks.insert(data.remarks.end(), std::make_move_iterator(others.remarks.begin()),
                        std::make_move_iterator(others.remarks.end()));
}

}  // namespace espalier
