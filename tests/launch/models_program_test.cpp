// The verbs that use a model, as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "recipes/timetable.h"
#include "tests/run_program.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/hf_folder.h"
#include "trainer/safetensors.h"
#include "trainer/scored_model.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

// A generated tokenizer with random weights.
class ModelVerbs : public testing::Test {
 protected:
  ModelVerbs() {
    write_timetable(folder_.path(), 1, 8, 2);
    const std::unique_ptr<Model> model =
        make_model(read_model_config(folder_ / "model"), at::kFloat, at::kCPU);
    initialize(*model, 3);
    save_model(*model, model_, folder_ / "model", at::kFloat);
  }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  ProgramResult run(const std::string& verb, const std::string& more) const {
    return run_lathe(verb + " --dtype fp32 --model " + model_ + " " + more);
  }
  static std::vector<json> lines_of(const ProgramResult& result) {
    EXPECT_EQ(result.code, 0) << result.output;
    std::vector<json> lines;
    std::istringstream in(result.output);
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
  }

  TempFolder folder_;
  const std::string model_ = folder_ / "tiny";
};

TEST_F(ModelVerbs, ScoreTellsLogProbabilitiesAndLogits) {
  const std::string input = write("in.jsonl", R"({"input_ids": [3, 4, 5, 6]}
{"text": "The ferry leaves."}

{"prompt": "The ferry", "completion": " leaves."}
{"input_ids": [3]}
)");
  const std::vector<json> lines =
      lines_of(run("score", "--input " + input + " --logits " + (folder_ / "l.safetensors")));
  ASSERT_EQ(lines.size(), 4u);
  const SafetensorsFile logits(folder_ / "l.safetensors");
  EXPECT_EQ(logits.entries().size(), 4u);
  const at::Tensor log_probs = logits.tensor("0").log_softmax(-1);
  double sum = 0;
  for (int64_t i = 0; i < 3; ++i) {
    const auto expected = log_probs[i][4 + i].item<double>();
    EXPECT_NEAR(lines[0]["logprobs"][static_cast<size_t>(i)], expected, 1e-5);
    sum += expected;
  }
  EXPECT_NEAR(lines[0]["logprob"], sum, 1e-4);
  EXPECT_EQ(lines[0]["tokens"], 3);
  EXPECT_LT(lines[2]["tokens"], lines[1]["tokens"]);
  EXPECT_EQ(lines[3]["tokens"], 0);
}

TEST_F(ModelVerbs, ScoreNamesFileAndLine) {
  for (const char* bad :
       {"{\"text\": 3}", "{\"input_ids\": [99999]}", "[1]", "{\"prompt\": \"x\"}", "{"}) {
    const ProgramResult result =
        run("score", "--input " + write("bad.jsonl", std::string("{\"text\": \"a\"}\n") + bad));
    EXPECT_EQ(result.code, 65) << bad;
    EXPECT_THAT(result.output, HasSubstr("bad.jsonl:2:")) << bad;
  }
  EXPECT_EQ(run("score", "--dtype int4 --input x").code, 64);
}

TEST_F(ModelVerbs, GenerateAnswersEveryKindOfRecord) {
  const std::string input = write("in.jsonl", R"({"prompt": "The ferry"}
{"messages": [{"role": "user", "content": "When?"}]}
{"input_ids": [3, 4]}
)");
  const std::string common = "--input " + input + " --max-new-tokens 5 ";
  const std::vector<json> once = lines_of(run("generate", common + "--temperature 1 --seed 5"));
  ASSERT_EQ(once.size(), 3u);
  for (const json& line : once) {
    EXPECT_EQ(line["ids"].size(), line["logprobs"].size());
    EXPECT_TRUE(line["text"].is_string());
    EXPECT_TRUE(line["finish"] == "length" || line["finish"] == "stop");
  }
  const std::vector<json> many =
      lines_of(run("generate", common + "--temperature 1 --seed 5 -n 2"));
  ASSERT_EQ(many.size(), 6u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(many[2 * i]["ids"], once[i]["ids"]) << "the first sample is the only one of before";
    EXPECT_EQ(many[2 * i + 1]["record"], i);
  }
  const std::vector<json> beams = lines_of(run("generate", common + "--num-beams 3"));
  ASSERT_EQ(beams.size(), 3u);
  EXPECT_TRUE(beams[0].contains("score"));
  EXPECT_EQ(run("generate", common + "--num-beams 3 --temperature 1").code, 64);
  EXPECT_EQ(run("generate", common + "--top-p 2").code, 65);
}

