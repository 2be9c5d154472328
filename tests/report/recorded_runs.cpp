// Writes run folders as if they had been trained, for tests that need many: recorded_runs FOLDER ROWS SEEDS EPOCHS.
// Rows differ in their weight decay and drift from the margin to the centre.
#include <cstdlib>
#include <iostream>
#include <string>

#include "espalier/rule.hpp"
#include "recorded_run.hpp"

int main(int count, char** words) {
    if (count != 5) {
        std::cerr << "usage: recorded_runs FOLDER ROWS SEEDS EPOCHS\n";
        return 2;
    }
    const int rows = std::atoi(words[2]), seeds = std::atoi(words[3]), epochs = std::atoi(words[4]);
    for (int row = 0; row < rows; ++row) {
        for (int seed = 1; seed <= seeds; ++seed) {
            espalier::RecordedRunOptions options;
            options.epochs = static_cast<std::uint32_t>(epochs);
            options.image = {28, 28, 1};
            options.outputs = 64;
            options.num_edges = 6000;
            options.seed = static_cast<std::uint64_t>(seed);
            options.drift = rows == 1 ? 0.4 : -0.2 + 0.8 * row / (rows - 1);
            options.lifetimes = true;
            const std::string decay = row == 0 ? "0" : espalier::number_text(1e-6 * (1 << (row - 1)));
            options.more_config = "weight-decay = " + decay + "\n";
            espalier::record_run(std::filesystem::path(words[1]) /
                                     ("decay-" + decay + "-seed" + std::to_string(seed)),
                                 options);
        }
    }
}
