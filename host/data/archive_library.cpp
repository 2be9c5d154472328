#include "host/data/archive_library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/error.hpp"

namespace espalier {
namespace {

constexpr const char* archive_variable = "ESPALIER_LIBARCHIVE";

[[noreturn]] void throw_no_archive_library(const std::string& why) {
    throw UserError(ExitCode::device,
                    std::string("archives are unpacked by libarchive, which cannot be opened; install it (Debian: "
                                "libarchive13) or name its file with ") +
                        archive_variable + ":" + why);
}

void* open_archive_library() {
    std::vector<std::string> places{ESPALIER_LIBARCHIVE_FILE, "libarchive.so.13", "libarchive.so"};
    if (const char* named = std::getenv(archive_variable); named != nullptr && *named != '\0') places = {named};
    std::string faults;
    for (const std::string& place : places) {
        if (void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL); handle != nullptr) return handle;
        if (const char* fault = dlerror(); fault != nullptr) faults += std::string("\n  ") + fault;
    }
    throw_no_archive_library(faults);
}

/// Sets a function to the library's of that name.
template <class Function>
void find_in(void* handle, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(handle, name));
    if (function == nullptr) throw_no_archive_library(std::string("\n  there is no ") + name + " in what was opened");
}

}  // namespace

ArchiveLibrary::ArchiveLibrary() {
    void* handle = open_archive_library();  // stays open
    find_in(handle, "archive_read_new", read_new);
    find_in(handle, "archive_read_free", read_free);
    find_in(handle, "archive_error_string", error_string);
    find_in(handle, "archive_read_support_filter_all", read_support_filter_all);
    find_in(handle, "archive_read_support_format_zip", read_support_format_zip);
    find_in(handle, "archive_read_support_format_tar", read_support_format_tar);
    find_in(handle, "archive_read_open_filename", read_open_filename);
    find_in(handle, "archive_read_next_header", read_next_header);
    find_in(handle, "archive_read_data_block", read_data_block);
    find_in(handle, "archive_entry_filetype", entry_filetype);
    find_in(handle, "archive_entry_hardlink", entry_hardlink);
    find_in(handle, "archive_entry_pathname", entry_pathname);
}

const ArchiveLibrary& ArchiveLibrary::get() {
    static const ArchiveLibrary library;
    return library;
}

}  // namespace espalier
