// lathe render --tokenizer DIR --input F.jsonl
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/json_lines.h"
#include "launch/run_verb.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

struct RenderArguments {
  std::string tokenizer, input = "-", output = "-", chat_template = "auto", bos_token, eos_token;
  bool generation_prompt = false;
};

constexpr const char* kFooter = R"(
One JSON object a line in, one a line out, in the same order:
  {"messages": [{"role": "user", "content": "Hi"}, ...], "tools": [...], "enable_thinking": false}
  -> {"text": "<|im_start|>user\nHi<|im_end|>\n...", "ids": [1, 2003, ...], "mask": [0, 0, ...]}
`messages` must be there; every other key is a variable of the template (tools, documents,
enable_thinking, bos_token, add_generation_prompt, ...), and so are the members of
chat_template_kwargs. text is what the template writes, ids its tokens (no BOS is added: the template
says it), mask 1 where the assistant speaks, its end of turn included. Where the spans can not be
known, mask is null and `unmarked` says why. A conversation that the template refuses gives
{"error": what it raised} and the next record goes on.
)";

// What the record and the command line say, for the template.
Json context_of(Json record, const RenderArguments& a) {
  const auto messages = record.find("messages");
  if (messages == record.end() || !messages->is_array()) {
    throw std::invalid_argument(
        fmt::format("messages: found {}, expected a list of {{\"role\", \"content\"}}",
                    messages == record.end() ? "no such key" : messages->type_name()));
  }
  Json context = Json::object();
  if (!a.bos_token.empty()) context["bos_token"] = a.bos_token;
  if (!a.eos_token.empty()) context["eos_token"] = a.eos_token;
  const Json more = record.value("chat_template_kwargs", Json::object());
  record.erase("chat_template_kwargs");
  context.update(record);
  if (more.is_object()) context.update(more);
  return context;
}

std::string render_record(const Json& record, const RenderArguments& a, const Tokenizer& tokenizer,
                          const ChatFormat& format) {
  const Json context = context_of(record, a);
  const Json prompt = context.value("add_generation_prompt", Json(a.generation_prompt));
  try {
    const RenderedChat rendered =
        format.render_context(context.dump(), prompt.is_boolean() && prompt.get<bool>(), true);
    const MaskedIds masked = tokenize_chat(tokenizer, rendered, rendered.unmarked.empty());
    std::string line =
        fmt::format("{{\"text\": {}, \"ids\": {}", line_of(rendered.text), ids_text(masked.ids));
    if (!rendered.unmarked.empty())
      return line + ", \"mask\": null, \"unmarked\": " + line_of(rendered.unmarked) + "}";
    return line + ", \"mask\": " + ids_text({masked.mask.begin(), masked.mask.end()}) + "}";
  } catch (const jinja::Error& error) {
    return "{\"error\": " + line_of(error.message()) + "}";
  }
}

}  // namespace

int render_verb(int argc, char** argv) {
  RenderArguments a;
  Arguments arguments(
      "render",
      "Conversations to the text, tokens and mask that training would see, JSON lines in and out.");
  arguments.option("--tokenizer", a.tokenizer, "Hugging Face folder; its own chat template is used",
                   true);
  arguments.option("--input", a.input,
                   "JSON lines with `messages` (also .gz, .zst); -: standard input");
  arguments.option("--output", a.output, "where the lines go; -: standard output");
  arguments.option("--template", a.chat_template,
                   "auto: the folder's own, else chatml; or a file; or chatml, llama2, llama3, "
                   "mistral, gemma, phi3, "
                   "zephyr, alpaca");
  arguments.flag("--generation-prompt", a.generation_prompt,
                 "end with the opening of an assistant's turn");
  arguments.option("--bos-token", a.bos_token,
                   "what the template calls bos_token; else the tokenizer's");
  arguments.option("--eos-token", a.eos_token,
                   "what the template calls eos_token; else the tokenizer's");
  arguments.footer(kFooter);
  if (!arguments.parse(argc, argv)) return kDone;
  const Tokenizer tokenizer(a.tokenizer);
  const ChatFormat format(tokenizer, a.chat_template);
  LinesOut out(a.output);
  answer_lines(a.input, out, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)),
               [&](const Json& record) { return render_record(record, a, tokenizer, format); });
  out.close();
  return kDone;
}

}  // namespace lathe
