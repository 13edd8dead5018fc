#pragma once

#include <string>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "parallel/mesh.h"
#include "recipes/parts.h"
#include "recipes/recipe.h"
#include "recipes/trained_model.h"
#include "trainer/metrics.h"
#include "trainer/trainer.h"

// How every recipe's run begins and ends, whatever it trains on.
namespace lathe {

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
