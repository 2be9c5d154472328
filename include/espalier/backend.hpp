// The seam: what a backend does for the driver, which holds no other knowledge of devices. Chosen at run time. A verb
// is added for a new kind of computation, never for a new rule.
//
// Verbs enqueue and return. Those that give something back or take memory of the caller's wait for all that was
// enqueued before them: upload, download, load, store, prune, regrow, remove, degrees, metrics and wait itself.
//
// The public verbs check their arguments, once for all backends, and throw std::logic_error where a caller is wrong; a
// backend implements the protected ones, whose arguments are right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/bernoulli_units.hpp"
#include "espalier/evolution_rules.hpp"
#include "espalier/initialization.hpp"
#include "espalier/layer.hpp"
#include "espalier/loss.hpp"
#include "espalier/metrics.hpp"
#include "espalier/optimizer.hpp"
#include "espalier/random.hpp"
#include "espalier/spmm.hpp"
#include "espalier/tiled_view.hpp"

namespace espalier {

/// A layer in a backend's own memory and layout, which the backend derives from this. Here stands what the seam checks.
struct DeviceLayer {
    DeviceLayer() = default;
    DeviceLayer(const DeviceLayer&) = delete;
    DeviceLayer& operator=(const DeviceLayer&) = delete;
    virtual ~DeviceLayer() = default;

    Index num_inputs = 0;
    Index num_outputs = 0;
    bool is_sparse = false;           // has a topology, which may evolve
    bool has_input_gradient = false;  // was loaded with needs_input_gradient
    bool is_pruned = false;           // from prune() to regrow() or remove()
};

/// Samples as bytes or floats, row-major [sample][feature], in backend memory; x = (value * scale - mean) / deviation
/// per channel, a channel being `features / channels` consecutive features.
struct Samples {
    const std::uint8_t* bytes = nullptr;  // exactly one of bytes and floats
    const float* floats = nullptr;
    const std::int32_t* labels = nullptr;  // [count]: classes, or rows of the targets
    const float* targets = nullptr;        // [count][outputs], of a regression
    std::uint32_t count = 0;
    Index features = 0;
    Index channels = 1;
    float factor[4] = {1, 1, 1, 1};  // x = value * factor + offset, per channel
    float offset[4] = {0, 0, 0, 0};
};

/// What changes from step to step. An epoch's worth lies in backend memory, uploaded once per epoch, so that the
/// sequence of verbs itself never changes and can be recorded.
struct StepScalars {
    UpdateStep update;
    std::uint32_t epoch = 0;  // from 0; the event of the shuffle
    std::uint32_t step = 0;   // from 0 over the whole run; the event of dropout
};

/// Which samples make a batch: `size` samples from position `first` of the order. Shuffled, sample number `i` of an
/// epoch is Permutation(count, Stream{seed, purpose, 0, epoch})(i); otherwise they come as stored.
struct BatchChoice {
    std::uint32_t first = 0;
    Index size = 0;
    bool shuffled = false;
    std::uint64_t seed = 0;
    Purpose purpose = Purpose::shuffle;
};

/// Inverted dropout of a layer's output, the mask of Backend::dropout. With a rate above 0, forward multiplies the
/// output by the mask and backward the gradient by the output.
struct Dropout {
    float rate = 0;  // in [0, 1)
    std::uint64_t seed = 0;
    std::uint32_t layer = 0;
    const StepScalars* step = nullptr;  // backend memory
    /// Backend memory of dropout_words(output), where forward may leave the mask for backward.
    std::uint64_t* mask = nullptr;
};

/// A bit for every unit and lane.
inline std::size_t dropout_words(ConstActivations output) {
    return std::size_t{output.tiles()} * output.rows * ((output.lanes + 63) / 64);
}

/// Tells the draws of one evolution of one layer from those of every other. `event` counts evolutions of the layer.
struct EvolutionEvent {
    std::uint64_t seed = 0;
    std::uint32_t layer = 0;
    std::uint32_t event = 0;
    [[nodiscard]] Stream stream(Purpose purpose) const { return {seed, purpose, layer, event}; }
};

/// Which edges to prune.
struct Pruning {
    PruneRule rule;
    double zeta = 0;  // the share of the edges, in [0, 1]
    EvolutionEvent event = {};
};

/// What one pruning removed.
struct Pruned {
    std::uint32_t positive = 0;
    std::uint32_t negative = 0;
    std::uint32_t zero = 0;
    [[nodiscard]] std::uint32_t total() const { return positive + negative + zero; }
};

/// Neurons of a layer that lead nowhere: on its inputs' side no signal comes, on its outputs' side none goes on. Empty:
/// there are none.
struct DeadEnds {
    std::vector<std::uint8_t> inputs;   // [num_inputs] 1: dead
    std::vector<std::uint8_t> outputs;  // [num_outputs]
};

/// What gradients by the weights of a layer are made of, dL/dw = dz x^T: its inputs [num_inputs] and the gradients by
/// its preactivations [num_outputs], of the same samples. Empty for rules that look at no gradients.
struct Evidence {
    ConstActivations x;
    ConstActivations dz;
};

/// What takes the place of pruned edges.
struct Regrowth {
    GrowRule rule;
    WeightLaw new_weights;
    bool reset_state =
        true;  // false: a new edge inherits the optimizer's memory of the edge it replaces, as in EvolNet
    EvolutionEvent event = {};
    Evidence evidence = {};
    std::optional<EdgeIndex> count = {};  // of new edges, instead of the rule's share of those pruned; on CPUs alone, and
                                          // with reset_state: what comes beyond those has no edge to inherit from
};

/// How a layer will be used, so that a backend can choose its layout.
struct LayerUse {
    bool needs_input_gradient = true;  // false for the first layer of a perceptron
    Optimizer optimizer;
    Spmm spmm = Spmm::automatic;  // a backend with one way to multiply ignores it
    Index batch = 128;            // samples of a training step, for which the choice is made
    GrowRule grow = GrowRandom{};  // by which it evolves: some rules need more memory meanwhile
    Index gradient_batch = 0;      // of a backward pass, where that has more samples: a Boltzmann machine's

