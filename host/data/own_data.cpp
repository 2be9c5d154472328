#include "host/data/own_data.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "espalier/error.hpp"
#include "host/data/arrays.hpp"
#include "host/data/csv.hpp"
#include "host/data/idx.hpp"
#include "host/data/targets.hpp"
#include "host/formats/npz.hpp"
#include "host/formats/sha256.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse_usage(const std::string& fault) { throw UserError(ExitCode::usage, fault); }
[[noreturn]] void refuse_data(const std::string& fault) { throw UserError(ExitCode::data, fault); }

/// Samples and labels as one or two files have them, before labels are classes.
struct Part {
    ArraySamples samples;
    LabelTable labels;
    std::vector<double> targets;            // [samples][target_names]
    std::vector<std::string> target_names;  // of a regression
    bool labelled = true;                   // has labels or targets
    std::vector<std::string> columns;
    std::string place;        // of the samples: a file, perhaps a member
    std::string label_place;  // "PATH: line " or "PATH: index "
    std::string digest;
    std::vector<std::string> remarks;
};

/// "csv:a.csv,b.csv,label=last" taken apart.
struct Description {
    std::string form;  // "csv"
    std::vector<std::string> files;
    CsvOptions csv;
    bool label_given = false;
};

constexpr const char* csv_form =
    "csv:TRAIN,TEST or, with --split, csv:FILE (then label=first|last|COLUMN|NAME and header=yes|no)";

std::string form_of(const std::string& form) {
    if (form == "csv") return csv_form;
    if (form == "npz") return "npz:FILE or npz:TRAIN,TEST";
    return form + ":TRAIN_X,TRAIN_Y,TEST_X,TEST_Y or, with --split, " + form + ":X,Y";
}

void take_option(const std::string& part, const std::string& name, Description& description) {
    if (description.form != "csv") refuse_usage("data set '" + name + "': " + part + " is for csv only");
    const std::string value = part.substr(part.find('=') + 1);
    if (part.starts_with("label=")) {
        description.csv.label = value;
        description.label_given = true;
        if (value.empty() || value == "0") {
            refuse_usage("csv: label: unknown value '" + value + "'; expected first, last, a column from 1 or a name");
        }
        return;
    }
    if (value != "yes" && value != "no") {
        refuse_usage("csv: header: unknown value '" + value + "'; expected yes or no");
    }
    description.csv.header = value == "yes" ? CsvOptions::Header::yes : CsvOptions::Header::no;
}

Description describe_own(const std::string& name) {
    Description description;
    description.form = name.substr(0, name.find(':'));
    std::string_view rest = std::string_view(name).substr(description.form.size() + 1);
    for (bool more = true; more;) {
        const auto comma = rest.find(',');
        more = comma != std::string_view::npos;
        const std::string part(rest.substr(0, comma));
        rest.remove_prefix(more ? comma + 1 : rest.size());
        const bool is_option = part.starts_with("label=") || part.starts_with("header=");
        if (is_option && !description.files.empty()) {
            take_option(part, name, description);
        } else if (!part.empty()) {
            description.files.push_back(part);
        }
    }
    return description;
}

/// As given, or below --data-dir; a folder that is gone may so be replaced by another.
fs::path find_own(const std::string& name, const std::string& data_dir) {
    const fs::path path(name);
    std::error_code unreadable;
    if (data_dir.empty() || fs::exists(path, unreadable)) return path;
    const fs::path below = data_dir / path.relative_path();
    const fs::path beside = fs::path(data_dir) / path.filename();
    if (path.is_relative() && (fs::exists(below, unreadable) || !fs::exists(beside, unreadable))) return below;
    return beside;
}

/// Commas stand between files, and may stand in their names: what is no file is joined with what follows to one that is.
std::vector<std::string> with_commas_in_names(const std::vector<std::string>& files, const std::string& data_dir) {
    std::error_code unreadable;
    const auto is_file = [&](const std::string& name) { return fs::exists(find_own(name, data_dir), unreadable); };
    std::vector<std::string> names;
    for (std::size_t i = 0; i < files.size(); ++i) {
        std::size_t end = i + 1;
        std::string name = files[i];
        while (end < files.size() && !is_file(name)) name += "," + files[end++];
        const bool joined = is_file(name);
        names.push_back(joined ? name : files[i]);
        if (joined) i = end - 1;
    }
    return names;
}

