// `espalier bench`: refuses to time what is wrong, and draws the right conclusions from what it timed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/bench/crossover.hpp"
#include "host/bench/crossover_report.hpp"
#include "host/bench/dense_rival.hpp"
#include "host/bench/product.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// The CPU backend with one value of one verb's result spoilt.
class BrokenBackend final : public Backend {
public:
    enum class Fault { none, forward, input_gradient, update };
    explicit BrokenBackend(Fault fault) : right_(make_cpu_backend(1)), fault_(fault) {}

    std::string name() const override { return "broken"; }
    std::string describe() const override { return "broken on purpose"; }
    Index lanes() const override { return right_->lanes(); }
    void* allocate(std::size_t bytes) override { return right_->allocate(bytes); }
    void release(void* memory) noexcept override { right_->release(memory); }
    void upload(void* to, const void* from, std::size_t bytes) override { right_->upload(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override { right_->download(to, from, bytes); }
    LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta) const override {
        return right_->layer_bytes(shape, use, zeta);
    }
    Layer store(const DeviceLayer& layer) override {
        Layer stored = right_->store(layer);
        if (fault_ == Fault::update) stored.weights.front() += 0.01F;
        return stored;
    }
    void reset_state(DeviceLayer& layer) override { right_->reset_state(layer); }
    Metrics metrics() override { return right_->metrics(); }
    void wait() override { right_->wait(); }

protected:
    std::unique_ptr<DeviceLayer> do_load(const Layer& layer, const LayerUse& use) override {
        return right_->load(layer, use);
    }
    void do_gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                   const StepScalars* step) override {
        right_->gather(samples, choice, x, labels, step);
    }
    void do_forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y) override {
        right_->forward(layer, x, saved, y);
        right_->wait();
        if (fault_ == Fault::forward) y.at(0, y.batch - 1) += 0.01F;
    }
    void do_dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                    const StepScalars* step) override {
        right_->dropout(values, rate, seed, layer, step);
    }
    void do_loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                 const float* class_weights, const float* targets) override {
        right_->loss(loss, z, labels, dz, class_weights, targets);
    }
    void do_backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                     const StepScalars* step) override {
        right_->backward(layer, x, saved, dy, dx, step);
        right_->wait();
        if (fault_ == Fault::input_gradient) dx.at(0, 0) += 0.01F;
    }
    void do_transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y,
                       Activations x) override {
        right_->transposed(layer, offsets, y, x);
    }
    void do_differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy, Activations dx) override {
        right_->differentiate(layer, saved, dy, dx);
    }
    void do_sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                   const StepScalars* step) override {
        right_->sample(draw, values, means, states, step);
    }
    void do_score_reconstruction(ConstActivations probabilities, ConstActivations data) override {
        right_->score_reconstruction(probabilities, data);
    }
    Pruned do_prune(DeviceLayer& layer, const Pruning& pruning) override { return right_->prune(layer, pruning); }
    Pruned do_prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left) override {
        return right_->prune_ends(layer, dead, left);
    }
    std::uint32_t do_replace(DeviceLayer& layer, const Regrowth* regrowth) override {
        if (regrowth != nullptr) return right_->regrow(layer, *regrowth);
        right_->remove(layer);
        return 0;
    }
    Degrees do_degrees(const DeviceLayer& layer) override { return right_->degrees(layer); }

private:
    std::unique_ptr<Backend> right_;
    Fault fault_;
};

const BenchGrid tiny{{96}, {24}, {0.5, 0.9}, 0.001};

BenchResults run(BrokenBackend::Fault fault) {
    BrokenBackend backend(fault);
    return run_crossover(backend, 1, tiny, [](std::size_t, std::size_t, const std::string&) { return true; });
}

TEST(Bench, TimesWhatIsRight) {
    const BenchResults results = run(BrokenBackend::Fault::none);
    ASSERT_EQ(results.points.size(), 2U);
    EXPECT_FALSE(results.stopped);
    EXPECT_EQ(results.points[0].edges, 96U * 96 / 2);
    for (const BenchPoint& point : results.points) {
        EXPECT_GT(point.sparse.step.median, 0);
        EXPECT_LE(point.sparse.step.low, point.sparse.step.high);
        EXPECT_GT(point.dense.step.median, 0);
        EXPECT_GT(point.fma_rate, 0);
    }
}

TEST(Bench, RefusesToTimeABrokenKernel) {
    for (const auto fault :
         {BrokenBackend::Fault::forward, BrokenBackend::Fault::input_gradient, BrokenBackend::Fault::update}) {
        try {
            run(fault);
            ADD_FAILURE() << "timed a wrong result";
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::device);
            EXPECT_THAT(error.what(), HasSubstr("the result is wrong at 96 x 96, batch 24, sparsity 50 %"));
        }
    }
}

TEST(Bench, APartialCheckFindsAWrongRowItLooksAt) {
    const ProductProblem problem(64, 64, 0.5, 16, make_cpu_backend(1)->lanes());
    EXPECT_EQ(CheckedPart::of(problem, 1e9).stride, 1U);
    EXPECT_EQ(CheckedPart::of(problem, 64 * 32 * 16 / 4.0).stride, 4U);
    BrokenBackend broken(BrokenBackend::Fault::forward);
    LoadedProduct loaded(broken, problem, true);
    EXPECT_THAT(fault(loaded, problem, Product::forward, {4}), HasSubstr("forward"));
}

