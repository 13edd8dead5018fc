#include <ATen/Parallel.h>
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>

#include "tests/bench/plain_llama.h"
#include "trainer/kernels/product.h"
#include "trainer/model.h"
#include "trainer/objective/objective.h"

// Forward and backward of a llama on one micro-batch, beside the bare matrix products of the same
// step and beside the same model in plain ATen. The three take turns, so that a busy machine slows
// them alike; best and median are printed.
//   bench_model [15m|60m] [float32|bfloat16] [steps] [documents per row]
namespace lathe {
namespace {

ModelConfig config_of(const std::string& size) {
  ModelConfig c;
  c.model_type = "llama";
  c.vocab_size = 32000;
  c.hidden_size = size == "15m" ? 288 : 512;
  c.intermediate_size = size == "15m" ? 768 : 1408;
  c.num_hidden_layers = size == "15m" ? 6 : 8;
  c.num_attention_heads = c.num_key_value_heads = size == "15m" ? 6 : 8;
  c.head_dim = c.hidden_size / c.num_attention_heads;
  c.tie_word_embeddings = size == "15m";
  return c;
}

Batch random_batch(int64_t rows, int64_t row_length, int64_t documents_per_row,
                   int64_t vocabulary) {
  const int64_t documents = rows * documents_per_row, length = row_length / documents_per_row;
  Batch batch;
  const int64_t T = documents * length;
  batch.tokens = at::randint(vocabulary, {T}, at::kLong);
  batch.targets = at::cat({batch.tokens.slice(0, 1), batch.tokens.slice(0, 0, 1)});
  batch.positions = at::arange(length).repeat({documents});
  batch.targets.masked_fill_(batch.positions == length - 1, kIgnore);
  batch.weights = (batch.targets != kIgnore).to(at::kFloat);
  batch.num_targets = T - documents;
  for (int64_t d = 0; d <= documents; ++d) batch.cu_seqlens.push_back(d * length);
  return batch;
}

// Every product of the step and nothing else.
void products_only(Model& model, int64_t T, at::ScalarType type,
                   std::map<int64_t, at::Tensor>& inputs) {
  const at::NoGradGuard no_grad;
  for (Parameter* p : model.parameters()) {
    const bool is_table =
        p->name == "model.embed_tokens.weight" && !model.config().tie_word_embeddings;
    if (p->value.dim() < 2 || is_table) continue;
    for (const int64_t width : {p->value.size(0), p->value.size(1)}) {
      if (inputs.count(width) == 0) inputs[width] = at::randn({T, width}).to(type);
    }
    const int64_t chunk = p->value.size(0) == model.config().vocab_size ? 512 : T;
    for (int64_t begin = 0; begin < T; begin += chunk) {
      const at::Tensor x = inputs[p->value.size(1)].slice(0, begin, std::min(T, begin + chunk));
      const at::Tensor dy = inputs[p->value.size(0)].slice(0, begin, std::min(T, begin + chunk));
      product(x, p->value);
      product_back(dy, p->value);
      add_outer(p->grad, dy, x);
    }
  }
}

double now() {
  if (at::get_num_threads() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Times {
  std::vector<double> seconds;

  template <typename Work>
  void take(const Work& work) {
    const double begin = now();
    work();
    seconds.push_back(now() - begin);
  }
  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

void print(const char* what, const Times& times, double tokens, double flops) {
  std::printf("%-14s best %7.1f ms %8.0f tokens/s %6.1f GFLOP/s   median %7.1f ms %8.0f tokens/s\n",
              what, times.best() * 1e3, tokens / times.best(), flops / times.best() / 1e9,
              times.median() * 1e3, tokens / times.median());
}

void run(const std::string& size, at::ScalarType type, int steps, int64_t documents_per_row,
         bool own_only) {
  const ModelConfig config = config_of(size);
  const auto model = make_model(config, type, at::kCPU);
  initialize(*model, 1);
  int64_t count = 0;
  for (Parameter* p : model->parameters()) {
    p->grad = at::zeros(p->value.sizes(), at::kFloat);
    const bool is_table = p->name == "model.embed_tokens.weight" && !config.tie_word_embeddings;
    if (!is_table) count += p->value.numel();
  }
  const Batch batch = random_batch(4, 512, documents_per_row, config.vocab_size);
  PlainLlama plain(*model);
  std::map<int64_t, at::Tensor> inputs;
  Times own, bound, aten;
  for (int i = 0; i < steps + 1; ++i) {
    own.take([&] {
      const LossSum loss = cross_entropy(*model, batch);
      (loss.sum / static_cast<double>(loss.count)).backward();
    });
    if (own_only) continue;
    bound.take([&] { products_only(*model, batch.num_tokens(), type, inputs); });
    aten.take([&] { plain.step(batch); });
    if (i == 0) own.seconds.clear(), bound.seconds.clear(), aten.seconds.clear();
  }
  const auto tokens = static_cast<double>(batch.num_tokens()),
             flops = 6.0 * static_cast<double>(count) * tokens;
  std::printf("%s: %.1fM parameters in products, %s, %.0f tokens in %zu documents, %d threads\n",
              size.c_str(), static_cast<double>(count) / 1e6, c10::toString(type), tokens,
              batch.cu_seqlens.size() - 1, at::get_num_threads());
  print("lathe", own, tokens, flops);
  if (own_only) return;
  print("products only", bound, tokens, flops);
  print("plain ATen", aten, tokens, flops);
  std::printf("products/step %.2f (best) %.2f (median), ATen/lathe %.2f (best) %.2f (median)\n",
              bound.best() / own.best(), bound.median() / own.median(), aten.best() / own.best(),
              aten.median() / own.median());
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  // Keep freed memory: fresh pages cost more than the arithmetic on them.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  if (argc > 5) at::set_num_threads(std::atoi(argv[5]));
  const std::string size = argc > 1 ? argv[1] : "15m", type = argc > 2 ? argv[2] : "float32";
  lathe::run(size, type == "bfloat16" ? at::kBFloat16 : at::kFloat,
             argc > 3 ? std::atoi(argv[3]) : 10, argc > 4 ? std::atoi(argv[4]) : 1, argc > 6);
}
