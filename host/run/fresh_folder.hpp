// A folder of one's own: of several processes that start at once each gets another one, since making it decides.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace espalier {

class FreshFolder {
public:
    /// Makes PARENT/NAME, or PARENT/NAME-2, -3 ... if that is there already, and PARENT where it is missing.
    /// Throws UserError (io).
    FreshFolder(const std::filesystem::path& parent, const std::string& name);
    FreshFolder(const FreshFolder&) = delete;
    FreshFolder& operator=(const FreshFolder&) = delete;
    /// Removes what it made, unless something is in it by then.
    ~FreshFolder();

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
    std::vector<std::filesystem::path> made_;
};

}  // namespace espalier
