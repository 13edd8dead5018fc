#include "recipes/exact_match.h"

#include <fmt/core.h>

#include "data/corpus/corpus.h"
#include "trainer/generate/generate.h"

namespace lathe {
namespace {

struct Item {
  Conversation prompt;
  std::string expected;
};

std::vector<Item> read_items(const std::string& path) {
  CorpusFile file(path);
  std::vector<Item> items;
  while (std::optional<Record> record = file.next()) {
    auto* chat = std::get_if<ChatRecord>(&record->content);
    if (!chat) throw std::invalid_argument(file.reason() + "; exact match needs conversations or questions and answers");
    std::vector<Message>& messages = chat->conversation.messages;
    if (messages.empty() || messages.back().role != "assistant") {
      throw std::invalid_argument(fmt::format("{}:{}: messages: the last turn is not the assistant's; exact match needs the "
                                              "expected answer there",
                                              path, record->line));
    }
    Item item{.prompt = {}, .expected = messages.back().content};
    messages.pop_back();
    item.prompt = std::move(chat->conversation);
    items.push_back(std::move(item));
  }
  return items;
}

std::string answer_text(const Tokenizer& tokenizer, const GenerateResult& result) {
  return tokenizer.decode({result.ids.begin(), result.ids.end()}, /*skip_special_tokens=*/true);
}

}  // namespace

ExactMatch exact_match(Model& model, const Tokenizer& tokenizer, const std::string& path, const ChatFormat& format,
                       const std::vector<int64_t>& stop_ids, Mesh& mesh, Group* meeting) {
  const std::vector<Item> items = read_items(path);
  std::vector<GenerateRequest> requests;
  std::vector<const Item*> mine;
  for (size_t i = mesh.dp().rank(); i < items.size(); i += mesh.dp().size()) {
    const RenderedChat rendered = format.render(items[i].prompt, /*generation_prompt=*/true);
    const std::vector<int32_t> ids = tokenizer.encode(rendered.text, /*add_special_tokens=*/false);
    GenerateRequest request{.prompt = {ids.begin(), ids.end()}, .options = {}};
    request.options.max_new_tokens = 8 + 2 * std::ssize(tokenizer.encode(items[i].expected, false));
    request.options.stop_ids = stop_ids;
    requests.push_back(std::move(request));
    mine.push_back(&items[i]);
  }
  const std::vector<GenerateResult> results = generate(model, requests, {.meeting = meeting});
  ExactMatch match;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string answer = answer_text(tokenizer, results[i]);
    match.right += answer == mine[i]->expected;
    if (match.samples.size() < 3) {
      match.samples.push_back({mine[i]->prompt.messages.back().content, mine[i]->expected, answer});
    }
  }
  at::Tensor counts = at::tensor({match.right, static_cast<int64_t>(results.size())}, at::kLong).to(mesh.device());
  mesh.dp().all_reduce(counts, Reduce::kSum);
  match.right = counts[0].item<int64_t>();
  match.total = counts[1].item<int64_t>();
  return match;
}

}  // namespace lathe
