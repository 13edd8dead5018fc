#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/corpus/json_fields.h"
#include "data/corpus/record_view.h"

// A JSON record of a known shape -> what it holds. Faults are those of json_fields.
namespace lathe {

RecordContent parse_text(const RecordView& record);
RecordContent parse_tokens(const RecordView& record);
RecordContent parse_segments(const RecordView& record);
RecordContent parse_messages(const RecordView& record);
RecordContent parse_sharegpt(const RecordView& record);
RecordContent parse_prompt_completion(const RecordView& record);
RecordContent parse_query_response(const RecordView& record);
RecordContent parse_alpaca(const RecordView& record);

// What may be called a question and an answer, the surest names first.
inline constexpr std::string_view kQueryNames[] = {"query",  "question",    "problem",
                                                   "prompt", "instruction", "input"};
inline constexpr std::string_view kResponseNames[] = {
    "response", "answer",   "output",     "completion", "target", "targets",
    "answers",  "solution", "answer_key", "text",       "content"};

// [{"role", "content", ...}, ...], at least one.
std::vector<Message> messages_of(const json_fields::Element& value, const std::string& field);
// What a message says about its part in the loss: train or loss (true, false), weight or
// loss_weight (0, 1).
std::optional<bool> loss_of(const json_fields::Object& message, const std::string& field);
bool is_loss_key(std::string_view key);
// A call {"name", "arguments"} or a list of them, given as text -> the items of tool_calls as
// Hugging Face writes them, with commas between; empty when it is none.
std::string tool_calls_of(const std::string& text);
// A JSON list given as text; empty when there is nothing in it.
std::string json_list_of(const std::string& text, const std::string& field);
// The record's tools, documents and chat_template_kwargs for the template.
std::string variables_of(const RecordView& record);
// The record's system or system_prompt, put in front where the conversation has none.
void add_system(const RecordView& record, std::vector<Message>& messages);

}  // namespace lathe