TEST_F(ModelVerbs, ChatKeepsAndForgetsTheConversation) {
  const std::string said = write("said", "Hello\n\n/reset\nHello\n/exit\nnot read\n");
  const ProgramResult result = run("chat", "--max-new-tokens 6 < " + said);
  EXPECT_EQ(result.code, 0) << result.output;
  const ProgramResult once = run("chat", "--max-new-tokens 6 < " + write("once", "Hello\n"));
  EXPECT_EQ(result.output, once.output + once.output) << "after /reset as at the start";
}

TEST_F(ModelVerbs, EvalPrintsATableAndJson) {
  const std::string data =
      write("data.jsonl", R"({"q": "The ferry", "c": [" leaves.", " is late."], "gold": 0}
{"q": "The ferry", "c": [" leaves.", " is late."], "gold": 1}
)");
  const std::string task =
      write("task.yaml", "name: two\nkind: multiple_choice\ndata: " + data +
                             "\nprompt: '{q}'\nchoices: c\nchoice: '{choice}'\ngold: gold\n");
  const ProgramResult result =
      run("eval", "--task " + task + " --output " + (folder_ / "out.json") + " --items " +
                      (folder_ / "items.jsonl"));
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("acc_norm"));
  const json out = json::parse(read_file(folder_ / "out.json"));
  EXPECT_EQ(out["items"], 2);
  EXPECT_EQ(out["metrics"]["acc"]["value"], 0.5) << "the same question with both answers";
  EXPECT_EQ(run("eval", "--task " + task + " kind=guess").code, 64);
  EXPECT_EQ(run("eval", "--task " + task + " gold=nothing").code, 65);
}

// The whole way as a Python user sees it, where transformers is installed.
TEST_F(ModelVerbs, ExportsWhatTransformersReadsWithTheSameLogits) {
  if (!python_has("transformers, torch, safetensors")) {
    GTEST_SKIP() << "NOT RUN: transformers is not installed";
  }
  ASSERT_EQ(
      run_lathe("export " + model_ + " --output " + (folder_ / "out") + " --max-shard-mib 1").code,
      0);
  const std::string input = write("in.jsonl", R"({"input_ids": [3, 4, 5, 6, 7, 8, 9]})");
  ASSERT_EQ(run("score", "--input " + input + " --logits " + (folder_ / "l.safetensors")).code, 0);
  const std::string script = write("check.py", R"(import sys, torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
with torch.no_grad():
    logits = model(torch.tensor([[3, 4, 5, 6, 7, 8, 9]])).logits[0]
assert (logits - load_file(sys.argv[2])["0"]).abs().max() < 1e-4
)");
  const ProgramResult check = run_program(test_python() + " " + script + " " + (folder_ / "out") + " " +
                                          (folder_ / "l.safetensors"));
  EXPECT_EQ(check.code, 0) << check.output;
}

