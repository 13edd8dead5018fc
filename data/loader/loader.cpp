#include "data/loader/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "data/loader/order.h"
#include "data/loader/prefetch.h"
#include "data/loader/rows.h"

namespace lathe {
namespace {

struct Step {
  std::vector<Batch> batches;
  LoaderState after;
};

void check_options(const LoaderOptions& options) {
  const auto check = [](const char* name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw std::invalid_argument(
        fmt::format("loader: {} is {}, expected at least {}", name, value, least));
  };
  check("max_length", options.max_length, 1);
  check("rows_per_micro_batch", options.rows_per_micro_batch, 1);
  check("micro_batches", options.micro_batches, 1);
  check("size", options.size, 1);
  check("rank", options.rank, 0);
  check("prefetch", options.prefetch, 0);
  if (options.curriculum.weights.size() != options.curriculum.starts.size()) {
    throw std::invalid_argument(fmt::format("stages: {} begin, but {} have weights",
                                            options.curriculum.starts.size(),
                                            options.curriculum.weights.size()));
  }
  if (options.order != DocumentOrder::kNone && options.preferences())
    throw std::invalid_argument("loader: preferences can not be ordered");
  if (options.rank >= options.size) {
    throw std::invalid_argument(
        fmt::format("loader: rank {} of {} ranks", options.rank, options.size));
  }
}

// Which rows of which epoch make which batch: a pure function of a state.
class Steps {
 public:
  Steps(std::vector<std::shared_ptr<const Dataset>> datasets, const std::vector<double>& weights,
        LoaderOptions options)
      : options_(std::move(options)) {
    const Curriculum& curriculum = options_.curriculum;
    stages_.push_back(
        {Rows(datasets, curriculum.weights.empty() ? weights : curriculum.weights[0], options_)});
    add_stages(datasets);
    if (is_staged()) {
      for (const Stage& stage : stages_) {
        for (const int64_t value : {stage.first_step, stage.rows.count(), rows_per_step()})
          key_ = mix_bits(key_ ^ static_cast<uint64_t>(value));
      }
      key_ |= 1;
    }
    if (options_.order == DocumentOrder::kNone) return;
    for (const Stage& stage : stages_) key_ = mix_bits(key_ ^ stage.rows.order_hash());
    key_ |= 1;
  }

  struct Stage {
    Rows rows;
    int64_t first_step = 0, first_epoch = 0;
  };
  const std::vector<Stage>& stages() const { return stages_; }
  bool is_staged() const { return !options_.curriculum.starts.empty(); }
  uint64_t key() const { return key_; }
  int64_t rows_per_step() const {
    return options_.rows_per_micro_batch * options_.micro_batches * options_.size;
  }
  int64_t steps_per_epoch(const Stage& stage) const {
    return (stage.rows.count() + rows_per_step() - 1) / rows_per_step();
  }
  const Stage& stage_of(int64_t epoch) const {
    size_t s = stages_.size() - 1;
    while (stages_[s].first_epoch > epoch) --s;
    return stages_[s];
  }
  // Whether a stage has no step at a position that its rows have.
  bool is_over(const Stage& stage, const LoaderState& state) const {
    if (&stage == &stages_.back()) return false;
    const int64_t step = stage.first_step +
                         (state.epoch - stage.first_epoch) * steps_per_epoch(stage) +
                         (state.row + rows_per_step() - 1) / rows_per_step();
    return step >= (&stage + 1)->first_step;
  }

  Step make(LoaderState state) const {
    const Stage& stage = stage_of(state.epoch);
    const Rows& rows = stage.rows;
    const int64_t end = std::min(rows.count(), state.row + rows_per_step());
    const Permutation permutation(rows.count(), options_.seed, state.epoch);
    Step step;
    for (int64_t m = 0; m < options_.micro_batches; ++m) {
      const int64_t micro_batch = options_.rank * options_.micro_batches + m;
      const int64_t first = std::min(end, state.row + micro_batch * options_.rows_per_micro_batch);
      const int64_t last = std::min(end, first + options_.rows_per_micro_batch);
      step.batches.push_back(make_rows(rows, permutation, first, last));
      if (options_.mismatched)
        step.batches.back().mismatched = {
            make_mismatched(rows, permutation, state.row, end, first, last)};
    }
    step.after = {state.epoch, end, key_};
    if (is_over(stage, step.after))
      step.after = {(&stage + 1)->first_epoch, 0, key_};
    else if (end == rows.count())
      step.after = {state.epoch + 1, 0, key_};
    return step;
  }

