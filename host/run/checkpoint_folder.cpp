#include "host/run/checkpoint_folder.hpp"

#include <algorithm>
#include <limits>
#include <string_view>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/run/checkpoint.hpp"
#include "host/formats/output_file.hpp"
#include "host/formats/safetensors.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view name_head = "ckpt-";
constexpr std::string_view name_tail = ".safetensors";

std::optional<std::uint32_t> whole_number(std::string_view text) {
    const auto value = number_from<std::uint32_t>(text);
    return value && std::to_string(*value) == text ? value : std::nullopt;
}

/// The validation loss a checkpoint says, or its test loss; infinite where it says neither or cannot be read.
double monitored_loss_of(const fs::path& path) {
    constexpr double none = std::numeric_limits<double>::infinity();
    try {
        const SafetensorsFile file(path);
        auto found = file.metadata().find("validation_loss");
        if (found == file.metadata().end()) found = file.metadata().find("test_loss");
        return found == file.metadata().end() ? none : number_from<double>(found->second).value_or(none);
    } catch (const UserError&) {  // damaged: not the best
    }
    return none;
}

/// All files in the folder but the newest `keep` and the best.
std::vector<fs::path> superfluous(const fs::path& run, int keep) {
    const auto all = list_checkpoints(run);
    const auto newest = static_cast<std::size_t>(keep);
    if (all.size() <= newest) return {};
    std::size_t best = all.size();
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (const double loss = monitored_loss_of(all[i].path); loss < least) {
            least = loss;
            best = i;
        }
    }
    std::vector<fs::path> paths;
    for (std::size_t i = 0; i + newest < all.size(); ++i) {
        if (i != best) paths.push_back(all[i].path);
    }
    return paths;
}

/// Refuses a checkpoint whose history is no longer there to be cut back.
void expect_history(const fs::path& run, const CheckpointInfo& info) {
    for (const auto& [name, bytes] : info.recorded) {
        const fs::path path = run / name;
        std::error_code unreadable;
        const auto size = fs::file_size(path, unreadable);
        if (unreadable || size < bytes) {
            throw UserError(ExitCode::checkpoint, path.string() + ": expected at least " + std::to_string(bytes) +
                                                      " bytes, found " +
                                                      (unreadable ? "no such file" : std::to_string(size)));
        }
    }
}

/// What killed writers left, such as ckpt-5.safetensors.tmp-123.
void remove_unfinished_checkpoints(const fs::path& folder) {
    std::vector<fs::path> left;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (is_temporary(entry.path()) && checkpoint_place(name.substr(0, name.rfind(".tmp-")))) {
            left.push_back(entry.path());
        }
    }
    for (const fs::path& path : left) fs::remove(path);
}

void load_resumable(const fs::path& run, const fs::path& file, Checkpoint& checkpoint) {
    checkpoint = load_checkpoint(file);
    expect_history(run, checkpoint.info);
}

}  // namespace

std::string checkpoint_name(const CheckpointPlace& place) {
    return std::string(name_head) + std::to_string(place.epoch) +
           (place.step > 0 ? "-" + std::to_string(place.step) : "") + std::string(name_tail);
}

std::optional<CheckpointPlace> checkpoint_place(const fs::path& path) {
    const std::string name = path.filename().string();
    if (name.size() <= name_head.size() + name_tail.size() || !name.starts_with(name_head) ||
        !name.ends_with(name_tail))
        return {};
    const std::string_view middle(name.data() + name_head.size(), name.size() - name_head.size() - name_tail.size());
    const auto dash = middle.find('-');
    const auto epoch = whole_number(middle.substr(0, dash));
    const auto step = dash == std::string_view::npos ? 0 : whole_number(middle.substr(dash + 1));
    if (!epoch.has_value() || !step.has_value() || (dash != std::string_view::npos && *step == 0)) return {};
    return CheckpointPlace{*epoch, *step};
}

