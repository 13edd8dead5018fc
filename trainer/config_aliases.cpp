#include "trainer/config_aliases.h"

#include <algorithm>
#include <array>

#include "trainer/config_values.h"
#include "trainer/config_yaml.h"

namespace lathe {
namespace {

using Text = std::string_view;

constexpr Text kHf = "Hugging Face", kLf = "LLaMA-Factory", kAx = "Axolotl", kTune = "torchtune",
               kSwift = "ms-swift", kTrl = "TRL";

constexpr Alias rename(Text from, Text to, Text whose) {
  return {Alias::Kind::kRename, from, "", to, "", whose, ""};
}
constexpr Alias value(Text from, Text value, Text to, Text to_value, Text whose) {
  return {Alias::Kind::kRename, from, value, to, to_value, whose, ""};
}
constexpr Alias section(Text from, Text value, Text to, Text whose) {
  return {Alias::Kind::kSection, from, value, to, "", whose, ""};
}
constexpr Alias drop(Text from, Text value, Text whose, Text why) {
  return {Alias::Kind::kDrop, from, value, "", "", whose, why};
}
constexpr Alias refuse(Text from, Text value, Text whose, Text why) {
  return {Alias::Kind::kRefuse, from, value, "", "", whose, why};
}

constexpr Text kNoHalf = "float16 is not supported; use dtype: bf16";
constexpr Text kNoQuantized =
    "training on quantised weights is not supported; use dtype: bf16 with LoRA";
constexpr Text kSplit =
    "nothing is split off; put held-out records in a file of their own and give data.eval";
constexpr Text kNoPadding = "rows are never padded";
constexpr Text kFromFolder = "the model folder says which architecture and tokenizer it is";
constexpr Text kDetected = "the shape of the records is detected";
constexpr Text kSharded = "optimiser state is divided by parallel.zero, without another program";
constexpr Text kRecipe = "there is no such recipe yet";

constexpr auto kAliases = std::to_array<Alias>({
    // model
    rename("base_model", "model_name_or_path", kAx),
    rename("model", "model_name_or_path", kSwift),
    rename("checkpointer.checkpoint_dir", "model_name_or_path", kTune),
    rename("model.pretrained_model_name_or_path", "model_name_or_path", "NeMo Automodel"),
    drop("model._component_", "", kTune, kFromFolder),
    drop("model_type", "", kAx, kFromFolder),
    drop("tokenizer_type", "", kAx, kFromFolder),
    drop("tokenizer._component_", "", kTune, kFromFolder),
    drop("tokenizer.path", "", kTune, kFromFolder),
    drop("tokenizer.merges_file", "", kTune, kFromFolder),
    drop("checkpointer._component_", "", kTune, kFromFolder),
    drop("checkpointer.checkpoint_files", "", kTune, kFromFolder),
    drop("checkpointer.model_type", "", kTune, kFromFolder),
    drop("checkpointer.recipe_checkpoint", "null", kTune, "a run resumes by itself"),
    rename("checkpointer.output_dir", "output_dir", kTune),
    drop("trust_remote_code", "", kHf, "code of a model folder is never run"),
    rename("torch_dtype", "dtype", kHf),
    value("bf16", "true", "dtype", "bf16", kHf),
    drop("bf16", "", kHf, "dtype says it"),
    refuse("fp16", "true", kHf, kNoHalf),
    drop("fp16", "", kHf, "dtype says it"),
    drop("tf32", "", kHf, "dtype says it"),
    refuse("load_in_4bit", "true", kHf, kNoQuantized),
    refuse("load_in_8bit", "true", kHf, kNoQuantized),
    drop("load_in_4bit", "false", kHf, "weights are never quantised"),
    drop("load_in_8bit", "false", kHf, "weights are never quantised"),
    refuse("quantization_bit", "", kLf, kNoQuantized),
    drop("flash_attention", "", kAx, "the fastest attention is chosen"),
    drop("flash_attn", "", kLf, "the fastest attention is chosen"),
    drop("attn_implementation", "", kHf, "the fastest attention is chosen"),
    drop("device", "", kTune, "the best device there is is taken"),
    // data
    rename("datasets", "data.train", kAx),
    rename("test_datasets", "data.eval", kAx),
    rename("dataset", "data.train", kLf),
    rename("eval_dataset", "data.eval", kLf),
    rename("val_dataset", "data.eval", kSwift),
    rename("dataset_name", "data.train", kTrl),
    rename("dataset.source", "data.train", kTune),
    rename("dataset.data_files", "data.train", kTune),
    drop("dataset._component_", "", kTune, kDetected),
    rename("dataset.packed", "packing", kTune),
    drop("data.train[].type", "", kAx, kDetected),
    drop("data.train[].ds_type", "", kAx, kDetected),
    drop("data.eval[].type", "", kAx, kDetected),
    drop("data.eval[].ds_type", "", kAx, kDetected),
    drop("dataset_prepared_path", "", kAx, "prepared data is kept in the run folder"),
    drop("overwrite_cache", "", kLf, "prepared data is recognised by its hash"),
    drop("preprocessing_num_workers", "", kLf, "all cores are used"),
    drop("dataset_num_proc", "", kTrl, "all cores are used"),
    drop("dataloader_num_workers", "", kHf, "all cores are used"),
    drop("val_set_size", "0", kAx, "0 asks for nothing"),
    drop("val_set_size", "0.0", kAx, "0 asks for nothing"),
    refuse("val_set_size", "", kAx, kSplit),
    drop("val_size", "0", kLf, "0 asks for nothing"),
    refuse("val_size", "", kLf, kSplit),
    refuse("split_dataset_ratio", "", kSwift, kSplit),
    refuse("template", "", kLf, "the chat template of the model folder is used; leave this out"),
    rename("sequence_len", "max_length", kAx),
    rename("cutoff_len", "max_length", kLf),
    rename("max_seq_length", "max_length", kTrl),
    rename("tokenizer.max_seq_len", "max_length", kTune),
    rename("seq_length", "max_length", "NeMo Automodel"),
    rename("sample_packing", "packing", kAx),
    rename("neat_packing", "packing", kLf),
    drop("pad_to_sequence_len", "", kAx, kNoPadding),
    drop("padding_free", "", kTrl, kNoPadding),
    drop("group_by_length", "", kHf, kNoPadding),
    value("train_on_inputs", "false", "assistant_only_loss", "true", kAx),
    value("train_on_inputs", "true", "assistant_only_loss", "false", kAx),
    value("train_on_prompt", "false", "assistant_only_loss", "true", kLf),
    value("train_on_prompt", "true", "assistant_only_loss", "false", kLf),
    // batches and length of the run
    rename("micro_batch_size", "per_device_train_batch_size", kAx),
    rename("batch_size", "per_device_train_batch_size", kTune),
    rename("eval_batch_size", "per_device_eval_batch_size", kAx),
    rename("num_epochs", "num_train_epochs", kAx),
    rename("epochs", "num_train_epochs", kTune),
    drop("max_steps_per_epoch", "null", kTune, "null asks for nothing"),
    rename("log_every_n_steps", "logging_steps", kTune),
    rename("evaluation_strategy", "eval_strategy", kHf),
    drop("eval_strategy", "steps", kHf, "eval_steps says it"),
    refuse("eval_strategy", "", kHf,
           "give eval_steps: the steps between two evaluations; 0: only before and after"),
    drop("save_strategy", "steps", kHf, "save_steps says it"),
    refuse("save_strategy", "", kHf, "give save_steps: the steps between two checkpoints; 0: none"),
    // updates
    rename("lr", "learning_rate", kHf),
    rename("optimizer.lr", "learning_rate", kTune),
    rename("optimizer", "optim", kAx),
    rename("optimizer._component_", "optim", kTune),
    drop("optimizer.fused", "", kTune, "the fused update is the only one"),
    rename("optimizer.betas", "adam_betas", kTune),
    rename("optimizer.eps", "adam_epsilon", kTune),
    rename("lr_scheduler", "lr_scheduler_type", kAx),
    rename("lr_scheduler._component_", "lr_scheduler_type", kTune),
    rename("lr_scheduler.num_warmup_steps", "warmup_steps", kTune),
    rename("num_warmup_steps", "warmup_steps", kTune),
    {Alias::Kind::kShare, "warmup_ratio", "", "warmup_steps", "", kHf, ""},
    rename("cosine_min_lr_ratio", "min_lr_ratio", kAx),
    rename("clip_grad_norm", "max_grad_norm", kTune),
    rename("enable_activation_checkpointing", "gradient_checkpointing", kTune),
    value("disable_gradient_checkpointing", "true", "gradient_checkpointing", "false", kLf),
    value("disable_gradient_checkpointing", "false", "gradient_checkpointing", "true", kLf),
    drop("loss._component_", "", kTune, "the recipe says the loss"),
    drop("deepspeed", "null", kHf, kSharded),
    refuse("deepspeed", "", kHf, kSharded),
    refuse("fsdp", "", kHf, kSharded),
    refuse("fsdp_config", "", kHf, kSharded),
    // LoRA
    rename("lora_rank", "lora_r", kLf),
    rename("model.lora_rank", "lora_r", kTune),
    rename("model.lora_alpha", "lora_alpha", kTune),
    rename("model.lora_dropout", "lora_dropout", kTune),
    rename("model.lora_attn_modules", "lora_target_modules", kTune),
    value("lora_target", "all", "lora_target_modules", "all-linear", kLf),
    rename("lora_target", "lora_target_modules", kLf),
    rename("target_modules", "lora_target_modules", kSwift),
    value("lora_target_linear", "true", "lora_target_modules", "all-linear", kAx),
    drop("lora_target_linear", "false", kAx, "lora_target_modules says it"),
    section("adapter", "lora", "lora", kAx),
    refuse("adapter", "", kAx, kNoQuantized),
    drop("finetuning_type", "full", kLf, "without a section lora all weights are trained"),
    section("finetuning_type", "lora", "lora", kLf),
    refuse("finetuning_type", "", kLf, "only full and lora can be done"),
    drop("tuner_type", "full", kSwift, "without a section lora all weights are trained"),
    section("tuner_type", "lora", "lora", kSwift),
    section("use_peft", "true", "lora", kTrl),
    drop("use_peft", "false", kTrl, "without a section lora all weights are trained"),
    // what to train
    value("stage", "sft", "recipe", "sft", kLf),
    value("stage", "pt", "recipe", "pretrain", kLf),
    value("stage", "dpo", "recipe", "dpo", kLf),
    refuse("stage", "", kLf, kRecipe),
    value("rl", "dpo", "recipe", "dpo", kAx),
    refuse("rl", "", kAx, kRecipe),
    drop("do_train", "true", kLf, "the verb says it"),
    drop("overwrite_output_dir", "", kHf, "a run resumes or refuses; it never overwrites"),
    drop("logging_dir", "", kHf, "logs lie in output_dir"),
    drop("report_to", "none", kHf, "metrics are written to output_dir"),
    drop("report_to", "tensorboard", kHf, "metrics are written to output_dir"),
    drop("plot_loss", "", kLf, "metrics are written to output_dir"),
    drop("ddp_timeout", "", kHf, "a lost peer ends the run"),
});

struct ValueAlias {
  Text name, from, to;
};
constexpr auto kValues = std::to_array<ValueAlias>({
    {"optim", "adamw_torch", "adamw"},
    {"optim", "adamw_torch_fused", "adamw"},
    {"optim", "adamw_hf", "adamw"},
    {"optim", "torch.optim.AdamW", "adamw"},
    {"lr_scheduler_type", "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
     "cosine"},
    {"dtype", "bfloat16", "bf16"},
    {"dtype", "torch.bfloat16", "bf16"},
    {"dtype", "float32", "fp32"},
    {"dtype", "torch.float32", "fp32"},
});

bool same_value(Text row, const std::string& text) {
  if (row.empty() || row == text) return true;
  const Truth wanted = truth_of(std::string(row));
  return wanted != Truth::kNone && wanted == truth_of(text);
}

}  // namespace

const Alias* find_alias(const std::string& key, const std::string& value) {
  const auto row = std::find_if(kAliases.begin(), kAliases.end(), [&](const Alias& alias) {
    return alias.from == key && same_value(alias.value, value);
  });
  return row == kAliases.end() ? nullptr : &*row;
}

bool has_alias_below(const std::string& key) {
  return std::any_of(kAliases.begin(), kAliases.end(),
                     [&](const Alias& alias) { return alias.from.starts_with(key + "."); });
}

std::string drop_note(const Alias& alias, const std::string& line) {
  return line + ": " + std::string(alias.from) + " (" + std::string(alias.whose) +
         ") is dropped: " + std::string(alias.why);
}

std::string_view find_value_alias(const std::string& name, const std::string& value) {
  const auto row = std::find_if(kValues.begin(), kValues.end(), [&](const ValueAlias& alias) {
    return alias.name == name && alias.from == value;
  });
  return row == kValues.end() ? "" : row->to;
}

}  // namespace lathe
