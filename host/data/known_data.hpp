// The data sets of the catalogue, read from their published files.
#pragma once

#include <memory>
#include <optional>

#include "host/data/catalog.hpp"
#include "espalier/dataset.hpp"
#include "host/formats/input_file.hpp"
#include "host/formats/tar.hpp"
#include "host/formats/zip.hpp"

namespace espalier {

/// Opens a file of a set that was found, from its archive if it lies in one.
class SetFiles {
public:
    /// Throws UserError (data) if there is an archive that cannot be read. `remedy` ends every refusal.
    SetFiles(const KnownSet& set, const FoundFiles& found, std::string remedy);
    /// `expansion`: of InputFile.
    [[nodiscard]] std::unique_ptr<InputFile> open(std::size_t number, std::uint64_t expansion);

private:
    const FoundFiles& found_;
    std::string remedy_;
    std::optional<ZipFile> zip_;
    TarMembers tar_;
};

/// Reads a set's files from the search path. Files other than the published ones are read with a warning.
/// Throws UserError (data) with path, expected and found, and what mends it.
void load_known_data(const KnownSet& set, const std::string& data_dir, DataSet& data);

}  // namespace espalier