Part csv_part(const fs::path& path, CsvOptions options, bool label_given, const DataRequest& request) {
    if (request.network != nullptr && !label_given) options.known_columns = request.network->column_names;
    options.targets = request.targets;
    if (label_given && !request.targets.empty()) {
        refuse_usage("targets: label=" + options.label + " names classes and --targets real values; give one of them");
    }
    if (!request.needs_labels && request.network != nullptr) options.unlabelled_features = request.network->features();
    CsvTable table = read_csv(path, options);
    Part part;
    part.samples.count = table.samples();
    part.samples.width = table.features;
    part.samples.table = true;
    part.samples.floats = std::move(table.floats);
    part.labels = std::move(table.labels);
    part.targets = std::move(table.targets);
    part.target_names = std::move(table.target_names);
    part.labelled = table.labelled;
    part.columns = std::move(table.columns);
    part.place = path.string();
    part.label_place = path.string() + ": line ";
    part.digest = std::move(table.digest);
    part.remarks = std::move(table.remarks);
    return part;
}

/// An array's real-valued targets; where it has as many columns as the network targets, these are they.
void take_array_targets(const NpyArray& array, const std::string& place, const DataRequest& request, Part& part) {
    const std::uint64_t width = array.shape.size() == 2 ? array.shape[1] : 1;
    const bool by_network = request.network != nullptr && width == request.network->targets();
    ArrayTargets targets = targets_of(array, part.samples.count, by_network ? "all" : request.targets, place);
    part.targets = std::move(targets.values);
    part.target_names = unnamed_targets(targets.count);
}

/// `labels` null: there are none.
Part array_part(NpyArray samples, const NpyArray* labels, const std::string& place, const std::string& label_place,
                const DataRequest& request) {
    Part part;
    part.labelled = labels != nullptr;
    part.place = place;
    part.label_place = label_place + ": index ";
    part.digest = labels == nullptr ? samples.digest : digest_over({samples.digest, labels->digest});
    part.samples = samples_of(std::move(samples), place);
    if (labels == nullptr) return part;
    if (request.targets.empty()) {
        part.labels = labels_of(*labels, part.samples.count, label_place);
    } else {
        take_array_targets(*labels, label_place, request, part);
    }
    return part;
}

std::vector<Part> array_parts(const Description& description, const std::vector<fs::path>& paths,
                              const DataRequest& request) {
    const auto read = [&](const fs::path& path) {
        return description.form == "idx" ? read_idx(path, 0) : read_npy(path);
    };
    std::vector<Part> parts;
    for (std::size_t i = 0; i < paths.size(); i += 2) {
        const bool labelled = i + 1 < paths.size();
        const NpyArray labels = labelled ? read(paths[i + 1]) : NpyArray{};
        parts.push_back(array_part(read(paths[i]), labelled ? &labels : nullptr, paths[i].string(),
                                   labelled ? paths[i + 1].string() : "", request));
    }
    return parts;
}

/// Names under which archives hold samples and labels, in the order they are looked for.
using MemberNames = std::array<const char*, 2>;
constexpr MemberNames train_members[] = {{"x_train", "y_train"}, {"X_train", "y_train"}, {"X_train", "Y_train"},
                                         {"train_images", "train_labels"}, {"train_x", "train_y"},
                                         {"train_data", "train_labels"}, {"x", "y"}, {"X", "y"}, {"X", "Y"},
                                         {"data", "labels"}, {"data", "target"}, {"images", "labels"},
                                         {"samples", "labels"}, {"arr_0", "arr_1"}};
constexpr MemberNames test_members[] = {{"x_test", "y_test"}, {"X_test", "y_test"}, {"X_test", "Y_test"},
                                        {"test_images", "test_labels"}, {"test_x", "test_y"},
                                        {"test_data", "test_labels"}};