TEST(Bench, TheRivalIsRightOnOneThreadAndTwo) {
    for (const int threads : {1, 2}) {
        DenseRival rival(70, 45, 33, threads);
        EXPECT_THAT(rival.fault(1), IsEmpty());
    }
}

TEST(Bench, StopsWhenToldAndKeepsWhatItHas) {
    BrokenBackend backend(BrokenBackend::Fault::none);
    const BenchResults results =
        run_crossover(backend, 1, tiny, [](std::size_t done, std::size_t, const std::string&) { return done == 0; });
    EXPECT_TRUE(results.stopped);
    EXPECT_EQ(results.points.size(), 1U);
}

BenchPoint point(double sparsity, double speedup) {
    BenchPoint made;
    made.width = 1000;
    made.batch = 128;
    made.sparsity = sparsity;
    made.edges = 1;
    made.fma_rate = 1;
    made.sparse.step.median = 1;
    made.dense.step.median = speedup;
    // quartiles a tenth about the median: the least and the most speedup are 0.9 / 1.1 and 1.1 / 0.9 of it
    for (Timing* timing : {&made.sparse.step, &made.dense.step}) {
        timing->low = 0.9 * timing->median;
        timing->high = 1.1 * timing->median;
    }
    made.sparse.forward = made.sparse.step, made.dense.forward = made.dense.step;
    return made;
}

TEST(Bench, CrossoverIsInterpolatedInLogarithms) {
    // speed-ups 1/2 at density 0.4 and 2 at 0.1: halfway in the logarithm, density 0.2
    EXPECT_NEAR(*crossover_sparsity({point(0.6, 0.5), point(0.9, 2)}, 1000, 128), 0.8, 1e-12);
    // the order of the points does not matter, other widths neither
    EXPECT_NEAR(*crossover_sparsity({point(0.9, 2), point(0.6, 0.5)}, 1000, 128), 0.8, 1e-12);
    EXPECT_EQ(crossover_sparsity({point(0.6, 0.5), point(0.9, 2)}, 500, 128), std::nullopt);
    EXPECT_EQ(crossover_sparsity({point(0.6, 1.5), point(0.9, 2)}, 1000, 128), 0.0);
    EXPECT_EQ(crossover_sparsity({point(0.6, 0.2), point(0.9, 0.9)}, 1000, 128), std::nullopt);
    // what wins once and loses later has not crossed there
    EXPECT_NEAR(*crossover_sparsity({point(0.2, 2), point(0.6, 0.5), point(0.9, 2)}, 1000, 128), 0.8, 1e-12);
}

TEST(Bench, TheQuartilesGiveTheCrossingItsInterval) {
    const std::vector<BenchPoint> points{point(0.6, 0.5), point(0.9, 2)};
    const CrossoverRange range = crossover_range(points, 1000, 128);
    // The logarithm of the speedup runs from -log 2 to log 2 while that of the density falls by log 4: a shift by s
    // moves the crossing by s.
    EXPECT_NEAR(*range.low, 1 - 0.2 * (1.1 / 0.9), 1e-12);
    EXPECT_NEAR(*range.high, 1 - 0.2 * (0.9 / 1.1), 1e-12);
    EXPECT_EQ(crossover_range({point(0.6, 0.5), point(0.9, 1.1)}, 1000, 128).high, std::nullopt);
}

TEST(Bench, ABusyMachineIsToldOfEverywhere) {
    BenchResults results;
    results.points = {point(0.6, 0.5), point(0.9, 2)};
    EXPECT_THAT(crossover_markdown(results), Not(HasSubstr("Warning")));
    EXPECT_THAT(crossover_page(results), Not(HasSubstr("Warning")));
    results.others = 1.4;
    EXPECT_THAT(crossover_markdown(results), HasSubstr("other processes kept 1.4 cores"));
    EXPECT_THAT(crossover_page(results), HasSubstr("other processes kept 1.4 cores"));
    EXPECT_EQ(nlohmann::json::parse(crossover_json(results))["cores_of_others"], 1.4);
}

TEST(Bench, TablesPageAndJsonSayTheSame) {
    BenchResults results;
    results.backend = "cpu <test>";
    results.threads = 1;
    results.points = {point(0.6, 0.5), point(0.9, 2)};
    EXPECT_THAT(crossover_markdown(results), HasSubstr("| 1000 | 128 | from 80 % (by the quartiles 75.56 % to 83.64 %) |"));
    const std::string page = crossover_page(results);
    EXPECT_THAT(page, HasSubstr("<td>from 80 % (by the quartiles 75.56 % to 83.64 %)</td>"));
    EXPECT_THAT(page, HasSubstr("cpu &lt;test&gt;"));
    EXPECT_THAT(page, HasSubstr("<svg"));
    EXPECT_THAT(page, Not(HasSubstr("src=")));
    EXPECT_THAT(page, HasSubstr("over sparse time, batch"));
    EXPECT_THAT(page, HasSubstr("data-name=\"crossing of 1000\" data-v=\"0.2,1\" data-b=\"0.16364,0.24444\""));
    EXPECT_THAT(crossover_csv(results), testing::StartsWith("width,batch,sparsity,edges,sparse_forward_seconds_median,"));
    EXPECT_THAT(crossover_csv(results), HasSubstr("\n1000,128,0.9,1,1,0.9,1.1,"));
    const auto json = nlohmann::json::parse(crossover_json(results));
    EXPECT_NEAR(json["crossovers"][0]["sparsity"].get<double>(), 0.8, 1e-12);
    EXPECT_EQ(json["points"].size(), 2U);
}

}  // namespace
}  // namespace espalier
