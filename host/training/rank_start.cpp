#include "host/training/rank_start.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "espalier/error.hpp"
#include "espalier/network_file.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

void share_text(Ranks& ranks, std::string& text) {
    std::uint64_t size = text.size();
    ranks.broadcast(&size, sizeof size);
    text.resize(size);
    ranks.broadcast(text.data(), size);
}

std::string text_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

/// A folder of this process's own, which goes with it.
class OwnFolder {
public:
    OwnFolder() {
        std::string name = (fs::temp_directory_path() / "espalier-rank-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw UserError(ExitCode::io, "cannot make a folder like " + name);
        path_ = name;
    }
    ~OwnFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    OwnFolder(const OwnFolder&) = delete;
    OwnFolder& operator=(const OwnFolder&) = delete;
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

void write_text(const fs::path& file, const std::string& text) {
    std::ofstream stream(file, std::ios::binary);
    stream.write(text.data(), static_cast<std::streamsize>(text.size()));
    stream.close();
    if (!stream) throw UserError(ExitCode::io, "cannot write " + file.string());
}

std::uint64_t recorded_history(const CheckpointInfo& info) {
    const auto recorded = info.recorded.find(run_layout::history_jsonl);
    return recorded == info.recorded.end() ? 0 : recorded->second;
}

}  // namespace

void share_interrupted_run(Ranks* ranks, std::optional<InterruptedRun>& run) {
    if (ranks == nullptr) return;
    std::string path = run ? run->found.path.string() : "";
    share_text(*ranks, path);
    if (path.empty()) return;
    const bool reads = is_rank_0(ranks);
    std::string checkpoint = reads ? text_of(path) : "";
    share_text(*ranks, checkpoint);
    std::string history = reads ? text_of(run->found.run / run_layout::history_jsonl) : "";
    if (reads) history.resize(std::min<std::size_t>(history.size(), recorded_history(run->info)));
    share_text(*ranks, history);
    if (reads) return;
    const OwnFolder folder;
    write_text(folder.path() / "checkpoint", checkpoint);
    write_text(folder.path() / run_layout::history_jsonl, history);
    Checkpoint loaded = load_checkpoint(folder.path() / "checkpoint");
    run = InterruptedRun{{folder.path(), path, {}}, std::move(loaded.info), std::move(loaded.network), {}};
    run->history = read_history(folder.path() / run_layout::history_jsonl, recorded_history(run->info));
}

void share_network(Ranks* ranks, Network& network) {
    if (ranks == nullptr) return;
    std::string bytes = is_rank_0(ranks) ? network_bytes(network) : "";
    share_text(*ranks, bytes);
    if (!is_rank_0(ranks)) network = network_from_bytes(bytes);
}

}  // namespace espalier