std::vector<CheckpointFile> list_checkpoints(const fs::path& run) {
    std::vector<CheckpointFile> files;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(run / run_layout::checkpoints, none)) {
        if (const auto place = checkpoint_place(entry.path())) files.push_back({entry.path(), *place});
    }
    std::sort(files.begin(), files.end(),
              [](const CheckpointFile& a, const CheckpointFile& b) { return a.place < b.place; });
    return files;
}

void add_checkpoint(const fs::path& run, const CheckpointInfo& info, const Network& network, int keep) {
    expects(keep > 0, "a checkpoint to be kept");
    const fs::path folder = run / run_layout::checkpoints;
    std::error_code failed;
    fs::create_directory(folder, failed);
    if (failed) throw_unwritable(folder, failed.value());
    const fs::path path = folder / checkpoint_name({info.progress.epoch, info.progress.step});
    save_checkpoint(path, info, network);
    for (const fs::path& old : superfluous(run, keep)) {
        fs::remove(old, failed);
        if (failed) throw_unwritable(old, failed.value());
    }
}

int forget_newer(const fs::path& run, const CheckpointPlace& place) {
    int forgotten = 0;
    try {
        for (const auto& file : list_checkpoints(run)) {
            if (file.place > place && fs::remove(file.path)) ++forgotten;
        }
        remove_unfinished_checkpoints(run / run_layout::checkpoints);
    } catch (const fs::filesystem_error& failed) {
        throw_unwritable(failed.path1(), failed.code().value());
    }
    return forgotten;
}

void remove_checkpoints(const fs::path& run) {
    const fs::path folder = run / run_layout::checkpoints;
    if (!fs::is_directory(folder)) return;
    remove_unfinished_checkpoints(folder);
    for (const auto& file : list_checkpoints(run)) fs::remove(file.path);
    if (fs::is_empty(folder)) fs::remove(folder);
}

std::optional<FoundCheckpoint> find_checkpoint(const fs::path& run, Checkpoint& checkpoint) {
    auto files = list_checkpoints(run);
    if (files.empty()) return std::nullopt;
    FoundCheckpoint found{run, {}, {}};
    std::string faults;
    for (auto file = files.rbegin(); file != files.rend(); ++file) {
        try {
            load_resumable(run, file->path, checkpoint);
            found.path = file->path;
            return found;
        } catch (const UserError& error) {
            if (error.code() != ExitCode::checkpoint) throw;
            found.warnings.push_back("cannot resume from " + file->path.string() +
                                     ", trying the one before: " + error.what());
            faults += "\n  " + std::string(error.what());
        }
    }
    throw UserError(ExitCode::checkpoint,
                    "no checkpoint in " + (run / run_layout::checkpoints).string() + " can be resumed from:" + faults);
}

fs::path network_of(const fs::path& file_or_run) {
    std::error_code absent;
    if (!fs::is_directory(file_or_run, absent)) return file_or_run;
    if (const fs::path network = file_or_run / run_layout::network; fs::exists(network, absent)) return network;
    if (const auto checkpoints = list_checkpoints(file_or_run); !checkpoints.empty()) return checkpoints.back().path;
    throw UserError(ExitCode::checkpoint, file_or_run.string() + " holds no network: neither " + run_layout::network +
                                              " nor a checkpoint; expected a network file or a run folder");
}

fs::path run_of_checkpoint(const fs::path& file) {
    const fs::path folder = fs::absolute(file).lexically_normal().parent_path();
    if (folder.filename() != run_layout::checkpoints) {
        throw UserError(ExitCode::checkpoint, file.string() + " does not lie in a run's folder '" +
                                                  run_layout::checkpoints +
                                                  "', so there is no run to go on with; --init-from starts a new one "
                                                  "from its network");
    }
    const fs::path run = file.parent_path().empty() ? fs::path("..") : file.parent_path().parent_path();
    return run.empty() ? fs::path(".") : run;
}

FoundCheckpoint open_checkpoint(const fs::path& file, Checkpoint& checkpoint) {
    FoundCheckpoint found{run_of_checkpoint(file), file, {}};
    load_resumable(found.run, file, checkpoint);
    return found;
}

}  // namespace espalier
