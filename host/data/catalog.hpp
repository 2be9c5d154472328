// The known data sets and where their files may lie. A new set is one entry in the list in catalog.cpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/index.hpp"

namespace espalier {

enum class DataFormat { idx, cifar, synthetic };

struct DataFile {
    std::string name;    // without .gz
    std::string digest;  // published SHA-256 of the decompressed file, hex; empty if there is none
};

/// One file that holds all others, as some sets are published.
struct DataArchive {
    std::string name;    // empty: the files are published one by one, gzipped
    std::string digest;  // SHA-256, hex
    std::string folder;  // inside the archive
};

struct KnownSet {
    std::string name;
    std::string summary;
    DataFormat format = DataFormat::idx;
    Index classes = 10;
    std::vector<DataFile> files;       // idx: images and labels for training, then for the test; cifar: the test last
    std::vector<std::string> folders;  // below a root, where others keep it; the set's name is always tried
    std::vector<std::string> mirrors;  // URLs that files or the archive are appended to
    DataArchive archive;
    std::string package;                  // of Debian and Ubuntu; empty if none
    int first_label = 0;                  // the label of class 0
    bool transposed = false;              // images are stored column by column
    std::vector<std::string> class_names;  // [classes]
    std::vector<double> mean, deviation;  // published constants; empty: measured on the training split
};

const std::vector<KnownSet>& catalog();

/// The set of that name, or null.
const KnownSet* find_known(const std::string& name);

/// Throws UserError (usage) with the known names and the nearest one if there is none such.
const KnownSet& known_set(const std::string& name);

/// Where the files of a set were found, in the order of KnownSet::files.
struct FoundFiles {
    std::filesystem::path folder;
    std::vector<std::filesystem::path> files;  // members of the archive, where that is all there is
    std::filesystem::path archive;             // as it was downloaded; empty: the files lie there themselves
};

/// The folders searched, most wanted first: only `data_dir` if that is not empty.
std::vector<std::filesystem::path> search_roots(const std::string& data_dir);

/// The first folder on the search path that holds all files of a set; contents are not looked at.
std::optional<FoundFiles> locate(const KnownSet& set, const std::string& data_dir);

/// Where `espalier data fetch` puts a set: below DATA_DIR or the user's cache folder, in a folder of its own.
std::filesystem::path fetch_folder(const KnownSet& set, const std::string& data_dir);

/// What to do about missing or damaged files, a sentence: "Fetch them: espalier data fetch mnist."
std::string remedy(const KnownSet& set, const std::string& data_dir);

/// Throws UserError (data): which files were expected, where they were looked for, what mends it.
[[noreturn]] void refuse_missing(const KnownSet& set, const std::string& data_dir);

}  // namespace espalier