    [[nodiscard]] Index backward_batch() const { return gradient_batch > batch ? gradient_batch : batch; }
};

/// A layer that is yet to be born. Activation parameters are left out: four floats per neuron at most.
struct LayerShape {
    Index num_inputs = 0;
    Index num_outputs = 0;
    std::uint64_t num_edges = 0;  // every cell of a dense layer
    bool sparse = true;
};

/// What a layer takes in a backend's memory, in bytes.
struct LayerBytes {
    std::uint64_t resident = 0;  // topology, weights, biases, optimizer memory
    std::uint64_t evolving = 0;  // on top of that, at most, while it evolves
    std::uint64_t shared = 0;    // taken once by all the layers that need it: a library's workspace
    std::uint64_t launches = 0;  // of kernels in a training step; 0 where steps are not recorded
};

/// A device's own memory; zeros where there is none but the process's.
struct DeviceMemory {
    std::uint64_t total = 0;
    std::uint64_t in_use = 0;      // before a run: the context, this backend's own arrays, other programs
    std::uint64_t graph_node = 0;  // what a recorded launch takes
};

/// One device's memory and arithmetic. Calls come from one thread at a time. Every verb may throw UserError (device)
/// where the device or its memory fails. A backend outlives its layers and buffers.
class Backend {
public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    virtual ~Backend() = default;

    /// "cpu" or "cuda".
    [[nodiscard]] virtual std::string name() const = 0;
    /// One line for logs: instruction set and threads, or device and driver.
    [[nodiscard]] virtual std::string describe() const = 0;
    /// Samples per activation tile. All activations below must have tiles of so many.
    [[nodiscard]] virtual Index lanes() const = 0;

    // Memory. Uninitialised; upload and download wait.
    [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
    virtual void release(void* memory) noexcept = 0;
    virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
    virtual void download(void* to, const void* from, std::size_t bytes) = 0;

    /// Memory with `bytes` bytes like those at `from`, to be read only; release() gives it back. Companions hold equal
    /// bytes once.
    [[nodiscard]] virtual void* keep(const void* from, std::size_t bytes);

    /// Bytes that an allocation of so many takes.
    [[nodiscard]] virtual std::uint64_t array_bytes(std::uint64_t bytes) const { return bytes; }
    /// Refuses, before anything is drawn or allocated, what no memory would do for: more edges or samples than the
    /// backend counts. Throws UserError (device) with the number that would fit.
    virtual void expect_within_limits(const LayerShape& /*shape*/, const LayerUse& /*use*/) const {}
    /// As measured now. Waits.
    [[nodiscard]] virtual DeviceMemory device_memory() { return {}; }
    /// What such a layer will take when it is loaded for `use` and evolves with `zeta`.
    [[nodiscard]] virtual LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta) const = 0;

    // Layers.
    /// Optimizer memory that the layer does not bring starts at 0.
    [[nodiscard]] std::unique_ptr<DeviceLayer> load(const Layer& layer, const LayerUse& use);
    [[nodiscard]] virtual Layer store(const DeviceLayer& layer) = 0;
    /// Resets the optimizer's memory to 0.
    virtual void reset_state(DeviceLayer& layer) = 0;

