// Everything a run depends on, one plain struct. Options fill it, the recorder prints it first, network files store it
// as text. Nothing reads a flag elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/activation.hpp"
#include "espalier/evolution_rules.hpp"
#include "espalier/index.hpp"
#include "espalier/initialization.hpp"
#include "espalier/loss.hpp"
#include "espalier/optimizer.hpp"
#include "espalier/schedule.hpp"
#include "espalier/spmm.hpp"

namespace espalier {

/// How edges are shared out between the sparse layers.
enum class Density { epsilon, sparsity, erk, by_layer };

/// Which edges compete when the schedule of edges kept asks for fewer: those of a layer, or those of all sparse layers.
enum class PruneScope { layer, network };

/// By what the edges that an evolution pruned are shared out between the layers: each layer grows its own again, or in
/// proportion to the mean magnitude of its edges' optimizer memory or weights, or to the edges it kept.
enum class Redistribution { none, momentum, magnitude, survivors };

constexpr double default_room = 1.5;

/// What happens to the sparse layers after the last epoch: evolve as after any other, leave the pruned edges at 0
/// (as the SparseNet notebooks), remove them (as the SET programs), or nothing.
enum class LastEpoch { evolve, zero, remove, keep };

/// Whose optimizer memory an evolution sets to 0: that of new edges, nobody's, or everybody's.
enum class ResetState { new_edges, none, all };

/// What evolves: SET, a fixed random topology, or no sparsity at all (the two controls).
enum class TopologyKind { set, fixed, dense };

/// Whether the CUDA backend captures a slice of steps as a graph and replays it. The bits are the same.
enum class GraphUse { on, off };

/// What an epoch's training loss is the mean of: its samples' losses, or, as in the published programs, its batches'
/// mean losses, among which a smaller last batch counts like a whole one.
enum class TrainLossMean { samples, batches };

/// No GPU in particular: the first, and of a study's runs each the one that is free.
inline constexpr int any_device = -1;
/// Where dropout makes up for what it drops: while training (inverted dropout: kept outputs are divided by their share),
/// or, as SET's programs, at the test, where every layer's preactivations but the first's are multiplied by that share.
enum class DropoutScale { training, test };

/// Whether the outputs that dropout drops pass a gradient on; in SET's programs they do.
enum class DropoutGradient { masked, unmasked };

/// Which samples are taken where not all are: the first, or those that SET's programs take, the first after NumPy's
/// legacy generator, seeded with 0, has shuffled the training samples and then the test samples.
enum class SampleChoice { first, numpy };

/// What an epoch's training loss and accuracy are of: its steps, or a pass over the training samples after it, without
/// dropout and before an evolution.
enum class TrainFigures { running, after };

/// What is trained: a classifier, or a restricted Boltzmann machine (two widths: visible and hidden units).
enum class ModelKind { mlp, rbm };

/// What is made alike before training: each column of measurements, each channel of an image, or nothing; automatic:
/// the columns of tables and the channels of images.
enum class Standardize { automatic, columns, channels, none };

/// What `init_from` says for the visible biases of an RBM that begin with the training data.
constexpr const char* init_from_data = "data";

/// A run as its options say it. Defaults are those of the options; validate() of the driver says what does not go
/// together.
struct Experiment {
    // what
    std::string recipe;
    std::string dataset = "mnist";
    std::string data_dir;
    std::vector<Index> layers = {784, 512, 128, 10};  // widths, inputs first, outputs last
    // topology
    TopologyKind topology = TopologyKind::set;
    Density density = Density::epsilon;
    double epsilon = 11;
    double sparsity = 0.9;     // used by Density::sparsity (each layer) and Density::erk (overall)
    std::vector<double> layer_density;  // used by Density::by_layer: share of cells with an edge, 1 is dense
    bool dense_output = true;  // the last layer is dense and does not evolve
    BirthLaw birth_law = ExactCount{};
    // evolution
    PruneRule prune = PruneBySign{};
    PruneScope prune_scope = PruneScope::layer;
    bool percolate = false;  // edges that no path from inputs to outputs passes go with the pruned ones
    GrowRule grow = GrowRandom{};
    Redistribution redistribute = Redistribution::none;
    double room = default_room;  // with redistribute: how many times its edges at birth a layer may come to have
    Schedule zeta = Constant{0.3, 0};
    Schedule edges_kept = Constant{1, 0};  // share of the edges asked for at birth; falling: sparsity rises
    Cadence cadence = EveryEpoch{};
    bool zero_before_test = true;  // pruned edges rest at 0 during the test pass and are replaced after it
    LastEpoch last_epoch = LastEpoch::zero;
    ResetState reset_state = ResetState::new_edges;
    // weights
    WeightLaw initial_weights = HeNormal{};  // sparse layers, weights and biases
    WeightLaw dense_weights = UniformWeights{};
    WeightLaw initial_bias = HeNormal{};  // of sparse layers
    std::string new_weights = "initial";  // "initial" or a weight law
    // network
    Activation activation = Relu{};
    Loss loss = SoftmaxNll{};
    double dropout = 0;
    DropoutScale dropout_scale = DropoutScale::training;
    DropoutGradient dropout_gradient = DropoutGradient::masked;
    ModelKind model = ModelKind::mlp;
    std::uint32_t cd_steps = 1;  // of contrastive divergence: Gibbs steps per update
    bool persistent = false;     // whether the Gibbs chains go on from update to update
    bool sample_data = false;    // whether training data are drawn, pixel by pixel, with their values as probabilities
    // training
    Optimizer optimizer = Momentum{0.5F};
    std::string decay_form = "default";  // "default": what the optimizer uses
    Schedule learning_rate = Constant{0.01, 0};
    Schedule weight_decay = Constant{0, 0};
    Schedule l1 = Constant{0, 0};     // decay by the weight's sign
    std::vector<double> layer_decay;  // factor on both decays per layer; empty: 1 everywhere
    Index batch = 128;
    std::uint32_t epochs = 20;
    TrainLossMean train_loss_mean = TrainLossMean::samples;
    TrainFigures train_figures = TrainFigures::running;
    std::uint32_t patience = 0;  // epochs without a lower monitored loss after which a run ends; 0: any number
    std::string class_weights;   // "balanced", or a file of weights; empty: all classes count alike
    std::string validation;      // share of the training samples to hold out, or a file of others; empty: none
    std::uint64_t seed = 1;
    std::uint32_t train_samples = 0;  // 0: all
    std::uint32_t test_samples = 0;
    SampleChoice sample_choice = SampleChoice::first;
    double split = 0;  // share of a data set without test samples that becomes them
    std::string targets;  // which columns are real-valued targets, for SquaredError; empty: labels are classes
    Standardize standardize = Standardize::automatic;
    std::string init_from;        // a network file or run folder to start from, "recipe:NAME": the network that recipe
                                  // ends with, or init_from_data
    bool reset_optimizer = true;  // with init_from: start with fresh optimizer memory
    // machine
    std::string backend = "auto";
    int threads = 0;                 // 0: all cores
    int device = any_device;         // which GPU, as CUDA counts them
    std::uint32_t record_every = 1;  // epochs between two records of topology and weights
    GraphUse graph = GraphUse::on;
    Spmm spmm = Spmm::automatic;
};

/// True for the layers (from 0) that the experiment makes sparse.
bool is_sparse_layer(const Experiment& experiment, std::size_t layer);

}  // namespace espalier
