#include <ATen/ATen.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <sstream>

#include "trainer/generate/generate.h"
#include "trainer/hf_folder.h"

// New tokens a second of batched generation, prompts of 32 random tokens, 64 new ones, median of three:
//   bench_generate MODEL [fp32|bf16] [1,8,32]
// Prints `greedy_b<batch> tokens/s` and `sampled_b<batch> tokens/s` (temperature 0.8, top-p 0.95, top-k 50).
namespace lathe {
namespace {

constexpr int64_t kPrompt = 32, kNew = 64;

double tokens_per_second(Model& model, int64_t batch, bool sampled) {
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < batch; ++i) {
    const at::Tensor ids = at::randint(10, model.config().vocab_size - 10, {kPrompt}, at::kLong);
    GenerateRequest request{.prompt = {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + kPrompt}};
    request.options.max_new_tokens = kNew;
    request.options.seed = static_cast<uint64_t>(i);
    if (sampled) {
      request.options.temperature = 0.8;
      request.options.top_k = 50;
      request.options.top_p = 0.95;
    }
    requests.push_back(std::move(request));
  }
  std::vector<double> seconds;
  for (int i = 0; i < 4; ++i) {
    const auto start = std::chrono::steady_clock::now();
    generate(model, requests, {.max_batch = batch});
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin() + 1, seconds.end());  // the first one warms up
  return static_cast<double>(batch * kNew) / seconds[2];
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("usage: bench_generate MODEL [fp32|bf16] [1,8,32]"), 64;
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const bool bf16 = argc > 2 && std::string(argv[2]) == "bf16";
  const auto model = lathe::load_model(argv[1], bf16 ? at::kBFloat16 : at::kFloat, at::kCPU);
  std::istringstream batches(argc > 3 ? argv[3] : "1,8,32");
  for (std::string batch; std::getline(batches, batch, ',');) {
    for (const bool sampled : {false, true}) {
      std::printf("%s_b%s %.1f\n", sampled ? "sampled" : "greedy", batch.c_str(),
                  lathe::tokens_per_second(*model, std::stoll(batch), sampled));
      std::fflush(stdout);
    }
  }
}