    // A step. x, dx: [num_inputs] rows; y, saved, dy: [num_outputs] rows; each as many samples as the others.
    /// Gathers, normalises and transposes a batch; lanes past it become 0 and their labels -1.
    /// `step` (backend memory) may be null when the order is not shuffled.
    void gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                const StepScalars* step);
    /// y = activation(W x + b). `saved` receives what the activation's derivative needs (output or preactivation);
    /// it may be y itself when that is the output (of ReLU alone if units are dropped); empty for evaluation.
    void forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                 const Dropout& dropout = {});
    /// Multiplies by an inverted-dropout mask: value * keep / (1 - rate), rate in [0, 1). The mask is a pure function
    /// of (seed, layer, step->step, neuron, sample), so a backward pass may call it again on the gradient.
    void dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer, const StepScalars* step);
    /// Adds the batch to the metrics; writes the gradient by z of the batch's mean loss into dz unless dz is empty.
    /// With `class_weights` (backend memory, one for each output) a sample's loss and gradient are multiplied by that
    /// of its label. A regression's loss compares with `targets` (backend memory, [rows][outputs]), in which the labels
    /// are rows; others take none.
    void loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
              const float* class_weights = nullptr, const float* targets = nullptr);
    /// Given dy, the gradient by this layer's output: turns it in place into the gradient by the preactivation, writes
    /// the gradient by the input into dx unless dx is empty, and updates weights, bias and activation parameters.
    /// dx uses the weights from before the update, and wants a layer loaded with needs_input_gradient. `dropout`: as it
    /// was given to forward.
    void backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Activations dx,
                  const StepScalars* step, const Dropout& dropout = {});
    /// The part of backward() that changes no parameter: dy becomes the gradient by the preactivation, and dx, unless it
    /// is empty, the gradient by the input.
    void differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy, Activations dx,
                       const Dropout& dropout = {});

    // Restricted Boltzmann machines: a layer's products in both directions, units drawn, reconstructions scored.
    /// x = W^T y + b, the way back of `forward`; b: the weights of `offsets`, a dense layer from num_inputs to 1. Wants
    /// a layer loaded with needs_input_gradient.
    void transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y, Activations x);
    /// Bernoulli units, p being sigmoid(values), or the values themselves where they are probabilities already:
    /// writes p * draw.scale into `means` (may be `values`) and draws 0 or 1 into `states`; either may be empty. Lanes
    /// past the batch become 0, up to the tile's end. `step` may be null without states.
    void sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                const StepScalars* step);
    /// Adds a batch of reconstructed probabilities to the metrics. A sample's loss is the mean over its units of
    /// (probability - data)^2; `correct` counts units on the data's side of 1/2, confidence is max(p, 1 - p) by unit.
    void score_reconstruction(ConstActivations probabilities, ConstActivations data);

    // Evolution of a sparse layer.
    /// Chooses edges and sets their weights to 0; they keep their cells until regrow() replaces them or remove() drops
    /// them, one of which must come before the next prune().
    Pruned prune(DeviceLayer& layer, const Pruning& pruning);
    /// After prune(): prunes the other edges of dead neurons too, and says how many edges each neuron then has left.
    /// Returns what this call alone pruned.
    Pruned prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left);
    /// Replaces the pruned edges by round(share * pruned) new ones, share being the grow rule's, or by `count`. Returns how
    /// many were grown: fewer only if the layer has no empty cell left. A rule that looks at gradients needs evidence.
    std::uint32_t regrow(DeviceLayer& layer, const Regrowth& regrowth);
    void remove(DeviceLayer& layer);
    [[nodiscard]] Degrees degrees(const DeviceLayer& layer);

    /// Waits and returns the sums since the last call.
    [[nodiscard]] virtual Metrics metrics() = 0;
    // Where several processes train one network (ranks.hpp): batch tile t of every verb is computed by rank t mod ranks()
    // alone, and only updates and metrics() bring the ranks together.
    [[nodiscard]] virtual Index ranks() const { return 1; }
    /// Enqueues that every rank receives the tiles of `values` that others computed.
    virtual void share_tiles(Activations /*values*/) {}
    /// A number of each rank that tells its topology and weights of a layer from others; none alone. Waits.
    [[nodiscard]] virtual std::vector<std::uint64_t> fingerprints(const DeviceLayer& /*layer*/) { return {}; }

    /// Waits for all that was enqueued, and throws what went wrong in it.
    virtual void wait() = 0;
    /// Runs a sequence of verbs that may come again: on the CPU, calls it; a device backend may call it twice, once to
    /// learn what it holds, and replay what it recorded when the same verbs come with the same arguments. So a program
    /// does nothing but call verbs.
    virtual void run(const std::function<void()>& program) { program(); }

    /// So many backends like this one, on its device, for as many networks, each trained on a thread of its own: programs
    /// that they run at the same time are launched together, to the bits of each by itself. run() of one waits until
    /// every other has come to its own, has parted, or is gone. None where that is worth nothing. The first to fail with
    /// the device fails them all.
    [[nodiscard]] virtual std::vector<std::unique_ptr<Backend>> companions(std::size_t /*count*/) { return {}; }
    /// Of a companion: from now on it runs its programs by itself, and the others no longer wait for it.
    virtual void part() noexcept {}

