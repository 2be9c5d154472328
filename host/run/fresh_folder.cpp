#include "host/run/fresh_folder.hpp"

#include <system_error>

#include "host/formats/output_file.hpp"

namespace espalier {

namespace fs = std::filesystem;

FreshFolder::FreshFolder(const fs::path& parent, const std::string& name) {
    std::error_code error;
    if (!parent.empty() && fs::create_directories(parent, error)) made_.push_back(parent);
    for (int n = 1; !error; ++n) {
        path_ = parent / (n == 1 ? name : name + "-" + std::to_string(n));
        if (fs::create_directory(path_, error)) {
            made_.push_back(path_);
            return;
        }
        if (error == std::errc::file_exists) error.clear();  // a file of that name
    }
    throw_unwritable(path_.empty() ? parent : path_, error.value());
}

FreshFolder::~FreshFolder() {
    std::error_code ignored;
    for (auto at = made_.rbegin(); at != made_.rend(); ++at) fs::remove(*at, ignored);
}

}  // namespace espalier
