#include "host/data/fetch.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <iostream>
#include <thread>

#include "espalier/error.hpp"
#include "host/data/archive.hpp"
#include "host/data/cifar.hpp"
#include "host/data/download.hpp"
#include "host/data/idx.hpp"
#include "host/formats/input_file.hpp"
#include "host/formats/output_file.hpp"
#include "host/system/signals.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// A hidden folder beside the fetched files for what is unpacked, gone with everything in it at the end.
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

/// A file on its way, hidden beside its destination: it stays when the download breaks off, so that the next one goes
/// on there. Held by one process at a time; another waits.
class PartialFile {
public:
    explicit PartialFile(const fs::path& wanted)
        : path_(wanted.parent_path() / ("." + wanted.filename().string() + ".part")) {
        while (!hold()) {
            if (!waited_) std::cerr << "waiting for another process that fetches " << wanted.filename().string() << '\n';
            waited_ = true;
            if (stop_signal() != 0) throw UserError(ExitCode::stopped, "stopped");
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;
    ~PartialFile() {
        std::error_code absent;
        if (fs::file_size(path_, absent) == 0 && !absent) fs::remove(path_, absent);
        ::close(file_);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }
    [[nodiscard]] bool is_begun() const {
        std::error_code absent;
        const auto bytes = fs::file_size(path_, absent);
        return !absent && bytes > 0;
    }
    void clear() {
        std::error_code error;
        fs::resize_file(path_, 0, error);
        if (error) throw_unwritable(path_, error.value());
    }

private:
    /// False as long as another process holds it. One who has moved it to its place held another file.
    bool hold() {
        file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (file_ < 0) throw_unwritable(path_, errno);
        const bool held = ::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        struct stat open_file {};
        struct stat named {};
        const bool same = ::fstat(file_, &open_file) == 0 && ::stat(path_.c_str(), &named) == 0 &&
                          open_file.st_ino == named.st_ino;
        if (!held && same) return true;
        ::close(file_);
        return false;
    }

    fs::path path_;
    int file_ = -1;
    bool waited_ = false;
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
        PartialFile part(folder_ / name);
        if (is_there(file)) return;  // by the process that was waited for
        from_mirrors(name, part, [&](const fs::path& path) {
            const std::string fault = verify_file(set_, file, path).fault;
            return fault.empty() ? fault : describe_fault(path, fault);
        });
        move_in(part.path(), folder_ / name);
        std::error_code ignored;
        fs::remove(folder_ / file.name, ignored);  // a damaged one would be found first
    }

    void fetch_archive() {
        const auto all_there = [&] {
            return std::all_of(set_.files.begin(), set_.files.end(), [&](const DataFile& file) { return is_there(file); });
        };
        if (all_there()) {
            std::cerr << set_.name << ": already there\n";
            return;
        }
        require_archive_library();
        PartialFile part(folder_ / set_.archive.name);
        if (all_there()) return;
        const fs::path there = folder_ / set_.archive.name;
        const bool is_here = fs::is_regular_file(there) && raw_digest(there) == set_.archive.digest;  // by hand
        if (!is_here) from_mirrors(set_.archive.name, part, [&](const fs::path& path) {
            const std::string found = raw_digest(path);
            return found == set_.archive.digest
                       ? std::string()
                       : describe_fault(path, "expected SHA-256 " + set_.archive.digest + ", found " + found);
        });
        std::cerr << "unpacking " << set_.archive.name << '\n';
        unpack_archive(is_here ? there : part.path(), scratch_.path());
        if (!is_here) part.clear();
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

    /// Tries the mirrors in turn until `fault` of what arrived is empty.
    template <class Fault>
    void from_mirrors(const std::string& name, PartialFile& part, Fault&& fault) {
        if (part.is_begun() && fault(part.path()).empty()) return;  // stopped just before it was moved in
        std::string answers;
        for (const std::string& mirror : set_.mirrors) {
            std::cerr << "fetching " << mirror + name << '\n';
            const bool goes_on = part.is_begun();
            std::string answer = fetch_from(mirror + name, part, fault);
            // What was there before may have been the beginning of something else.
            if (!answer.empty() && goes_on && !part.is_begun()) answer = fetch_from(mirror + name, part, fault);
            if (answer.empty()) return;
            std::cerr << "  " << answer << '\n';
            answers += "\n  " + mirror + name + ": " + answer;
        }
        throw UserError(ExitCode::data,
                        set_.name + ": no mirror delivered " + name + ":" + answers + "\n" + by_hand(name));
    }

    /// What went wrong, empty if nothing did. A file that is whole and wrong is not kept.
    template <class Fault>
    static std::string fetch_from(const std::string& url, PartialFile& part, Fault&& fault) {
        std::string answer = download(url, part.path());
        if (!answer.empty()) return answer;
        answer = fault(part.path());
        if (!answer.empty()) part.clear();
        return answer;
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
    if (!found.archive.empty()) {
        VerifiedFile archive{found.archive, raw_digest(found.archive), set.archive.digest, ""};
        if (archive.digest != archive.expected) {
            archive.fault = "expected SHA-256 " + archive.expected + ", found " + archive.digest;
        }
        return {archive};
    }
    for (std::size_t i = 0; i < set.files.size(); ++i) files.push_back(verify_file(set, set.files[i], found.files[i]));
    return files;
}

}  // namespace espalier
