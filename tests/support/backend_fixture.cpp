#include "backend_fixture.hpp"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "espalier/error.hpp"
#include "host/backends.hpp"

namespace espalier {

inline constexpr bool has_cuda_on_host = ESPALIER_CUDA_ON_HOST != 0;
/// The CUDA backend's sources over a runtime of ours (tests/cuda_on_host/runtime), linked into this program.
extern "C" Backend* make_cuda_backend(int interface, const CudaOptions* options, char* reason, std::size_t capacity);

std::vector<std::string> available_backends() {
    static const bool gpu = [] {
        std::string reason;
        return try_cuda_backend(reason) != nullptr;
    }();
    std::vector<std::string> names{"cpu"};
    if (has_cuda_on_host) names.emplace_back("cuda_on_host");
    if (gpu) names.emplace_back("cuda");
    return names;
}

std::string backend_kind(const std::string& name) { return name == "cuda_on_host" ? "cuda" : name; }

std::vector<std::string> cuda_backends() {
    std::vector<std::string> names;
    for (const auto& name : available_backends()) {
        if (backend_kind(name) == "cuda") names.push_back(name);
    }
    return names;
}

std::unique_ptr<Backend> backend_for_test(const std::string& name, int threads, const CudaOptions& options) {
    if constexpr (has_cuda_on_host) {
        if (name == "cuda_on_host") {
            char reason[1024] = {};
            std::unique_ptr<Backend> backend(make_cuda_backend(module_interface, &options, reason, sizeof reason));
            if (backend == nullptr) throw UserError(ExitCode::device, reason);
            return backend;
        }
    }
    return make_backend(name, threads, nullptr, options);
}

TEST(Gpu, IsThere) {
    std::string reason;
    if (try_cuda_backend(reason) != nullptr) return;
    const char* required = std::getenv("ESPALIER_REQUIRE_GPU");
    ASSERT_TRUE(required == nullptr || std::string(required) != "1") << "no test ran on a GPU: " << reason;
    GTEST_SKIP() << "no test runs on a GPU: " << reason;
}

void Margin::compare(double got, double want, double allowance, std::size_t index) {
    double share = std::abs(got - want) / allowance;
    if (got == want) share = 0;  // an allowance of 0 asks for equality
    if (!(share >= 0)) share = std::numeric_limits<double>::infinity();
    if (share <= share_) return;
    share_ = share;
    std::ostringstream text;
    text.precision(10);
    text << "at " << index << ": got " << got << ", want " << want << ", allowed " << allowance;
    worst_ = text.str();
}

void Margin::compare(const std::vector<double>& got, const std::vector<double>& want, const Tolerance& tolerance) {
    compare(got, want, {}, tolerance);
}

void Margin::compare(const std::vector<double>& got, const std::vector<double>& want,
                     const std::vector<double>& allowance, const Tolerance& tolerance) {
    if (got.size() != want.size()) {
        fault_ = std::to_string(got.size()) + " numbers instead of " + std::to_string(want.size());
        return;
    }
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double own = allowance.empty() ? 0 : allowance.at(i);
        compare(got[i], want[i], own + tolerance.absolute + tolerance.relative * std::abs(want[i]), i);
    }
}

void Margin::expect() const {
    EXPECT_EQ(fault_, "") << what_;
    EXPECT_LE(share_, 1) << what_ << " uses " << share_ << " of its allowance " << worst_;
}

void expect_close(const std::vector<double>& got, const std::vector<double>& want, const Tolerance& tolerance,
                  const std::string& what) {
    Margin margin(what);
    margin.compare(got, want, tolerance);
    margin.expect();
}

namespace {

void expect_all_close(const oracle::Parameters& got, const oracle::Parameters& want, const oracle::Parameters* slack,
                      const Tolerance& tolerance, const std::string& what) {
    Margin margin(what);
    margin.compare(got.values, want.values, slack != nullptr ? slack->values : std::vector<double>{}, tolerance);
    margin.expect();
    ASSERT_EQ(got.states.size(), want.states.size()) << what;
    for (std::size_t k = 0; k < want.states.size(); ++k) {
        Margin state(what + " state " + std::to_string(k));
        state.compare(got.states[k], want.states[k], slack != nullptr ? slack->states[k] : std::vector<double>{},
                      tolerance);
        state.expect();
    }
}

}  // namespace

void expect_close(const oracle::DenseLayer& got, const oracle::DenseLayer& want, const oracle::DenseLayer* slack,
                  const Tolerance& tolerance) {
    EXPECT_EQ(got.edge, want.edge) << "topology";
    expect_all_close(got.weights, want.weights, slack != nullptr ? &slack->weights : nullptr, tolerance, "weights");
    expect_all_close(got.bias, want.bias, slack != nullptr ? &slack->bias : nullptr, tolerance, "bias");
    expect_all_close(got.activation_parameters, want.activation_parameters,
                     slack != nullptr ? &slack->activation_parameters : nullptr, tolerance, "activation parameters");
}

