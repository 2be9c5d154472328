// CSV tables, with every way to say where labels and header are, and the history files of a run.
#include "fuzz_file.hpp"
#include "host/data/csv.hpp"
#include "host/run/epoch_record.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const FuzzFile file(bytes, size);
    for (const char* label : {"first", "last", "2", "label"}) {
        for (const auto header : {CsvOptions::Header::guess, CsvOptions::Header::yes, CsvOptions::Header::no}) {
            CsvOptions options;
            options.label = label;
            options.header = header;
            options.unlabelled_features = label[0] == 'l' ? 3 : 0;
            accepts([&] {
                const CsvTable table = read_csv(file.path(), options);
                if (table.samples() == 0 || table.floats.size() != table.samples() * table.features) std::abort();
                if (table.labels.codes.size() != (table.labelled ? table.samples() : 0)) std::abort();
                if (!table.columns.empty() && table.columns.size() != table.features) std::abort();
            });
        }
    }
    for (const char* targets : {"first", "label", "2,last"}) {
        CsvOptions options;
        options.targets = targets;
        options.unlabelled_features = targets[0] == 'l' ? 3 : 0;
        accepts([&] {
            const CsvTable table = read_csv(file.path(), options);
            if (table.samples() == 0 || table.floats.size() != table.samples() * table.features) std::abort();
            if (table.labelled && table.targets.size() != table.samples() * table.target_names.size()) std::abort();
            if (!table.labels.codes.empty()) std::abort();
        });
    }
    accepts([&] { (void)read_history(file.path(), size); });
    return 0;
}
