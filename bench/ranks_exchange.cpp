// The exchange of the CPU backend's ranks beside MPI_Allreduce on the same numbers, under mpirun: first that the sum has its
// bits, then medians of rounds in turn. Prints one JSON object on rank 0.
// usage: mpirun -n RANKS ranks_exchange FLOATS ROUNDS
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "espalier/ranks.hpp"
#include "host/cpu/exchange.hpp"
#include "host/cpu/halves.hpp"

extern "C" espalier::Ranks* make_espalier_ranks(int interface, double timeout_s, char* reason, std::size_t capacity);

namespace espalier {
namespace {

float value(int rank, std::size_t i) {
    return static_cast<float>(std::sin(static_cast<double>(i) + 100.0 * rank) * std::pow(10.0, static_cast<double>(i % 7)));
}

bool has_the_bits(Ranks& ranks, Exchange& exchange, std::vector<float>& own, std::size_t floats) {
    const int size = ranks.place().size;
    for (std::size_t i = 0; i < floats; ++i) own[i] = value(ranks.place().rank, i);
    exchange.begin(own.data(), floats, static_cast<Index>(size));
    exchange.finish();
    std::vector<float> parts(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < floats; i += 1 + floats / 5000) {
        for (int r = 0; r < size; ++r) parts[static_cast<std::size_t>(r)] = value(r, i);
        sum_in_place_by_halves(parts.data(), 1, static_cast<Index>(size), {0, 1});
        if (parts[0] != own[i]) return false;
    }
    return true;
}

double median(std::vector<double>& seconds) {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
}

template <class Work>
double timed(const Work& work) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    work();
    return MPI_Wtime() - start;
}

int run(std::size_t floats, int rounds) {
    char reason[256] = {};
    const std::unique_ptr<Ranks> ranks(make_espalier_ranks(ranks_interface, 60, reason, sizeof reason));
    if (ranks == nullptr) {
        std::fprintf(stderr, "ranks_exchange: %s\n", reason);
        return 6;
    }
    RankPlace place = ranks->place();
    place.sharing = std::getenv("RANKS_SHARE_CPUS") != nullptr ? 2 : 1;
    ranks->set_place(place);
    Exchange exchange(ranks.get());
    std::vector<float> own(floats + Exchange::slack(place.size));
    if (!has_the_bits(*ranks, exchange, own, floats)) {
        std::fprintf(stderr, "ranks_exchange: rank %d has another sum\n", place.rank);
        ranks->abort(1);
    }
    std::fill(own.begin(), own.end(), 1.0F);
    std::vector<double> ours;
    std::vector<double> theirs;
    for (int i = 0; i < rounds; ++i) {
        ours.push_back(timed([&] { exchange.begin(own.data(), floats, static_cast<Index>(place.size));
        exchange.finish(); }));
        theirs.push_back(timed([&] {
            MPI_Allreduce(MPI_IN_PLACE, own.data(), static_cast<int>(floats), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        }));
        std::fill(own.begin(), own.end(), 1.0F);
    }
    if (place.rank == 0) {
        const double least_ours = *std::min_element(ours.begin(), ours.end());
        const double least_theirs = *std::min_element(theirs.begin(), theirs.end());
        std::printf("{\"library\": \"%s\", \"ranks\": %d, \"floats\": %zu, \"rounds\": %d, \"exchange_us\": %.1f, "
                    "\"allreduce_us\": %.1f, \"least_exchange_us\": %.1f, \"least_allreduce_us\": %.1f}\n",
                    ranks->describe().c_str(), place.size, floats, rounds, 1e6 * median(ours), 1e6 * median(theirs),
                    1e6 * least_ours, 1e6 * least_theirs);
    }
    ranks->leave(false);
    return 0;
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: mpirun -n RANKS ranks_exchange FLOATS ROUNDS\n");
        return 2;
    }
    return espalier::run(std::strtoull(argv[1], nullptr, 10), std::atoi(argv[2]));
}