template <std::size_t Count>
std::optional<Part> npz_part(const NpzFile& file, const MemberNames (&names)[Count], const DataRequest& request) {
    for (const auto& [x, y] : names) {
        if (!file.contains(x) || (request.needs_labels && !file.contains(y))) continue;
        const std::string place = file.path().string() + "/";
        const bool labelled = file.contains(y);
        const NpyArray labels = labelled ? file.read(y) : NpyArray{};
        return array_part(file.read(x), labelled ? &labels : nullptr, place + x, place + y, request);
    }
    return std::nullopt;
}

std::vector<Part> npz_parts(const std::vector<fs::path>& paths, const DataRequest& request) {
    std::vector<Part> parts;
    for (const fs::path& path : paths) {
        const NpzFile file(path);
        auto part = npz_part(file, train_members, request);
        if (!part) {
            std::string names;
            for (const std::string& name : file.names()) names += (names.empty() ? "" : ", ") + name;
            refuse_data(path.string() + ": expected arrays x_train, y_train, x_test, y_test (or train_images, ...; of "
                        "one part x and y, data and labels), found " + (names.empty() ? "none" : names) + ".");
        }
        parts.push_back(std::move(*part));
        if (paths.size() > 1) continue;
        if (auto test = npz_part(file, test_members, request)) parts.push_back(std::move(*test));
    }
    return parts;
}

void expect_split_or_test(const DataRequest& request, std::size_t parts) {
    if (parts == 2 && request.split > 0) {
        refuse_usage("split: '" + request.name + "' has test samples of its own; leave --split out or name one file");
    }
    if (parts == 1 && request.split == 0 && request.network == nullptr) {
        refuse_usage("data set '" + request.name +
                     "' has no test samples: hold some out with --split 0.2, or name them as " +
                     form_of(request.name.substr(0, request.name.find(':'))));
    }
}

std::vector<Part> read_parts(const DataRequest& request, DataSet& data) {
    Description description = describe_own(request.name);
    description.files = with_commas_in_names(description.files, request.data_dir);
    const std::size_t files = description.files.size();
    const bool pairs = description.form == "npy" || description.form == "idx";
    const std::size_t most = pairs ? 4 : 2;
    const bool whole = !pairs || files % 2 == 0 || (files == 1 && !request.needs_labels);
    if (files == 0 || files > most || !whole) {
        refuse_usage("data set '" + request.name + "': expected " + form_of(description.form) +
                     " with commas between the files, found " + std::to_string(files));
    }
    // of an archive only its content says how many parts it holds
    if (description.form != "npz") expect_split_or_test(request, pairs ? (files + 1) / 2 : files);
    std::vector<fs::path> paths;
    for (const std::string& file : description.files) paths.push_back(find_own(file, request.data_dir));
    data.source = paths[0].string();
    if (pairs) return array_parts(description, paths, request);
    if (description.form == "npz") return npz_parts(paths, request);
    std::vector<Part> parts;
    for (const fs::path& path : paths) parts.push_back(csv_part(path, description.csv, description.label_given, request));
    return parts;
}

/// Refuses columns in another order or of other names; nothing is said of those that have no names.
void expect_same_columns(const std::vector<std::string>& expected, const std::string& whose, const Part& part) {
    if (expected.empty() || part.columns.empty() || expected == part.columns) return;
    const std::size_t most = std::min(expected.size(), part.columns.size());
    std::size_t i = 0;
    while (i < most && expected[i] == part.columns[i]) ++i;
    if (i == most) return;  // of another number, which is refused elsewhere
    refuse_data(part.place + ": expected the columns of " + whose + " in their order; the first that differs is '" +
                part.columns[i] + "', where " + whose + " has '" + expected[i] + "'.");
}

void expect_alike(const Part& train, const Part& test) {
    if (test.samples.shape_text() != train.samples.shape_text()) {
        const std::string shape = train.samples.table && !train.samples.floats.empty()
                                      ? std::to_string(train.samples.width) + " features"
                                      : train.samples.shape_text();
        const std::string found = train.samples.table && test.samples.table && !test.samples.floats.empty()
                                      ? std::to_string(test.samples.width)
                                      : test.samples.shape_text();
        refuse_data(test.place + ": expected samples of " + shape + " as in " + train.place + ", found " + found + ".");
    }
    expect_same_columns(train.columns, train.place, test);
}

