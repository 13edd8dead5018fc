#include "trainer/scored_model.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "parallel/unit_gate.h"
#include "trainer/hf_folder.h"
#include "trainer/kernels/linear.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

constexpr const char* kScore = "score.weight";

[[noreturn]] void no_head() {
  throw std::logic_error("a model that scores texts has no vocabulary head");
}

// The head is the embedding, so that none of its own is made.
ModelConfig headless(ModelConfig config) {
  config.tie_word_embeddings = true;
  return config;
}

std::string architecture_of(const std::string& causal, const std::string& model_type) {
  if (model_type == "gpt2") return "GPT2ForSequenceClassification";
  if (model_type == "gemma3_text") return "Gemma3TextForSequenceClassification";
  const size_t suffix = causal.find("ForCausalLM");
  return suffix == std::string::npos ? causal
                                     : causal.substr(0, suffix) + "ForSequenceClassification";
}

}  // namespace

ModelConfig scored_config(ModelConfig config) {
  using Json = nlohmann::ordered_json;
  const Json whole = Json::parse(dump_model_config(config));
  Json source = config.source.empty() ? Json::object() : Json::parse(config.source);
  const std::string causal = whole.at("architectures").at(0).get<std::string>();
  source["architectures"] = {architecture_of(causal, config.model_type)};
  source["id2label"] = {{"0", "LABEL_0"}};
  source["label2id"] = {{"LABEL_0", 0}};
  config.source = source.dump();
  // The reference needs one to score several texts at once.
  if (config.pad_token_id < 0 && !config.eos_token_id.empty())
    config.pad_token_id = config.eos_token_id[0];
  return config;
}

ScoredModel::ScoredModel(std::unique_ptr<Model> body, const ModelConfig& config, uint64_t seed)
    : body_(std::move(body)), config_(scored_config(config)) {
  const at::TensorOptions options =
      body_->parameters().front()->value.options().requires_grad(false);
  const int64_t width = config_.hidden_size;
  std::vector<float> drawn;
  for (int64_t i = 0; i < width; ++i) {
    const auto four = normals_from(philox(seed, static_cast<uint64_t>(i) / 4, hash_name(kScore)));
    drawn.push_back(
        static_cast<float>(four[static_cast<size_t>(i % 4)] * config_.initializer_range));
  }
  score_ = {
      .name = kScore,
      .value = at::tensor(drawn, at::kFloat).view({1, width}).to(options).set_requires_grad(true),
      .grad = {},
      .cut = body_->tensor_parallel().copy({1, width})};
}

std::unique_ptr<ScoredModel> ScoredModel::load(const std::string& folder, at::ScalarType dtype,
                                               at::Device device, uint64_t seed,
                                               const TensorParallel& tp) {
  const ModelConfig config = read_model_config(folder);
  auto scored =
      std::make_unique<ScoredModel>(make_model(headless(config), dtype, device, tp), config, seed);
  // What the seed gave stays where the folder has no score.
  load_weights(*scored, folder, {kScore, "lm_head.weight"});
  return scored;
}

std::vector<std::vector<Parameter*>> ScoredModel::units() {
  std::vector<std::vector<Parameter*>> units = body_->units();
  units.push_back({&score_});
  return units;
}

void ScoredModel::set_sharding(Sharding* sharding) {
  sharding_ = sharding;
  body_->set_sharding(sharding);
}

std::vector<Parameter*> ScoredModel::parameters() {
  std::vector<Parameter*> all = body_->parameters();
  all.push_back(&score_);
  return all;
}

at::Tensor ScoredModel::scores(const Batch& batch) {
  const at::Tensor hidden_TH = body_->hidden(batch);
  const at::Tensor last_D =
      (at::tensor(batch.cu_seqlens, at::kLong).slice(0, 1) - 1).to(hidden_TH.device());
  // Every rank of tp has the whole gradient of the score, where a summand is expected.
  const at::Tensor hidden_DH =
      body_->tensor_parallel().same_everywhere(hidden_TH.index_select(0, last_D));
  const int unit = sharding_ == nullptr ? 0 : sharding_->num_units() - 1;
  const at::Tensor read_DH = into_unit(sharding_, unit, {hidden_DH})[0];
  const at::Tensor scores_D1 = linear(read_DH, {.weight = &score_});
  return out_of_unit(sharding_, unit, {scores_D1})[0].squeeze(1).to(at::kFloat);
}

at::Tensor ScoredModel::log_probs(const at::Tensor&, const at::Tensor&) { no_head(); }
TokenStatistics ScoredModel::token_statistics(const at::Tensor&, const at::Tensor&) { no_head(); }
at::Tensor ScoredModel::logit_losses(const at::Tensor&, const LogitLoss&) { no_head(); }
at::Tensor ScoredModel::logits(const at::Tensor&) { no_head(); }
void ScoredModel::keep_head(bool) { no_head(); }

}  // namespace lathe
