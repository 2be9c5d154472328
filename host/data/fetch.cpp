#include "host/data/fetch.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>

#include "espalier/error.hpp"
#include "host/data/cifar.hpp"
#include "host/data/download.hpp"
#include "host/data/idx.hpp"
#include "host/formats/input_file.hpp"
#include "host/formats/output_file.hpp"
#include "host/system/signals.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// A hidden folder beside the fetched files, gone with everything in it at the end, however that comes.
class Scratch {
public:
    explicit Scratch(const fs::path& beside) : path_(beside / (".fetch-" + std::to_string(::getpid()))) {
        std::error_code error;
        created_ = fs::create_directories(beside, error);
        if (!error) fs::create_directory(path_, error);
        if (error) throw_unwritable(path_, error.value());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
        if (created_) fs::remove(path_.parent_path(), ignored);  // does nothing to a folder that holds something
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
    bool created_ = false;
};

/// SHA-256 of a file as it is, not gunzipped.
std::string raw_digest(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> buffer(std::size_t{1} << 20);
    Sha256 digest;
    while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
        digest.update(buffer.data(), static_cast<std::size_t>(file.gcount()));
    }
    return digest.hex();
}

/// What is wrong with a file whose digest should be `expected`; empty if nothing. Without a published digest the
/// structure alone is checked.
VerifiedFile verify_file(const KnownSet& set, const DataFile& file, const fs::path& path) {
    VerifiedFile result{path, "", file.digest, ""};
    try {
        if (!file.digest.empty()) {
            result.digest = file_digest(path);
            if (result.digest != file.digest)
                result.fault = "expected SHA-256 " + file.digest + ", found " + result.digest;
        } else if (set.format == DataFormat::cifar) {
            Split ignored;
            result.digest = append_cifar(path, ignored);
        } else {
            result.digest = read_idx(path, file.name.find("-idx3-") != std::string::npos ? 3 : 1).digest;
        }
    } catch (const UserError& error) {
        result.fault = error.what();
    }
    return result;
}

class Fetcher {
public:
    Fetcher(const KnownSet& set, const fs::path& folder) : set_(set), folder_(folder), scratch_(folder) {}

    void fetch() {
        if (set_.archive.name.empty()) {
            for (const DataFile& file : set_.files) fetch_file(file);
        } else {
            fetch_archive();
        }
    }

private:
    /// True if what lies in the destination under either name needs no fetching.
    bool is_there(const DataFile& file) const {
        for (const char* suffix : {".gz", ""}) {
            const fs::path path = folder_ / (file.name + suffix);
            if (fs::is_regular_file(path) && verify_file(set_, file, path).fault.empty()) return true;
        }
        return false;
    }

    void fetch_file(const DataFile& file) {
        if (is_there(file)) {
            std::cerr << file.name << ": already there\n";
            return;
        }
        const std::string name = file.name + ".gz";
        const fs::path arrived = from_mirrors(name, [&](const fs::path& path) {
            const std::string fault = verify_file(set_, file, path).fault;
            return fault.empty() ? fault : describe_fault(path, fault);
        });
        move_in(arrived, folder_ / name);
        std::error_code ignored;
        fs::remove(folder_ / file.name, ignored);  // a damaged one would be found first
    }

    void fetch_archive() {
        if (std::all_of(set_.files.begin(), set_.files.end(), [&](const DataFile& file) { return is_there(file); })) {
            std::cerr << set_.name << ": already there\n";
            return;
        }
        const fs::path archive = from_mirrors(set_.archive.name, [&](const fs::path& path) {
            const std::string found = raw_digest(path);
            return found == set_.archive.digest
                       ? std::string()
                       : describe_fault(path, "expected SHA-256 " + set_.archive.digest + ", found " + found);
        });
        unpack(archive);
        move_in_files(set_);
        for (const KnownSet& other : catalog()) {  // those of the same archive come along
            if (other.archive.digest == set_.archive.digest) move_in_files(other);
        }
    }

    void move_in_files(const KnownSet& set) const {
        for (const DataFile& file : set.files) {
            for (const char* suffix : {"", ".gz"}) {
                const fs::path unpacked = scratch_.path() / set.archive.folder / (file.name + suffix);
                if (fs::is_regular_file(unpacked)) move_in(unpacked, folder_ / unpacked.filename());
            }
        }
    }

    void unpack(const fs::path& archive) {
        std::cerr << "unpacking " << set_.archive.name << '\n';
        std::vector<std::string> arguments;
        if (archive.extension() == ".zip") {
            arguments = {"unzip", "-q", "-o", archive.string(), "-d", scratch_.path().string()};
        } else {
            arguments = {"tar", "-xzf", archive.string(), "-C", scratch_.path().string()};
        }
        const ProgramResult result = run_program(arguments);
        if (result.status != 0) {
            throw UserError(ExitCode::io, arguments[0] + " could not unpack " + set_.archive.name + ": " +
                                              result.complaint + (result.status == 127 ? " (is it installed?)" : ""));
        }
    }

    /// Tries the mirrors in turn until `fault` of what arrived is empty.
    template <class Fault>
    fs::path from_mirrors(const std::string& name, Fault&& fault) {
        const fs::path arrived = scratch_.path() / name;
        std::string answers;
        for (const std::string& mirror : set_.mirrors) {
            std::cerr << "fetching " << mirror + name << '\n';
            std::string answer = download(mirror + name, arrived);
            if (answer.empty()) answer = fault(arrived);
            if (answer.empty()) return arrived;
            std::cerr << "  " << answer << '\n';
            answers += "\n  " + mirror + name + ": " + answer;
        }
        throw UserError(ExitCode::data,
                        set_.name + ": no mirror delivered " + name + ":" + answers + "\n" + by_hand(name));
    }

    [[nodiscard]] std::string by_hand(const std::string& name) const {
        std::string files;
        for (const DataFile& file : set_.files) files += (files.empty() ? "" : ", ") + file.name;
        std::string text = "Without a network, put " + files + " (raw or .gz) by hand into " + folder_.string();
        if (!set_.archive.name.empty()) text += "; they are in " + name;
        if (!set_.package.empty())
            text += "\nOn Debian and Ubuntu the package has them too: apt install " + set_.package;
        return text;
    }

    static std::string describe_fault(const fs::path& path, const std::string& fault) {
        std::error_code unreadable;
        if (fs::file_size(path, unreadable) == 0 || unreadable) return "sent an empty file";
        try {
            const std::string kind = InputFile(path).looks_like();
            if (kind.find("HTML") != std::string::npos) return "sent " + kind + " instead of the file";
        } catch (const UserError&) {
            return "sent a damaged file: " + fault;
        }
        return "sent another or a damaged file: " + fault;
    }

    static void move_in(const fs::path& from, const fs::path& to) {
        std::error_code error;
        fs::rename(from, to, error);
        if (error) throw_unwritable(to, error.value());
    }

    const KnownSet& set_;
    fs::path folder_;
    Scratch scratch_;
};

}  // namespace

void fetch_dataset(const KnownSet& set, const fs::path& folder) {
    watch_signals();
    Fetcher(set, folder).fetch();
}

std::vector<VerifiedFile> verify_files(const KnownSet& set, const FoundFiles& found) {
    std::vector<VerifiedFile> files;
    for (std::size_t i = 0; i < set.files.size(); ++i) files.push_back(verify_file(set, set.files[i], found.files[i]));
    return files;
}

}  // namespace espalier