/// The samples as a split, labels by the data's classes; the part is used up.
Split split_of(Part& part, const DataSet& data, const std::string& whose) {
    Split split;
    if (data.targets() > 0) {
        split.labels.assign(part.samples.count, 0);
        split.targets = std::move(part.targets);
    } else if (part.labelled) {
        std::optional<std::size_t> unknown;
        split.labels = class_numbers(part.labels, data.class_names, unknown);
        if (unknown && std::find(split.labels.begin(), split.labels.end(), -1) != split.labels.end()) {
            refuse_data(part.label_place + std::to_string(part.labels.first.at(*unknown)) + ": expected a label " +
                        whose + " knows (" + std::to_string(data.class_names.size()) +
                        " classes: " + list_classes(data.class_names) + "), found '" + part.labels.names[*unknown] +
                        "'.");
        }
    } else {
        split.labels.assign(part.samples.count, 0);
    }
    split.bytes = std::move(part.samples.bytes);
    split.floats = std::move(part.samples.floats);
    return split;
}

/// The targets' names are the network's where there is one, so that they may be read from arrays too.
void name_targets(const DataRequest& request, const std::vector<Part>& parts, DataSet& data) {
    const bool by_network = request.network != nullptr && request.network->targets() > 0;
    data.target_names = by_network ? request.network->target_names : parts.front().target_names;
    for (const Part& part : parts) {
        if (!part.labelled) continue;
        const bool both_named = !part.columns.empty() && !parts.front().columns.empty();
        if (both_named && part.target_names != parts.front().target_names) {
            refuse_data(part.place + ": expected the targets of " + parts.front().place + " ('" +
                        parts.front().target_names.front() + "', ...), found others ('" + part.target_names.front() +
                        "', ...).");
        }
        if (part.target_names.size() == data.target_names.size()) continue;
        refuse_data(part.place + ": expected " + std::to_string(data.target_names.size()) +
                    (data.target_names.size() == 1 ? " target as " : " targets as ") +
                    (by_network ? "the network has" : "in " + parts.front().place) + ", found " +
                    std::to_string(part.target_names.size()) + ".");
    }
}

void name_classes(const DataRequest& request, const Part& first, DataSet& data) {
    const bool by_network = request.network != nullptr && !request.network->class_names.empty();
    data.class_names = by_network ? request.network->class_names : classes_in_order(first.labels.names);
    data.classes = static_cast<Index>(data.class_names.size());
    if (by_network || are_class_numbers(data.class_names)) return;
    data.remarks.push_back("labels are numbered from 0 as classes: " + list_classes(data.class_names));
}

}  // namespace

std::string digest_over(const std::vector<std::string>& digests) {
    Sha256 digest;
    for (const std::string& each : digests) digest.update(each.data(), each.size());
    return digest.hex();
}

bool is_own_data(const std::string& name) {
    return name.starts_with("csv:") || name.starts_with("npy:") || name.starts_with("npz:") || name.starts_with("idx:");
}

void load_own_data(const DataRequest& request, DataSet& data) {
    std::vector<Part> parts = read_parts(request, data);
    expect_split_or_test(request, parts.size());
    Part& first = parts.front();
    std::vector<std::string> digests;
    for (Part& part : parts) {
        digests.push_back(part.digest);
        data.remarks.insert(data.remarks.end(), part.remarks.begin(), part.remarks.end());
        data.labelled = data.labelled && part.labelled;
        if (request.network != nullptr) expect_same_columns(request.network->column_names, "the network", part);
    }
    if (parts.size() == 2) expect_alike(first, parts[1]);
    data.digest = digest_over(digests);
    data.height = first.samples.height;
    data.width = first.samples.width;
    data.channels = first.samples.channels;
    data.table = first.samples.table;
    data.column_names = first.columns;
    if (request.targets.empty()) {
        name_classes(request, first, data);
    } else {
        name_targets(request, parts, data);
    }
    const std::string whose = request.network != nullptr ? "the network" : "the training split";
    if (parts.size() == 2) {
        data.train = split_of(first, data, whose);
        data.test = split_of(parts[1], data, whose);
    } else if (request.split > 0) {
        data.train = split_of(first, data, whose);
        data.test = hold_out(data.train, data.features(), request.split);
    } else {
        data.test = split_of(first, data, whose);
    }
}

}  // namespace espalier
