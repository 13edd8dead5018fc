#include "trainer/config_aliases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/config_example.h"

namespace lathe {
namespace {

using namespace config_example;
using testing::ElementsAre;

TEST(ConfigAliases, AxolotlIsTranslatedAndAnnounced) {
  const Read r = read(
      "base_model: models/tiny\nsequence_len: 2048\nsample_packing: true\noptimizer: "
      "adamw_torch_fused\n"
      "bf16: auto\nval_set_size: 0.0\nadapter: lora\nlora_target_linear: true\n"
      "datasets:\n- path: a.jsonl\n  type: alpaca\n- path: b.jsonl\n");
  EXPECT_EQ(r.config.model_name_or_path, "models/tiny");
  EXPECT_EQ(r.config.data.max_length, 2048);
  EXPECT_EQ(r.config.data.packing, "true");
  EXPECT_EQ(r.config.optimizer.optim, "adamw");
  EXPECT_EQ(r.config.data.train.at(1).path, "b.jsonl");
  EXPECT_TRUE(r.resolved.given("lora"));
  EXPECT_THAT(
      r.resolved.notes,
      ElementsAre(
          "run.yaml:1: base_model -> model_name_or_path (Axolotl)",
          "run.yaml:2: sequence_len -> data.max_length (Axolotl)",
          "run.yaml:3: sample_packing -> data.packing (Axolotl)",
          "run.yaml:4: optimizer -> optimizer.optim (Axolotl)",
          "run.yaml:4: optimizer: adamw_torch_fused -> adamw",
          "run.yaml:5: bf16 (Hugging Face) is dropped: dtype says it",
          "run.yaml:6: val_set_size (Axolotl) is dropped: 0 asks for nothing",
          "run.yaml:7: adapter: lora -> lora: {}",
          "run.yaml:8: lora_target_linear: true -> lora.lora_target_modules: all-linear (Axolotl)",
          "run.yaml:9: datasets -> data.train (Axolotl)",
          "run.yaml:11: data.train[].type (Axolotl) is dropped: the shape of the records is "
          "detected"));
}

TEST(ConfigAliases, LlamaFactoryIsTranslatedAndAnnounced) {
  const Read r = read(
      "stage: pt\nfinetuning_type: full\ncutoff_len: 512\nlora_target: all\nbf16: "
      "true\nwarmup_ratio: 0.1\n"
      "dataset: a.jsonl\n");
  EXPECT_EQ(r.config.recipe, "pretrain");
  EXPECT_EQ(r.config.data.max_length, 512);
  EXPECT_EQ(r.config.dtype, "bf16");
  EXPECT_EQ(r.config.warmup_steps, 0.1);
  EXPECT_EQ(r.resolved.notes.size(), 7u);
  EXPECT_EQ(r.resolved.notes[0], "run.yaml:1: stage: pt -> recipe: pretrain (LLaMA-Factory)");
  EXPECT_EQ(r.resolved.notes[1],
            "run.yaml:2: finetuning_type (LLaMA-Factory) is dropped: without a section lora all "
            "weights are trained");
}

TEST(ConfigAliases, TorchtuneIsTranslatedAndAnnounced) {
  const Read r = read(
      "tokenizer:\n  _component_: torchtune.models.qwen2_5.qwen2_5_tokenizer\n  max_seq_len: 4096\n"
      "checkpointer: {checkpoint_dir: models/tiny, model_type: QWEN2}\n"
      "optimizer:\n  _component_: torch.optim.AdamW\n  lr: 3e-4\n  fused: True\n"
      "dataset: {packed: False}\nmodel: {_component_: x, lora_rank: 8}\n");
  EXPECT_EQ(r.config.data.max_length, 4096);
  EXPECT_EQ(r.config.model_name_or_path, "models/tiny");
  EXPECT_EQ(r.config.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(r.config.data.packing, "false");
  EXPECT_EQ(r.config.lora.lora_r, 8);
  EXPECT_EQ(r.resolved.where("max_length"), "run.yaml:3:3");
}

TEST(ConfigAliases, ReadsBothSpellingsOfHuggingFace) {
  EXPECT_EQ(read("torch_dtype: bfloat16").config.dtype, "bf16");
  EXPECT_EQ(read("dtype: float32").config.dtype, "fp32");
  EXPECT_EQ(read("evaluation_strategy: steps").resolved.notes.size(), 1u);
  EXPECT_EQ(read("optim: adamw_hf").config.optimizer.optim, "adamw");
  EXPECT_EQ(read("", {"sequence_len=8"}).resolved.notes.at(0),
            "command line: sequence_len -> data.max_length (Axolotl)");
  EXPECT_EQ(read("max_length: 4", {"sequence_len=8"}).config.data.max_length, 8);
}

TEST(ConfigAliases, WhatHasNoEquivalentIsRefusedByName) {
  EXPECT_EQ(fault("seed: 1\nfp16: true"),
            "run.yaml:2:1: `fp16: true` (Hugging Face) has no equivalent: float16 is not "
            "supported; use dtype: bf16");
  EXPECT_EQ(fault("val_set_size: 0.05"),
            "run.yaml:1:1: `val_set_size: 0.05` (Axolotl) has no equivalent: nothing is split off; "
            "put held-out "
            "records in a file of their own and give data.eval");
  EXPECT_EQ(fault("micro_batch_size: 2"),
            "run.yaml:1:1: `micro_batch_size` (Axolotl) has no equivalent yet");
  EXPECT_EQ(
      fault("stage: rm"),
      "run.yaml:1:1: `stage: rm` (LLaMA-Factory) has no equivalent: there is no such recipe yet");
  EXPECT_EQ(fault("warmup_ratio: 5"),
            "run.yaml:1:15: warmup_ratio: found `5` (whole number), expected a share of all steps, "
            "from 0 to below 1; "
            "for a number of steps write `warmup_steps`");
  EXPECT_EQ(fault("bf16: true\ndtype: fp32"),
            "run.yaml:2:1: key `dtype` is given twice; it also stands at run.yaml:1:1 as `bf16`");
  EXPECT_EQ(fault("tokenizer: {foo: 1}"), "run.yaml:1:13: unknown key `tokenizer.foo`");
}

}  // namespace
}  // namespace lathe