protected:
    // What the verbs of these names do, after their checks.
    [[nodiscard]] virtual std::unique_ptr<DeviceLayer> do_load(const Layer& layer, const LayerUse& use) = 0;
    virtual void do_gather(const Samples& samples, const BatchChoice& choice, Activations x, std::int32_t* labels,
                           const StepScalars* step) = 0;
    virtual void do_forward(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y) = 0;
    virtual void do_dropout(Activations values, float rate, std::uint64_t seed, std::uint32_t layer,
                            const StepScalars* step) = 0;
    virtual void do_loss(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                         const float* class_weights, const float* targets) = 0;
    virtual void do_backward(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
                             Activations dx, const StepScalars* step) = 0;
    /// The same with a dropout rate above 0. A backend that does not keep the mask draws it twice.
    virtual void do_forward_dropout(const DeviceLayer& layer, ConstActivations x, Activations saved, Activations y,
                                    const Dropout& dropout) {
        do_forward(layer, x, saved, y);
        do_dropout(y, dropout.rate, dropout.seed, dropout.layer, dropout.step);
    }
    virtual void do_backward_dropout(DeviceLayer& layer, ConstActivations x, ConstActivations saved, Activations dy,
                                     Activations dx, const StepScalars* step, const Dropout& dropout) {
        do_dropout(dy, dropout.rate, dropout.seed, dropout.layer, dropout.step);
        do_backward(layer, x, saved, dy, dx, step);
    }
    virtual void do_differentiate(const DeviceLayer& layer, ConstActivations saved, Activations dy,
                                  Activations dx) = 0;
    virtual void do_transposed(const DeviceLayer& layer, const DeviceLayer& offsets, ConstActivations y,
                               Activations x) = 0;
    virtual void do_sample(const UnitDraw& draw, ConstActivations values, Activations means, Activations states,
                           const StepScalars* step) = 0;
    virtual void do_score_reconstruction(ConstActivations probabilities, ConstActivations data) = 0;
    virtual Pruned do_prune(DeviceLayer& layer, const Pruning& pruning) = 0;
    virtual Pruned do_prune_ends(DeviceLayer& layer, const DeadEnds& dead, Degrees& left) = 0;
    /// regrow(), and with null remove(): the pruned edges go and nothing takes their place.
    virtual std::uint32_t do_replace(DeviceLayer& layer, const Regrowth* regrowth) = 0;
    [[nodiscard]] virtual Degrees do_degrees(const DeviceLayer& layer) = 0;
};

/// `size` Ts in a backend's memory: uninitialised, move-only, released with the buffer. No element access: upload and
/// download, which wait.
template <class T>
class Buffer {
public:
    Buffer() = default;
    Buffer(Backend& backend, std::size_t size)
        : backend_(&backend), data_(static_cast<T*>(backend.allocate(size * sizeof(T)))), size_(size) {}
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        Buffer moved(std::move(other));
        swap(moved);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (data_ != nullptr) backend_->release(data_);
    }

    /// What is at `from`, to be read only (Backend::keep).
    static Buffer kept(Backend& backend, const T* from, std::size_t size) {
        Buffer buffer;
        buffer.backend_ = &backend;
        buffer.data_ = static_cast<T*>(backend.keep(from, size * sizeof(T)));
        buffer.size_ = size;
        return buffer;
    }

    [[nodiscard]] T* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    /// From and to size() elements of host memory.
    void upload(const T* from) { backend_->upload(data_, from, size_ * sizeof(T)); }
    void download(T* to) const { backend_->download(to, data_, size_ * sizeof(T)); }
    /// The memory, which is the caller's to release from now on.
    [[nodiscard]] T* let_go() { return std::exchange(data_, nullptr); }

private:
    void swap(Buffer& other) noexcept {
        std::swap(backend_, other.backend_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    Backend* backend_ = nullptr;
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

inline void* Backend::keep(const void* from, std::size_t bytes) {
    Buffer<std::byte> memory(*this, bytes);
    memory.upload(static_cast<const std::byte*>(from));
    return memory.let_go();
}

}  // namespace espalier
