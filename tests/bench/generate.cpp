#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <sstream>

#include "trainer/generate/generate.h"
#include "trainer/hf_folder.h"

// Generation, medians of three after one that warms up; by processor time on one thread, by the clock on more:
//   bench_generate MODEL [fp32|bf16] [1,8,32] [queue,samples]
// `greedy_b<batch>`, `sampled_b<batch>`: new tokens a second, prompts of 32 random tokens, 64 new ones (sampled: temperature 0.8, top-p 0.95,
// top-k 50). `queue`: the same of 256 requests of uneven length, 32 at a time, greedy, once. `samples_1`, `samples_8`: seconds for 64 new tokens of
// one or eight texts of a prompt of 512.
namespace lathe {
namespace {

// The numbers of tests/bench/generate_peers.py.
class Numbers {
 public:
  int64_t next(int64_t from, int64_t to) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return from + static_cast<int64_t>(state_ >> 33) % (to - from + 1);
  }
  std::vector<int64_t> prompt(int64_t length, int64_t vocabulary) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < length; ++i) ids.push_back(next(10, vocabulary - 10));
    return ids;
  }

 private:
  uint64_t state_ = 1;
};

double now() {
  if (at::get_num_threads() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_of(const std::function<void()>& work) {
  const double start = now();
  work();
  return now() - start;
}

double median(const std::function<void()>& work) {
  work();
  std::vector<double> seconds;
  for (int i = 0; i < 3; ++i) seconds.push_back(seconds_of(work));
  std::sort(seconds.begin(), seconds.end());
  return seconds[1];
}

void print(const std::string& name, double value) {
  std::printf("%s %.4g\n", name.c_str(), value);
  std::fflush(stdout);
}

void measure_batch(Model& model, int64_t batch, bool sampled) {
  Numbers numbers;
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < batch; ++i) {
    GenerateRequest request{.prompt = numbers.prompt(32, model.config().vocab_size)};
    request.options.max_new_tokens = 64;
    request.options.seed = static_cast<uint64_t>(i);
    if (sampled) {
      request.options.temperature = 0.8;
      request.options.top_k = 50;
      request.options.top_p = 0.95;
    }
    requests.push_back(std::move(request));
  }
  const double seconds = median([&] { generate(model, requests, {.max_batch = batch}); });
  print((sampled ? "sampled_b" : "greedy_b") + std::to_string(batch), static_cast<double>(batch * 64) / seconds);
}

void measure_queue(Model& model) {
  Numbers numbers;
  std::vector<GenerateRequest> requests;
  int64_t tokens = 0;
  for (int64_t i = 0; i < 256; ++i) {
    const int64_t length = numbers.next(16, 256);
    GenerateRequest request{.prompt = numbers.prompt(length, model.config().vocab_size)};
    tokens += request.options.max_new_tokens = numbers.next(8, 128);
    requests.push_back(std::move(request));
  }
  generate(model, {requests.begin(), requests.begin() + 4});
  print("queue", static_cast<double>(tokens) / seconds_of([&] { generate(model, requests, {.max_batch = 32}); }));
}

void measure_samples(Model& model) {
  for (const int64_t samples : {1, 8}) {
    GenerateRequest request{.prompt = Numbers().prompt(512, model.config().vocab_size), .samples = samples};
    request.options.max_new_tokens = 64;
    request.options.temperature = 1;
    request.options.top_k = 50;
    print("samples_" + std::to_string(samples), median([&] { generate(model, {request}); }));
  }
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("usage: bench_generate MODEL [fp32|bf16] [1,8,32] [queue,samples]"), 64;
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const bool bf16 = argc > 2 && std::string(argv[2]) == "bf16";
  const auto model = lathe::load_model(argv[1], bf16 ? at::kBFloat16 : at::kFloat, at::kCPU);
  std::istringstream batches(argc > 3 ? argv[3] : "1,8,32");
  for (std::string batch; std::getline(batches, batch, ',');) {
    for (const bool sampled : {false, true}) lathe::measure_batch(*model, std::stoll(batch), sampled);
  }
  const std::string more = argc > 4 ? argv[4] : "";
  if (more.find("queue") != std::string::npos) lathe::measure_queue(*model);
  if (more.find("samples") != std::string::npos) lathe::measure_samples(*model);
}
