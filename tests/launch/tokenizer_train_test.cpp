// The trained tokenizer against the reference itself, where it is installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/folder.h"
#include "tests/run_program.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using testing::HasSubstr;

constexpr const char* kCompare = R"(
import json, sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
ours, text, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
level = pre_tokenizers.ByteLevel
reference = Tokenizer(models.BPE())
reference.pre_tokenizer = level(add_prefix_space=False)
reference.decoder = decoders.ByteLevel()
reference.train([text], trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=["<s>", "</s>"],
                                            initial_alphabet=level.alphabet(), show_progress=False))
want, got = json.loads(reference.to_str())["model"], json.load(open(ours))["model"]
assert want["vocab"] == got["vocab"], "vocab"
assert [list(m) for m in want["merges"]] == got["merges"], "merges"
lines = open(text, encoding="utf-8").read()
assert Tokenizer.from_file(ours).encode(lines).ids == reference.encode(lines).ids, "ids"
print("equal", len(got["merges"]))
)";

TEST(TokenizerTrain, EqualsTheReferenceOnRealText) {
  if (!have_shared("data/text")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  if (!python_has("tokenizers")) {
    GTEST_SKIP() << "NOT RUN: no tokenizers wheel for " << test_python();
  }
  TestFolder folder;
  write_text(folder / "compare.py", kCompare);
  for (const char* name : {"tinyshakespeare.txt", "wiki_demo.txt"}) {
    const std::string text = shared_path(std::string("data/text/") + name);
    const ProgramResult trained = run_lathe(
        "tokenizer train --vocab-size 3000 --special-token '<s>' --special-token '</s>' --input " +
        text + " --output " + folder.path());
    ASSERT_EQ(trained.code, 0) << trained.output;
    const ProgramResult compared = run_program(test_python() + " " + folder / "compare.py" + " " +
                                               folder / "tokenizer.json" + " " + text + " 3000");
    EXPECT_EQ(compared.code, 0) << name;
    EXPECT_THAT(compared.output, HasSubstr("equal 2742")) << name;
  }
}

TEST(TokenizerTrain, SaysWhatIsWrong) {
  TestFolder folder;
  write_text(folder / "bad.txt", "good\n\xff\xfe\n");
  const std::string out = " --output " + folder / "out";
  const ProgramResult bad = run_lathe("tokenizer train --input " + folder / "bad.txt" + out);
  EXPECT_EQ(bad.code, 65);
  EXPECT_THAT(bad.output, HasSubstr("bad.txt:2: the text is not valid UTF-8"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_EQ(run_lathe("tokenizer frobnicate" + out).code, 64);
  EXPECT_EQ(run_lathe("tokenizer train" + out).code, 64);
  write_text(folder / "ok.jsonl", "{\"text\": \"a b a b\"}\n");
  const ProgramResult small = run_lathe(
      "tokenizer train --vocab-size 300 --eos-token '<end>' --input " + folder / "ok.jsonl" + out);
  EXPECT_EQ(small.code, 0) << small.output;
  EXPECT_THAT(small.output, HasSubstr("fewer tokens than --vocab-size 300"));
  EXPECT_THAT(read_file(folder / "out/tokenizer_config.json"),
              HasSubstr("\"eos_token\": \"<end>\""));
}

}  // namespace
}  // namespace lathe