 private:
  void add_stages(const std::vector<std::shared_ptr<const Dataset>>& datasets) {
    if (!is_staged()) return;
    const Curriculum& curriculum = options_.curriculum;
    const std::vector<int64_t> firsts = first_steps(curriculum, steps_per_epoch(stages_[0]));
    for (size_t s = 1; s < firsts.size(); ++s) {
      const Stage& before = stages_.back();
      const int64_t steps = steps_per_epoch(before);
      if (steps == 0) break;
      const int64_t epochs = (firsts[s] - before.first_step + steps - 1) / steps;
      stages_.push_back({Rows(datasets, curriculum.weights[s], options_), firsts[s],
                         before.first_epoch + epochs});
    }
  }

  int64_t row_at(const Permutation& permutation, int64_t k) const {
    const bool shuffled = options_.shuffle && options_.order == DocumentOrder::kNone;
    return shuffled ? static_cast<int64_t>(permutation(k)) : k;
  }

  Batch make_rows(const Rows& rows, const Permutation& permutation, int64_t first,
                  int64_t last) const {
    std::vector<int64_t> tokens, lengths;
    std::vector<uint8_t> mask;
    Preferences preferences;
    std::vector<Origin> origins;
    for (int64_t k = first; k < last; ++k) {
      const int64_t row = row_at(permutation, k);
      rows.read(row, tokens, mask, lengths);
      rows.origins(row, origins);
      if (options_.preferences()) preferences.items.push_back(rows.item(row));
      if (!options_.label.empty()) preferences.labels.push_back(rows.label(row));
    }
    Batch batch = batch_of(tokens, mask, lengths, options_.columns.size() > 1);
    if (options_.preferences()) batch.num_targets = std::ssize(preferences.items);
    batch.preferences = std::move(preferences);
    batch.origins = std::move(origins);
    return batch;
  }

  // Rows [first, last) of the step [begin, end), each prompt with the answer of the row before.
  Batch make_mismatched(const Rows& rows, const Permutation& permutation, int64_t begin,
                        int64_t end, int64_t first, int64_t last) const {
    std::vector<int64_t> tokens, lengths;
    std::vector<uint8_t> mask;
    for (int64_t k = first; k < last; ++k) {
      std::vector<int64_t> prompt, answer, unused;
      std::vector<uint8_t> prompt_mask, answer_mask;
      rows.read(row_at(permutation, k), prompt, prompt_mask, unused);
      rows.read(row_at(permutation, k == begin ? end - 1 : k - 1), answer, answer_mask, unused);
      prompt.resize(std::find(prompt_mask.begin(), prompt_mask.end(), 1) - prompt_mask.begin());
      const auto from = std::find(answer_mask.begin(), answer_mask.end(), 1) - answer_mask.begin();
      prompt.insert(prompt.end(), answer.begin() + from, answer.end());
      prompt_mask.resize(prompt.size() - (answer.size() - from));
      prompt_mask.insert(prompt_mask.end(), answer_mask.begin() + from, answer_mask.end());
      const auto length = std::min(std::ssize(prompt), options_.max_length);
      tokens.insert(tokens.end(), prompt.begin(), prompt.begin() + length);
      mask.insert(mask.end(), prompt_mask.begin(), prompt_mask.begin() + length);
      lengths.push_back(length);
    }
    return batch_of(tokens, mask, lengths, false);
  }

  static Batch batch_of(const std::vector<int64_t>& tokens, const std::vector<uint8_t>& mask,
                        const std::vector<int64_t>& lengths, bool pairs) {
    std::vector<DocumentView> documents;
    int64_t at = 0;
    for (const int64_t length : lengths) {
      documents.push_back({tokens.data() + at, mask.data() + at, length});
      at += length;
    }
    for (size_t d = 1; pairs && d < documents.size(); d += 2)
      documents[d].shared = shared_beginning(documents[d - 1], documents[d]);
    return make_batch(documents);
  }