oracle::DenseLayer update_slack(const oracle::DenseLayer& before, const oracle::Gradients& gradients,
                                const oracle::Update& update, const Tolerance& tolerance) {
    oracle::DenseLayer slack = before;
    const auto [absolute, relative] = tolerance;
    slack.weights = oracle::allowance(before.weights, gradients.weights, update, absolute, relative, before.edge);
    slack.bias = oracle::allowance(before.bias, gradients.bias, update, absolute, relative);
    slack.activation_parameters =
        oracle::allowance(before.activation_parameters, gradients.activation_parameters, update, absolute, relative);
    return slack;
}

void expect_identical(const Layer& got, const Layer& want) {
    EXPECT_EQ(got.num_inputs, want.num_inputs);
    EXPECT_EQ(got.num_outputs, want.num_outputs);
    EXPECT_EQ(rule_text(got.activation), rule_text(want.activation));
    EXPECT_EQ(got.weights, want.weights);
    EXPECT_EQ(got.bias, want.bias);
    EXPECT_EQ(got.activation_parameters, want.activation_parameters);
    EXPECT_EQ(got.weight_state, want.weight_state);
    EXPECT_EQ(got.bias_state, want.bias_state);
    EXPECT_EQ(got.activation_state, want.activation_state);
    ASSERT_EQ(got.is_sparse(), want.is_sparse());
    if (!want.is_sparse()) return;
    EXPECT_EQ(got.topology->num_inputs, want.topology->num_inputs);
    EXPECT_EQ(got.topology->num_outputs, want.topology->num_outputs);
    EXPECT_EQ(got.topology->row_start, want.topology->row_start);
    EXPECT_EQ(got.topology->column, want.topology->column);
}

DeviceMatrix::DeviceMatrix(Backend& backend, std::size_t rows, std::size_t batch)
    : view_{nullptr, static_cast<Index>(rows), static_cast<Index>(batch), backend.lanes()} {
    buffer_ = Buffer<float>(backend, view_.size());
    const std::vector<float> unwritten(view_.size(), std::numeric_limits<float>::quiet_NaN());
    buffer_.upload(unwritten.data());
    view_.data = buffer_.data();
}

DeviceMatrix::DeviceMatrix(Backend& backend, const oracle::Matrix& values)
    : DeviceMatrix(backend, values.rows, values.columns) {
    std::vector<float> tiles(view_.size(), 0.0F);
    const Activations here{tiles.data(), view_.rows, view_.batch, view_.lanes};
    for (Index j = 0; j < view_.rows; ++j) {
        for (Index s = 0; s < view_.batch; ++s) here.at(j, s) = static_cast<float>(values(j, s));
    }
    buffer_.upload(tiles.data());
}

std::vector<float> DeviceMatrix::raw() const {
    std::vector<float> tiles(view_.size());
    buffer_.download(tiles.data());
    return tiles;
}

oracle::Matrix DeviceMatrix::values() const {
    auto tiles = raw();
    const Activations here{tiles.data(), view_.rows, view_.batch, view_.lanes};
    oracle::Matrix result(view_.rows, view_.batch);
    for (Index j = 0; j < view_.rows; ++j) {
        for (Index s = 0; s < view_.batch; ++s) result(j, s) = here.at(j, s);
    }
    return result;
}

std::vector<float> DeviceMatrix::padding() const {
    auto tiles = raw();
    const Activations here{tiles.data(), view_.rows, view_.batch, view_.lanes};
    std::vector<float> result;
    for (Index j = 0; j < view_.rows; ++j) {
        for (Index s = view_.batch; s < view_.tiles() * view_.lanes; ++s) result.push_back(here.at(j, s));
    }
    return result;
}

Buffer<std::int32_t> device_labels(Backend& backend, const std::vector<std::int32_t>& labels) {
    const std::size_t lanes = backend.lanes();
    std::vector<std::int32_t> padded(labels);
    padded.resize((labels.size() + lanes - 1) / lanes * lanes, -1);
    Buffer<std::int32_t> buffer(backend, padded.size());
    buffer.upload(padded.data());
    return buffer;
}

Buffer<float> device_targets(Backend& backend, const Loss& loss, const oracle::Matrix& rows) {
    if (!is_regression(loss)) return {};
    const std::vector<float> values(rows.values.begin(), rows.values.end());
    Buffer<float> buffer(backend, values.size());
    buffer.upload(values.data());
    return buffer;
}

oracle::Matrix one_hot(std::size_t classes) {
    oracle::Matrix rows(classes, classes);
    for (std::size_t c = 0; c < classes; ++c) rows(c, c) = 1;
    return rows;
}

Buffer<StepScalars> device_scalars(Backend& backend, const StepScalars& scalars) {
    Buffer<StepScalars> buffer(backend, 1);
    buffer.upload(&scalars);
    return buffer;
}

StepScalars scalars_of(const oracle::Update& update, std::uint32_t epoch) {
    StepScalars scalars;
    scalars.update =
        update_step(update.optimizer, update.decay_form, update.learning_rate, update.weight_decay, update.t);
    scalars.epoch = epoch;
    scalars.step = static_cast<std::uint32_t>(update.t - 1);
    return scalars;
}

}  // namespace espalier
