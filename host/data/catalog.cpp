#include "host/data/catalog.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "espalier/error.hpp"
#include "host/system/did_you_mean.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// Each character a class.
std::vector<std::string> characters(std::string_view names) {
    std::vector<std::string> classes;
    for (const char each : names) classes.emplace_back(1, each);
    return classes;
}

constexpr std::string_view digits = "0123456789";

KnownSet mnist() {
    KnownSet set;
    set.name = "mnist";
    set.summary = "handwritten digits, 28x28, 10 classes, 60,000 + 10,000";
    set.files = {
        {"train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
        {"train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
        {"t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
        {"t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
    };
    set.class_names = characters(digits);
    set.folders = {"MNIST/raw", "MNIST"};
    set.mirrors = {"https://ossci-datasets.s3.amazonaws.com/mnist/",
                   "https://storage.googleapis.com/cvdf-datasets/mnist/"};
    // the constants everyone uses for MNIST, rounded as everyone rounds them
    set.mean = {0.1307};
    set.deviation = {0.3081};
    return set;
}

KnownSet fashion_mnist() {
    KnownSet set;
    set.name = "fashion-mnist";
    set.summary = "articles of clothing, 28x28, 10 classes, 60,000 + 10,000";
    set.files = {
        {"train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
        {"train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
        {"t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
        {"t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
    };
    set.class_names = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                       "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};
    set.folders = {"FashionMNIST/raw", "FashionMNIST", "fashion"};
    set.mirrors = {"https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
                   "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"};
    set.package = "dataset-fashion-mnist";
    return set;
}

KnownSet emnist(const std::string& part, const std::string& summary, std::string_view classes) {
    KnownSet set;
    set.name = "emnist-" + part;
    set.summary = summary;
    set.classes = static_cast<Index>(classes.size());
    set.class_names = characters(classes);
    for (const char* file :
         {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "test-images-idx3-ubyte", "test-labels-idx1-ubyte"}) {
        set.files.push_back({set.name + "-" + file, ""});
    }
    set.folders = {"emnist", "EMNIST/raw", "EMNIST", "gzip"};
    set.mirrors = {"https://biometrics.nist.gov/cs_links/EMNIST/",
                   "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/"};
    set.archive = {"gzip.zip", "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e", "gzip"};
    set.first_label = part == "letters" ? 1 : 0;
    set.transposed = true;
    return set;
}

KnownSet cifar_10() {
    KnownSet set;
    set.name = "cifar-10";
    set.summary = "colour photographs, 32x32x3, 10 classes, 50,000 + 10,000";
    set.format = DataFormat::cifar;
    set.files = {{"data_batch_1.bin", ""}, {"data_batch_2.bin", ""}, {"data_batch_3.bin", ""},
                 {"data_batch_4.bin", ""}, {"data_batch_5.bin", ""}, {"test_batch.bin", ""}};
    set.class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
    set.folders = {"cifar-10-batches-bin", "cifar10", "cifar-10/cifar-10-batches-bin"};
    set.mirrors = {"https://www.cs.toronto.edu/~kriz/"};
    set.archive = {"cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                   "cifar-10-batches-bin"};
    return set;
}

KnownSet synthetic() {
    KnownSet set;
    set.name = "synthetic";
    set.summary = "built-in strokes with an empty margin, 28x28, 10 classes, 6,000 + 1,000; no files";
    set.format = DataFormat::synthetic;
    set.class_names = characters(digits);
    return set;
}

std::string lowered(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

std::vector<fs::path> folders_of(const KnownSet& set) {
    std::vector<fs::path> folders{set.name};
    folders.insert(folders.end(), set.folders.begin(), set.folders.end());
    return folders;
}

/// True if the folder's own name says that it holds another set: MNIST and Fashion-MNIST name their files alike.
bool names_another(const fs::path& folder, const KnownSet& set) {
    const std::string path = "/" + lowered(fs::absolute(folder).lexically_normal().generic_string()) + "/";
    const auto ends_with_one = [&](const KnownSet& each) {
        const auto folders = folders_of(each);
        return std::any_of(folders.begin(), folders.end(), [&](const fs::path& name) {
            const std::string tail = "/" + lowered(name.generic_string()) + "/";
            return path.ends_with(tail) || path.ends_with(tail + "/");
        });
    };
    return !ends_with_one(set) && std::any_of(catalog().begin(), catalog().end(), ends_with_one);
}

bool is_file(const fs::path& path) {
    std::error_code unreadable;
    return fs::is_regular_file(path, unreadable);
}

/// The file under one of the names it goes by: -idx3-ubyte or .idx3-ubyte, with or without .gz.
std::optional<fs::path> find_file(const fs::path& folder, const std::string& name) {
    std::vector<std::string> names{name};
    if (const auto dash = name.rfind("-idx"); dash != std::string::npos) {
        names.push_back(name);
        names.back()[dash] = '.';
    }
    for (const std::string& each : names) {
        for (const char* suffix : {"", ".gz"}) {
            if (is_file(folder / (each + suffix))) return folder / (each + suffix);
        }
    }
    return std::nullopt;
}

/// The folders below a root where a set may lie, itself last.
std::vector<fs::path> candidates(const KnownSet& set, const fs::path& root) {
    std::vector<fs::path> folders;
    for (const fs::path& name : folders_of(set)) folders.push_back(root / name);
    if (!names_another(root, set)) folders.push_back(root);
    return folders;
}

std::optional<FoundFiles> find_in(const KnownSet& set, const fs::path& folder) {
    FoundFiles found{folder, {}, {}};
    for (const DataFile& file : set.files) {
        if (auto path = find_file(folder, file.name)) found.files.push_back(*path);
    }
    if (found.files.size() == set.files.size()) return found;
    if (set.archive.name.empty() || !is_file(folder / set.archive.name)) return std::nullopt;
    found.archive = folder / set.archive.name;
    found.files.clear();
    for (const DataFile& file : set.files) found.files.push_back(fs::path(set.archive.folder) / file.name);
    return found;
}

fs::path environment_folder(const char* variable, const fs::path& below = {}) {
    const char* value = std::getenv(variable);
    return value == nullptr || *value == '\0' ? fs::path() : below.empty() ? fs::path(value) : value / below;
}

fs::path cache_folder() {
    const fs::path cache = environment_folder("XDG_CACHE_HOME", "espalier");
    return cache.empty() ? environment_folder("HOME", ".cache/espalier") : cache;
}

}  // namespace

const std::vector<KnownSet>& catalog() {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    constexpr std::string_view by_class = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    constexpr std::string_view balanced = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt";
    static const std::vector<KnownSet> sets = {
        mnist(),
        fashion_mnist(),
        emnist("byclass", "handwritten digits and letters, 28x28, 62 classes, 697,932 + 116,323", by_class),
        emnist("bymerge", "the same, look-alike cases merged, 47 classes, 697,932 + 116,323", balanced),
        emnist("balanced", "handwritten digits and letters, 28x28, 47 classes, 112,800 + 18,800", balanced),
        emnist("letters", "handwritten letters, 28x28, 26 classes, 124,800 + 20,800", letters),
        emnist("digits", "handwritten digits, 28x28, 10 classes, 240,000 + 40,000", digits),
        emnist("mnist", "MNIST drawn anew from its source, 28x28, 10 classes, 60,000 + 10,000", digits),
        cifar_10(),
        synthetic(),
    };
    return sets;
}

const KnownSet* find_known(const std::string& name) {
    const auto found =
        std::find_if(catalog().begin(), catalog().end(), [&](const auto& set) { return set.name == name; });
    return found == catalog().end() ? nullptr : &*found;
}

const KnownSet& known_set(const std::string& name) {
    if (const KnownSet* set = find_known(name)) return *set;
    std::vector<std::string> names;
    std::string list;
    for (const KnownSet& set : catalog()) {
        names.push_back(set.name);
        list += set.name + ", ";
    }
    const std::string hint = did_you_mean(name, names);
    throw UserError(ExitCode::usage, "no data set is called '" + name + "'" + (hint.empty() ? "." : hint) +
                                         " Known are " + list +
                                         "and any of your own as csv:TRAIN,TEST, npy:TRAIN_X,TRAIN_Y,TEST_X,TEST_Y, "
                                             "idx: alike or npz:FILE");
}

std::vector<fs::path> search_roots(const std::string& data_dir) {
    if (!data_dir.empty()) return {data_dir};
    std::error_code unknown;
    const fs::path program = fs::read_symlink("/proc/self/exe", unknown).parent_path();
    std::vector<fs::path> roots = {environment_folder("ESPALIER_DATA"),
                                   "datasets",
                                   program.empty() ? program : program.parent_path() / "datasets",
                                   program.empty() ? program : program.parent_path() / "share/datasets",
                                   cache_folder(),
                                   "/usr/local/share/datasets",
                                   "/usr/share/datasets",
                                   "/usr/local/share",
                                   "/usr/share",
                                   "data",  // torchvision's usual root
                                   environment_folder("HOME", "data"),
                                   environment_folder("HOME", "datasets"),
                                   environment_folder("HOME", ".torch/datasets"),
                                   environment_folder("HOME", ".cache/torch/datasets")};
    std::erase_if(roots, [](const fs::path& root) { return root.empty(); });
    return roots;
}

std::optional<FoundFiles> locate(const KnownSet& set, const std::string& data_dir) {
    if (set.files.empty()) return std::nullopt;
    for (const fs::path& root : search_roots(data_dir)) {
        for (const fs::path& folder : candidates(set, root)) {
            if (auto found = find_in(set, folder)) return found;
        }
    }
    return std::nullopt;
}

fs::path fetch_folder(const KnownSet& set, const std::string& data_dir) {
    // sets that share an archive share a folder
    const std::string name = set.archive.name.empty() ? set.name : set.folders.front();
    if (!data_dir.empty()) return fs::path(data_dir) / name;
    const fs::path cache = cache_folder();
    return (cache.empty() ? fs::path("datasets") : cache) / name;
}

std::string remedy(const KnownSet& set, const std::string& data_dir) {
    const std::string option = data_dir.empty() ? "" : " --data-dir " + data_dir;
    return "Fetch it: espalier data fetch " + set.name + option +
           (set.package.empty() ? "" : " (or on Debian and Ubuntu: apt install " + set.package + ")");
}

void refuse_missing(const KnownSet& set, const std::string& data_dir) {
    std::string names, places;
    for (const DataFile& file : set.files) names += (names.empty() ? "" : ", ") + file.name;
    for (const fs::path& root : search_roots(data_dir)) {
        places += (places.empty() ? "" : ", ") + root.string();
        for (const fs::path& folder : candidates(set, root)) {
            std::size_t present = 0;
            std::string missing;
            for (const DataFile& file : set.files) {
                const bool is_there = find_file(folder, file.name).has_value();
                present += is_there ? 1 : 0;
                if (!is_there) missing += (missing.empty() ? "" : ", ") + file.name;
            }
            if (present > 0) {
                throw UserError(ExitCode::data, set.name + ": " + folder.string() + " lacks " + missing +
                                                    " (raw or .gz). " + remedy(set, data_dir));
            }
        }
    }
    std::string elsewhere;
    if (const auto found = data_dir.empty() ? std::nullopt : locate(set, "")) {
        elsewhere = " It is in " + found->folder.string() + ": leave --data-dir out to use that.";
    }
    throw UserError(ExitCode::data, set.name + ": not found. Expected " + names + " (raw or .gz) in a folder '" +
                                        set.name + "' (or " + set.folders.front() + ") below, or directly in: " +
                                        places + "." + elsewhere + " " + remedy(set, data_dir));
}

}  // namespace espalier
