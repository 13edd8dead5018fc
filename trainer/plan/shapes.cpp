#include <algorithm>
#include <stdexcept>

#include "trainer/gemm_share.h"
#include "trainer/lora.h"
#include "trainer/models/linear_layer.h"
#include "trainer/plan/layout.h"

namespace lathe {
namespace {

// The first of so many ranks, of which the others are not there: enough to cut a model by.
class PaperGroup final : public Group {
 public:
  explicit PaperGroup(int size) : size_(size) {}
  int rank() const override { return 0; }
  int size() const override { return size_; }
  at::Device device() const override { return at::kCPU; }
  void all_reduce(at::Tensor&, Reduce) override { fail(); }
  void reduce_scatter(const at::Tensor&, at::Tensor&) override { fail(); }
  void all_gather(const at::Tensor&, at::Tensor&) override { fail(); }
  void broadcast(at::Tensor&, int) override { fail(); }
  void barrier() override { fail(); }
  std::unique_ptr<Group> split(int) override { fail(); }

 private:
  [[noreturn]] static void fail() { throw std::logic_error("a rank on paper has no peers"); }
  int size_;
};

ModelShapes::Unit count(const std::vector<Parameter*>& parameters) {
  ModelShapes::Unit unit;
  for (const Parameter* parameter : parameters) {
    unit.weights += parameter->value.numel();
    if (parameter->trained) unit.trained += parameter->value.numel();
  }
  return unit;
}

// Adapters begin with a look at the weights in some kinds; their shapes do not depend on it.
LoraConfig without_values(LoraConfig config) {
  config.init_lora_weights = "true";
  config.use_dora = false;
  return config;
}

bool any_name_ends(Model& model, std::initializer_list<const char*> ends) {
  return std::ranges::any_of(model.parameters(), [&](const Parameter* parameter) {
    return std::ranges::any_of(ends, [&](const char* end) { return parameter->name.ends_with(end); });
  });
}

}  // namespace

ModelShapes measure_shapes(const PlannedRun& run, int64_t tp) {
  PaperGroup group(static_cast<int>(tp));
  const ModelConfig& c = run.model;
  const std::unique_ptr<Model> model =
      make_model(c, run.dtype, at::kCPU, tp > 1 ? TensorParallel(group, true) : TensorParallel());
  std::vector<Parameter*> parameters = model->parameters();
  ModelShapes shapes;
  for (const Parameter* parameter : parameters) shapes.parameters += parameter->whole_numel();
  std::vector<Lora> lora;
  if (run.lora.empty()) {
    freeze_parameters(*model, run.freeze);
  } else {
    lora.emplace_back(*model, without_values(run.lora[0]), 0);
    parameters = lora[0].parameters();
  }
  const ModelShapes::Unit all = count(parameters);
  shapes.weights = all.weights;
  shapes.trained = all.trained;
  for (const Parameter* parameter : parameters) {
    if (parameter->value.dim() == 2) shapes.widest_matrix = std::max(shapes.widest_matrix, parameter->value.numel());
  }
  const std::vector<std::vector<Parameter*>> units = model->units();
  shapes.first = count(units.front());
  shapes.last = count(units.back());
  for (size_t i = 1; i + 1 < units.size(); ++i) {
    const ModelShapes::Unit unit = count(units[i]);
    if (unit.weights > shapes.block.weights) shapes.block = unit;
  }
  shapes.tied = c.tie_word_embeddings;
  shapes.hidden = c.hidden_size;
  shapes.queries = c.num_attention_heads * c.head_dim / tp;
  shapes.keys = std::max<int64_t>(1, c.num_key_value_heads / tp) * c.head_dim;
  shapes.heads = c.num_attention_heads / tp;
  shapes.inner = (c.num_experts > 0 ? c.moe_intermediate_size : c.intermediate_size) / tp;
  shapes.vocabulary = c.vocab_size / tp;
  shapes.layers = c.num_hidden_layers;
  shapes.experts_per_token = c.num_experts > 0 ? c.num_experts_per_tok : 0;
  shapes.fused_qkv = any_name_ends(*model, {"qkv_proj.weight", "c_attn.weight"});
  shapes.gated = !any_name_ends(*model, {"c_fc.weight"});
  shapes.qk_norm = any_name_ends(*model, {"q_norm.weight"});
  shapes.norms_after = any_name_ends(*model, {"post_feedforward_layernorm.weight"});
  shapes.flops_per_token = flops_per_token(*model);
  return shapes;
}

}  // namespace lathe