// One number for each text, alone and beside others; the length of the text decides where it is read.
TEST_F(ModelVerbs, TrainsARewardModelThatTransformersScoresAlike) {
  if (!python_has("transformers, torch, safetensors")) {
    GTEST_SKIP() << "NOT RUN: transformers is not installed";
  }
  const std::string pairs = write("pairs.jsonl", R"({"prompt": "When?", "chosen": "At noon.", "rejected": "Who knows."}
{"prompt": "Where to?", "chosen": "To Gild.", "rejected": "Somewhere else."}
)");
  const std::string out = folder_ / "run";
  const ProgramResult trained = run_lathe(
      "train recipe=reward from_scratch=true max_steps=3 logging_steps=1 save_steps=0 learning_rate=1e-2 "
      "per_device_train_batch_size=2 max_length=128 model.dtype=fp32 model_name_or_path=" +
      (folder_ / "model") + " data.train=" + pairs + " data.cache_dir=" + (folder_ / "cache") +
      " output_dir=" + out);
  ASSERT_EQ(trained.code, 0) << trained.output;

  const std::vector<std::vector<int64_t>> texts{{3, 4, 5, 6, 7, 8, 9}, {10, 11}, {12, 13, 14, 15}};
  std::vector<DocumentView> documents;
  for (const auto& ids : texts) documents.push_back({ids.data(), nullptr, std::ssize(ids)});
  const at::NoGradGuard no_grad;
  const auto model = ScoredModel::load(out, at::kFloat, at::kCPU, 0);
  const at::Tensor scores = model->scores(make_batch(documents));
  EXPECT_GT((scores[0] - scores[1]).abs().item<float>(), 1e-3);
  json expected = json::array();
  for (size_t i = 0; i < texts.size(); ++i)
    expected.push_back({{"ids", texts[i]}, {"score", scores[static_cast<int64_t>(i)].item<float>()}});
  const std::string script = write("check.py", R"(import json, sys, torch
from transformers import AutoModelForSequenceClassification
model, info = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], dtype=torch.float32, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
assert model.config.num_labels == 1, model.config
texts = json.load(open(sys.argv[2]))
longest = max(len(text["ids"]) for text in texts)
rest = [longest - len(text["ids"]) for text in texts]
with torch.no_grad():
    alone = [model(torch.tensor([text["ids"]])).logits.item() for text in texts]
    together = model(torch.tensor([t["ids"] + [model.config.pad_token_id] * n for t, n in zip(texts, rest)]),
                     attention_mask=torch.tensor([[1] * (longest - n) + [0] * n for n in rest])).logits[:, 0].tolist()
for text, *found in zip(texts, alone, together):
    assert max(abs(x - text["score"]) for x in found) < 1e-4, (text, found)
)");
  const ProgramResult check = run_program(test_python() + " " + script + " " + out + " " +
                                          write("texts.json", expected.dump()));
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST_F(ModelVerbs, TrainWritesWhatTensorBoardReads) {
  if (!python_has("tensorboard")) GTEST_SKIP() << "NOT RUN: tensorboard is not installed";
  const std::string out = folder_ / "run";
  const ProgramResult trained = run_lathe(
      "train recipe=sft from_scratch=true max_steps=4 logging_steps=1 eval_steps=2 save_steps=0 "
      "per_device_train_batch_size=2 max_length=128 model.dtype=fp32 model_name_or_path=" +
      (folder_ / "model") + " data.train=" + (folder_ / "train.jsonl") +
      " data.eval=" + (folder_ / "held_out.jsonl") + " data.cache_dir=" + (folder_ / "cache") +
      " output_dir=" + out);
  ASSERT_EQ(trained.code, 0) << trained.output;
  const std::string script = write("check.py", R"(import json, struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()
found = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
rows = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
single = lambda x: struct.unpack("f", struct.pack("f", x))[0]
for tag, key, count in [("train/loss", "loss", 4), ("train/grad_norm", "grad_norm", 4),
                        ("train/learning_rate", "learning_rate", 4), ("eval/loss", "eval_loss", 2)]:
    expected = {row["step"]: single(row[key]) for row in rows if key in row}
    assert len(expected) >= count and found[tag] == expected, (tag, found.get(tag), expected)
)");
  const ProgramResult check = run_program(test_python() + " " + script + " " + out);
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST_F(ModelVerbs, ExportWritesShardsThatReadBackBytewise) {
  const std::string out = folder_ / "out", again = folder_ / "again";
  ASSERT_EQ(run_lathe("export " + model_ + " --output " + out + " --max-shard-mib 1").code, 0);
  EXPECT_TRUE(fs::exists(out + "/model.safetensors.index.json"));
  EXPECT_TRUE(fs::exists(out + "/tokenizer.json"));
  ASSERT_EQ(run_lathe("export " + out + " --output " + again).code, 0);
  EXPECT_EQ(read_file(again + "/model.safetensors"), read_file(model_ + "/model.safetensors"));
  // Over an earlier export: its shards go.
  ASSERT_EQ(run_lathe("export " + model_ + " --output " + out).code, 0);
  EXPECT_FALSE(fs::exists(out + "/model.safetensors.index.json"));
  EXPECT_TRUE(fs::exists(out + "/model.safetensors"));
}

TEST_F(ModelVerbs, ExportFindsAModelFolderThatMoved) {
  const std::string run_folder = folder_ / "run";
  const std::string config =
      write("config.yaml",
            "recipe: sft\noutput_dir: " + run_folder + "\nmodel: {model_name_or_path: " + model_ +
                ", dtype: fp32}\ndata: {train: " + (folder_ / "train.jsonl") +
                ", max_length: 64, cache_dir: " + (folder_ / "cache") +
                "}\ntrain: {max_steps: 1, save_steps: 1, per_device_train_batch_size: 1}\n");
  const ProgramResult train = run_lathe("train " + config);
  ASSERT_EQ(train.code, 0) << train.output;
  const std::string moved = folder_ / "moved";
  fs::rename(model_, moved);
  const std::string checkpoint = run_folder + "/checkpoint-1 --output " + (folder_ / "out");
  const ProgramResult lost = run_lathe("export " + checkpoint);
  EXPECT_EQ(lost.code, 65);
  EXPECT_THAT(lost.output, HasSubstr("say with --model"));
  const ProgramResult found = run_lathe("export " + checkpoint + " --model " + moved);
  EXPECT_EQ(found.code, 0) << found.output;
  EXPECT_EQ(read_file((folder_ / "out") + "/model.safetensors"),
            read_file(run_folder + "/model.safetensors"));
  EXPECT_TRUE(fs::exists((folder_ / "out") + "/tokenizer.json"));
}

}  // namespace
}  // namespace lathe
