#include <gtest/gtest.h>

#include <fstream>

#include "tests/run_program.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "tests/trainer/parity.h"
#include "trainer/hf_folder.h"
#include "trainer/lora.h"

// PEFT itself loads what is written here and computes the same logits.
namespace lathe {
namespace {

constexpr const char* kScript = R"(
import sys, torch
from transformers import AutoModelForCausalLM
from peft import PeftModel
from safetensors.torch import load_file
base, adapter, expected = sys.argv[1:4]
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(model, adapter).eval()
case = load_file(expected)
with torch.no_grad():
    logits = model(input_ids=case["tokens"][None]).logits[0]
print("largest difference", (logits - case["logits"]).abs().max().item())
sys.exit(0 if torch.allclose(logits, case["logits"], atol=2e-4, rtol=0) else 1)
)";

TEST(Peft, LoadsWhatIsWrittenHere) {
  if (!have_shared("fixtures/models/llama")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  if (!python_has("peft, transformers")) GTEST_SKIP() << "NOT RUN: no peft for " << test_python();
  const std::vector<LoraConfig> configs = {
      {.lora_r = 4},
      {.lora_r = 4, .use_rslora = true, .init_lora_weights = "pissa"},
      {.lora_r = 4, .use_dora = true, .lora_target_modules = {"q_proj", "down_proj"}},
      {.lora_r = 2, .rank_pattern = {{"q_proj", 3}}, .alpha_pattern = {{"mlp.up_proj", 5}}},
      {.lora_r = 2, .lora_target_modules = {R"(.*\.mlp\.(up|gate)_proj)"}},
      {.lora_r = 2, .modules_to_save = {"embed_tokens", "lm_head"}},
      {.lora_r = 2, .trainable_token_indices = {"3", "30"}}};
  const std::string base = folder_of("llama");
  for (size_t i = 0; i < configs.size(); ++i) {
    SCOPED_TRACE(i);
    const auto model = load_model(base, at::kFloat, at::kCPU);
    Lora lora(*model, configs[i], 1);
    const at::NoGradGuard no_grad;
    for (Parameter* p : lora.parameters()) {
      if (p->trained)
        p->value.add_(at::arange(p->value.numel(), at::kFloat).sin().view(p->value.sizes()) * 0.05);
    }
    const Batch batch = batch_of({{{1, 5, 3, 30, 9, 3, 77, 140}, {}}});
    const TempFolder out;
    lora.write(out / "adapter", base);
    write_safetensors(out / "case.safetensors",
                      std::vector<NamedTensor>{{"tokens", batch.tokens},
                                               {"logits", model->logits(model->hidden(batch))}});
    std::ofstream(out / "load.py") << kScript;
    const std::string command = test_python() + " " + (out / "load.py") + " " + base + " " +
                                (out / "adapter") + " " + (out / "case.safetensors");
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
}

}  // namespace
}  // namespace lathe
