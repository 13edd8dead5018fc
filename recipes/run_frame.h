#pragma once

#include <functional>
#include <memory>
#include <string>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "data/loader/loader.h"
#include "parallel/mesh.h"
#include "recipes/exact_match.h"
#include "recipes/parts.h"
#include "recipes/recipe.h"
#include "recipes/trained_model.h"
#include "trainer/metrics.h"
#include "trainer/trainer.h"

// How every recipe's run begins and ends, whatever it trains on.
namespace lathe {

// The tokenizer and both data sets, prepared where they are not yet. Throws what open_datasets throws.
struct RunData {
  RunData(const RunContext& run, Mesh& mesh, Metrics& metrics);
  std::string tokenizer_path;
  Tokenizer tokenizer;
  Datasets train, eval;
};

struct RunLoaders {
  Loader train;
  std::unique_ptr<Loader> eval;  // none without data.eval
};
// change: what a recipe wants otherwise than the config's options; null: nothing.
RunLoaders open_loaders(const RunConfig& config, const RunData& data, Mesh& mesh,
                        const std::function<LoaderOptions(LoaderOptions)>& change = {});

// Trains to the end, with the averaged weights at it if the optimizer keeps them. ask: questions asked before and after
// and told; null: none. False when told to stop.
bool train_to_end(Trainer& trainer, Optimizer& optimizer, Sharding& sharding, Metrics& metrics,
                  const std::function<ExactMatch()>& ask = {});

// run.json, by rank 0.
void record_run(const RunContext& run, const std::string& tokenizer_folder, const Tokenizer& tokenizer,
                const Datasets& train, Mesh& mesh);

// chat_template.jinja in the run's folder, by rank 0, where conversations are written with another
// template than the tokenizer's own: who loads the model shall ask it the way it was trained.
void record_chat_template(const RunConfig& config, const ChatFormat& format, const Datasets& train, Mesh& mesh);

// What the config says to the Trainer, and how fast matrix products are here (collective). `run` must outlive it.
Trainer::Options trainer_options(const RunContext& run, Model& model, Mesh& mesh);

// Rank 0 saves the result and draws the run's report; every rank returns when that is done.
void finish_run(const RunConfig& config, TrainedModel& trained, const std::string& tokenizer_folder, Sharding& sharding,
                Mesh& mesh, Metrics& metrics);

}  // namespace lathe
