#pragma once

// What lathe can be asked to do. main.cpp prints this table; run_verb.cpp knows the functions.
namespace lathe {

struct VerbText {
  const char* name;
  const char* sentence;
};

inline constexpr VerbText kVerbs[] = {
    {"train", "train a model as a config says: lathe train CONFIG.yaml [key=value ...]"},
    {"curate", "keep the good records of raw files, with a reason for the others: lathe curate CONFIG.yaml"},
    {"prepare", "turn raw files into token shards: lathe prepare CONFIG.yaml [key=value ...]"},
    {"capture", "keep a teacher's opinion of a data set, for distillation: lathe capture CONFIG.yaml"},
    {"synthesize", "make prompts and answers, of which the good ones are kept: lathe synthesize CONFIG.yaml"},
    {"generate", "continue a prompt or answer questions: lathe generate --model DIR --prompt TEXT"},
    {"chat", "talk with a model: lathe chat --model DIR"},
    {"score", "tell how likely a model finds texts: lathe score --model DIR --input F.jsonl"},
    {"eval", "measure a model on a task: lathe eval --model DIR --task T.yaml"},
    {"tokenize", "text to token ids and back, JSON lines: lathe tokenize --tokenizer DIR --input F.jsonl"},
    {"render", "conversations to text, ids and mask: lathe render --tokenizer DIR --input F.jsonl"},
    {"tokenizer", "train a tokenizer: lathe tokenizer train --input FILE... --output DIR"},
    {"inspect", "show examples with their mask, lengths and packing: lathe inspect CONFIG|DATASET"},
    {"export", "turn a checkpoint into a Hugging Face folder: lathe export CHECKPOINT --output DIR"},
    {"validate", "check a config, its files and its model, without training: lathe validate CONFIG.yaml"},
    {"prove", "show that splits and a resume change nothing in your config: lathe prove CONFIG.yaml"},
    {"report", "compare runs, as a table and a page of curves: lathe report RUN... [--output F.html]"},
    {"preflight", "check that ranks belong together and how fast they talk: mpirun -np N lathe preflight"},
    {"plan", "predict memory and time of every way to cut a run over ranks: lathe plan CONFIG.yaml --ranks N"},
    {"postmortem", "say which rank did not arrive when a run was lost: lathe postmortem RUN"},
    {"ls", "list recipes, golden configs and model families"},
    {"cp", "copy a golden config to start from: lathe cp NAME DEST.yaml"},
    {"env", "print versions and what this machine can do"},
    {"schema", "print the JSON Schema of configs, for editors"},
};

// How main() enters the module that holds the verbs. Returns the exit code.
using RunVerb = int (*)(int argc, char** argv);
inline constexpr const char* kRunVerbSymbol = "lathe_run_verb";

}  // namespace lathe