  LoaderOptions options_;
  std::vector<Stage> stages_;
  uint64_t key_ = 0;
};

}  // namespace

struct Loader::Parts {
  Steps steps;
  int ahead;
  LoaderState state;
  double waited = 0;
  std::unique_ptr<Prefetch<Step>> prefetch;

  void start() {
    prefetch.reset();
    if (ahead == 0) return;
    prefetch = std::make_unique<Prefetch<Step>>(ahead, [this, at = state]() mutable {
      Step step = steps.make(at);
      at = step.after;
      return step;
    });
  }

  Step next() { return prefetch ? prefetch->next() : steps.make(state); }
};

Loader::Loader(std::vector<std::shared_ptr<const Dataset>> datasets, std::vector<double> weights,
               LoaderOptions options) {
  check_options(options);
  if (weights.empty()) weights.assign(datasets.size(), 1.0);
  const int ahead = options.prefetch;
  parts_.reset(
      new Parts{Steps(std::move(datasets), weights, std::move(options)), ahead, {}, 0, nullptr});
  for (const auto& stage : parts_->steps.stages()) {
    if (stage.rows.count() > 0) continue;
    throw std::invalid_argument(fmt::format(
        "loader: the data sets hold no row{}: they are empty or have weight 0",
        !parts_->steps.is_staged() ? "" : fmt::format(" from step {} on", stage.first_step)));
  }
  parts_->state.stages = parts_->steps.key();
  parts_->start();
}

Loader::~Loader() = default;

std::vector<Batch> Loader::next() {
  const auto start = std::chrono::steady_clock::now();
  Step step = parts_->next();
  if (parts_->prefetch) {
    parts_->waited +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  parts_->state = step.after;
  return std::move(step.batches);
}

int64_t Loader::rows_per_epoch() const { return parts_->steps.stages()[0].rows.count(); }

int64_t Loader::steps_per_epoch() const {
  return parts_->steps.steps_per_epoch(parts_->steps.stages()[0]);
}

std::vector<LoaderStage> Loader::stages() const {
  std::vector<LoaderStage> stages;
  if (!parts_->steps.is_staged()) return stages;
  for (const auto& stage : parts_->steps.stages())
    stages.push_back(
        {stage.first_step, stage.first_epoch, stage.rows.count(), stage.rows.documents()});
  return stages;
}

PackingReport Loader::report() const {
  const Rows& rows = parts_->steps.stages()[0].rows;
  PackingReport report{
      .documents = rows.documents(), .targets = rows.count_targets(), .rows = rows.count()};
  for (const Piece& piece : rows.plan().pieces) report.tokens += piece.length;
  report.waste =
      1 - static_cast<double>(report.tokens) / static_cast<double>(report.rows * rows.max_length());
  return report;
}

LoaderState Loader::state() const { return parts_->state; }

void Loader::seek(LoaderState state) {
  const Steps& steps = parts_->steps;
  const bool at_start = state.epoch == 0 && state.row == 0;
  if (!at_start && state.stages != steps.key()) {
    throw std::invalid_argument(
        "loader: the position is of other stages or another order: the curriculum, the data or their "
        "order, or the rows of a step (ranks x micro-batches x rows) under stages are not what the "
        "state was saved with");
  }
  const auto& stage = steps.stage_of(std::max<int64_t>(state.epoch, 0));
  const int64_t rows = stage.rows.count();
  if (state.epoch < 0 || state.row < 0 || state.row > rows || steps.is_over(stage, state)) {
    throw std::invalid_argument(
        fmt::format("loader: can not go to row {} of epoch {}: an epoch has {} rows; the data or "
                    "the packing is not what the state was saved with",
                    state.row, state.epoch, rows));
  }
  parts_->prefetch.reset();
  state.stages = steps.key();
  parts_->state = state.row == rows ? LoaderState{state.epoch + 1, 0, state.stages} : state;
  parts_->start();
}

double Loader::take_wait_seconds() { return std::exchange(parts_->waited, 0.0); }

}  // namespace lathe
