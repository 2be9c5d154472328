// What the backend-parametrised tests share: the list of backends, matrices in and out of tiles, comparison with the
// oracle by shares of an allowance. A test written against `Backend` runs on every backend of the list.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/module.hpp"
#include "oracle.hpp"
#include "test_layers.hpp"

namespace espalier {

/// The backends that this build and machine can test: "cpu"; "cuda_on_host", the CUDA backend run on the CPU, unless
/// CUDA is left out of the build; "cuda" where there is a GPU.
std::vector<std::string> available_backends();
/// Those of them that are CUDA's.
std::vector<std::string> cuda_backends();
/// What such a backend calls itself.
std::string backend_kind(const std::string& name);
/// threads 0: as many as the backend chooses.
std::unique_ptr<Backend> backend_for_test(const std::string& name, int threads = 0, const CudaOptions& options = {});

/// What an operation may be off by: |got - want| <= absolute + relative * |want|.
struct Tolerance {
    double absolute = 0;
    double relative = 0;
};

/// The worst share of its allowance that a comparison has used; 1 is the limit, NaN counts as infinitely far.
class Margin {
public:
    explicit Margin(std::string what) : what_(std::move(what)) {}
    void compare(double got, double want, double allowance, std::size_t index);
    void compare(const std::vector<double>& got, const std::vector<double>& want, const Tolerance& tolerance);
    /// Adds an own allowance for each number.
    void compare(const std::vector<double>& got, const std::vector<double>& want, const std::vector<double>& allowance,
                 const Tolerance& tolerance);
    /// Fails the test, with the place and the numbers, if the share exceeds 1 (or nothing can be compared).
    void expect() const;

private:
    std::string what_;
    std::string worst_;
    std::string fault_;
    double share_ = 0;
};

void expect_close(const std::vector<double>& got, const std::vector<double>& want, const Tolerance& tolerance,
                  const std::string& what);
/// Everything trained in a layer, with `slack` (shaped alike, may be empty) on top of the tolerance.
void expect_close(const oracle::DenseLayer& got, const oracle::DenseLayer& want, const oracle::DenseLayer* slack,
                  const Tolerance& tolerance);
/// What rounding of the gradient may do to a layer's update; shaped as the layer.
oracle::DenseLayer update_slack(const oracle::DenseLayer& before, const oracle::Gradients& gradients,
                                const oracle::Update& update, const Tolerance& gradient_tolerance);
/// Equal to the last bit, topology included.
void expect_identical(const Layer& got, const Layer& want);

/// Activations in a backend's memory.
class DeviceMatrix {
public:
    /// Filled with NaN, so that what a verb leaves unwritten shows.
    DeviceMatrix(Backend& backend, std::size_t rows, std::size_t batch);
    /// Lanes past the batch are zero.
    DeviceMatrix(Backend& backend, const oracle::Matrix& values);

    [[nodiscard]] Activations view() const { return view_; }
    operator Activations() const { return view_; }       // NOLINT(google-explicit-constructor)
    operator ConstActivations() const { return view_; }  // NOLINT(google-explicit-constructor)
    [[nodiscard]] oracle::Matrix values() const;         // [neuron][sample]
    [[nodiscard]] std::vector<float> padding() const;    // the lanes past the batch
    [[nodiscard]] std::vector<float> raw() const;        // as it lies in memory

private:
    Buffer<float> buffer_;
    Activations view_;
};

/// Labels in a backend's memory, -1 past the batch.
Buffer<std::int32_t> device_labels(Backend& backend, const std::vector<std::int32_t>& labels);
/// A regression's targets in a backend's memory, a row for each of `rows`; for other losses nothing.
Buffer<float> device_targets(Backend& backend, const Loss& loss, const oracle::Matrix& rows);
/// A 1 at the place of each class and zeros beside it: the rows that labels are for oracle::score().
oracle::Matrix one_hot(std::size_t classes);
/// Step scalars in a backend's memory.
Buffer<StepScalars> device_scalars(Backend& backend, const StepScalars& scalars);
StepScalars scalars_of(const oracle::Update& update, std::uint32_t epoch = 0);

/// Parametrised by the backend's name; proves that the backend asked for is the one that runs.
class BackendTest : public ::testing::TestWithParam<std::string> {
protected:
    void SetUp() override {
        // one thread: the results do not depend on their number (threads_test), and idle ones would spin
        backend_ = backend_for_test(GetParam(), 1);
        ASSERT_EQ(backend_->name(), backend_kind(GetParam()));
        ASSERT_GT(backend_->lanes(), 0U);
        ASSERT_FALSE(backend_->describe().empty());
    }
    [[nodiscard]] Backend& backend() const { return *backend_; }
    [[nodiscard]] oracle::DenseLayer stored(const DeviceLayer& layer, int num_states) const {
        return oracle::dense(backend_->store(layer), num_states);
    }

private:
    std::unique_ptr<Backend> backend_;
};

inline std::string backend_test_name(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

/// The text a streamable thing prints as, for SCOPED_TRACE.
template <class T>
std::string printed(const T& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

}  // namespace espalier
