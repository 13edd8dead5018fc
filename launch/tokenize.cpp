// lathe tokenize --tokenizer DIR|FILE --input F.jsonl [--decode] [--raw]
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/corpus/input_file.h"
#include "data/tokenize/tokenizer.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/json_lines.h"
#include "launch/run_verb.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

struct TokenizeArguments {
  std::string tokenizer, input = "-", output = "-";
  bool decode = false, raw = false, no_special = false;
};

constexpr const char* kFooter = R"(
One JSON object a line in, one a line out, in the same order:
  {"text": "Hello world"}  ->  {"ids": [9707, 1879]}
and with --decode the way back:
  {"ids": [9707, 1879]}    ->  {"text": "Hello world"}
Other keys are ignored, blank lines are left out. Ids are what the `tokenizers` library gives.

  echo '{"text": "Hello"}' | lathe tokenize --tokenizer models/mine
  lathe tokenize --tokenizer models/mine/tokenizer.json --input book.txt --raw --output ids.jsonl
)";

std::string encoded(const Tokenizer& tokenizer, std::string_view text, bool special) {
  return fmt::format("{{\"ids\": {}}}", ids_text(tokenizer.encode(text, special)));
}

std::string encode_record(const Json& record, const Tokenizer& tokenizer, bool special) {
  const auto text = record.find("text");
  if (text == record.end() || !text->is_string()) {
    throw std::invalid_argument(
        fmt::format("text: found {}, expected a string (--decode takes `ids`)",
                    text == record.end() ? "no such key" : text->type_name()));
  }
  return encoded(tokenizer, text->get_ref<const std::string&>(), special);
}

std::string decode_record(const Json& record, const Tokenizer& tokenizer, bool special) {
  const auto list = record.find("ids");
  if (list == record.end() || !list->is_array()) {
    throw std::invalid_argument(
        fmt::format("ids: found {}, expected a list of ids",
                    list == record.end() ? "no such key" : list->type_name()));
  }
  std::vector<int32_t> ids;
  for (const Json& id : *list) {
    const int64_t value = id.is_number_integer() ? id.get<int64_t>() : -1;
    if (value < 0 || value >= tokenizer.vocab_size()) {
      throw std::invalid_argument(
          fmt::format("ids[{}]: found {}, expected an id of the tokenizer, 0 to {}", ids.size(),
                      line_of(id), tokenizer.vocab_size() - 1));
    }
    ids.push_back(static_cast<int32_t>(value));
  }
  return "{\"text\": " + line_of(tokenizer.decode(ids, !special)) + "}";
}

std::string whole_file(const std::string& input) {
  InputFile file(input == "-" ? "/dev/stdin" : input);
  std::string text;
  size_t filled = 0;
  for (size_t got = 1; got > 0; filled += got) {
    text.resize(std::max<size_t>(filled + (1 << 20), filled + filled / 2));
    got = file.read(text.data() + filled, text.size() - filled);
    // One byte more than the tokenizer takes: it says what is wrong, and no more is read.
    if (filled > (size_t{1} << 30)) break;
  }
  text.resize(filled);
  return text;
}

}  // namespace

int tokenize_verb(int argc, char** argv) {
  TokenizeArguments a;
  Arguments arguments("tokenize", "Text to token ids and back, JSON lines in and out.");
  arguments.option("--tokenizer", a.tokenizer,
                   "Hugging Face folder, tokenizer.json or SentencePiece .model", true);
  arguments.option("--input", a.input, "JSON lines (also .gz, .zst); -: standard input");
  arguments.option("--output", a.output, "where the lines go; -: standard output");
  arguments.flag("--decode", a.decode, "the way back: `ids` to `text`");
  arguments.flag("--raw", a.raw, "the input is one plain text");
  arguments.flag(
      "--no-special", a.no_special,
      "without the post-processor's tokens (BOS, EOS); with --decode: leave special tokens out");
  arguments.footer(kFooter);
  if (!arguments.parse(argc, argv)) return kDone;
  if (a.raw && a.decode) throw UsageError("lathe tokenize: --raw and --decode do not go together");
  const Tokenizer tokenizer(a.tokenizer);
  LinesOut out(a.output);
  if (a.raw) {
    out.write(encoded(tokenizer, whole_file(a.input), !a.no_special));
  } else {
    answer_lines(a.input, out, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)),
                 [&](const Json& record) {
                   return a.decode ? decode_record(record, tokenizer, !a.no_special)
                                   : encode_record(record, tokenizer, !a.no_special);
                 });
  }
  out.close();
  return kDone;
}

}  // namespace lathe
