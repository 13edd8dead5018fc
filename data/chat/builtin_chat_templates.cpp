#include <algorithm>
#include <array>
#include <stdexcept>

#include "data/chat/chat_template.h"

namespace lathe {
namespace {

struct Builtin {
  std::string_view name;
  std::string_view source;
};

// What a generation block holds is what the model has to say itself: no header of the turn, but its
// end, with the newline that belongs to it.
constexpr std::string_view kChatml = R"jinja(
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant', 'tool'] %}
        {{- raise_exception('The chatml template knows the roles system, user, assistant and tool, not ' ~ message.role) }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {%- if message.reasoning_content %}
                {{- '<think>\n' ~ message.reasoning_content ~ '\n</think>\n\n' }}
            {%- endif %}
            {{- message.content or '' }}
            {%- for call in message.tool_calls or [] %}
                {%- set function = call.function or call %}
                {{- ('\n' if message.content or not loop.first) ~ '<tool_call>\n' }}
                {%- set text = function.arguments if function.arguments is string else function.arguments | tojson %}
                {{- '{"name": ' ~ function.name | tojson ~ ', "arguments": ' ~ text ~ '}\n</tool_call>' }}
            {%- endfor %}
            {{- '<|im_end|>\n' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %})jinja";

constexpr std::string_view kLlama2 = R"jinja(
{%- set ns = namespace(system='', turn=0) %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = '<<SYS>>\n' + message.content + '\n<</SYS>>\n\n' %}
    {%- elif (message.role == 'user') != (ns.turn % 2 == 0) or message.role not in ['user', 'assistant'] %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- elif message.role == 'user' %}
        {{- bos_token + '[INST] ' + (ns.system if ns.turn == 0 else '') + message.content | trim + ' [/INST]' }}
        {%- set ns.turn = ns.turn + 1 %}
    {%- else %}
        {%- generation %}
            {{- ' ' + message.content | trim + ' ' + eos_token }}
        {%- endgeneration %}
        {%- set ns.turn = ns.turn + 1 %}
    {%- endif %}
{%- endfor %})jinja";

constexpr std::string_view kLlama3 = R"jinja(
{{- bos_token if messages else '' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- message.content | trim + '<|eot_id|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %})jinja";

constexpr std::string_view kMistral = R"jinja(
{{- bos_token }}
{%- set ns = namespace(system='', turn=0) %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = message.content + '\n\n' %}
    {%- elif (message.role == 'user') != (ns.turn % 2 == 0) or message.role not in ['user', 'assistant'] %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- elif message.role == 'user' %}
        {{- '[INST] ' + (ns.system if ns.turn == 0 else '') + message.content + ' [/INST]' }}
        {%- set ns.turn = ns.turn + 1 %}
    {%- else %}
        {%- generation %}
            {{- ' ' + message.content + eos_token }}
        {%- endgeneration %}
        {%- set ns.turn = ns.turn + 1 %}
    {%- endif %}
{%- endfor %})jinja";

constexpr std::string_view kGemma = R"jinja(
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- raise_exception('System role not supported') }}
    {%- elif (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- elif message.role == 'assistant' %}
        {{- '<start_of_turn>model\n' }}
        {%- generation %}
            {{- message.content | trim + '<end_of_turn>\n' }}
        {%- endgeneration %}
    {%- else %}
        {{- '<start_of_turn>' + message.role + '\n' + message.content | trim + '<end_of_turn>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\n' }}
{%- endif %})jinja";

constexpr std::string_view kPhi3 = R"jinja(
{%- for message in messages %}
    {%- if message.role in ['system', 'user'] %}
        {{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|assistant|>\n' }}
        {%- generation %}
            {{- message.content + '<|end|>\n' }}
        {%- endgeneration %}
    {%- else %}
        {{- raise_exception('The phi3 template knows the roles system, user and assistant, not ' ~ message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- elif messages and messages[-1].role == 'assistant' %}
    {%- generation %}
        {{- eos_token }}
    {%- endgeneration %}
{%- else %}
    {{- eos_token }}
{%- endif %})jinja";

constexpr std::string_view kZephyr = R"jinja(
{%- for message in messages %}
    {{- '<|' + message.role + '|>\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}
            {{- message.content + eos_token + '\n' }}
        {%- endgeneration %}
    {%- else %}
        {{- message.content + eos_token + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %})jinja";

constexpr std::string_view kAlpaca = R"jinja(
{{- bos_token }}
{%- if not messages or messages[0].role != 'system' %}
    {{- 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- message.content + '\n\n' }}
    {%- elif message.role == 'user' %}
        {{- '### Instruction:\n' + message.content + '\n\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '### Response:\n' }}
        {%- generation %}
            {{- message.content + eos_token }}
        {%- endgeneration %}
        {{- '\n\n' if not loop.last }}
    {%- else %}
        {{- raise_exception('The alpaca template knows the roles system, user and assistant, not ' ~ message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '### Response:\n' }}
{%- endif %})jinja";

constexpr std::array kBuiltins{Builtin{"chatml", kChatml}, Builtin{"llama2", kLlama2},
                               Builtin{"llama3", kLlama3}, Builtin{"mistral", kMistral},
                               Builtin{"gemma", kGemma},   Builtin{"phi3", kPhi3},
                               Builtin{"zephyr", kZephyr}, Builtin{"alpaca", kAlpaca}};

}  // namespace

std::vector<std::string> builtin_chat_template_names() {
  std::vector<std::string> names;
  for (const Builtin& builtin : kBuiltins) names.emplace_back(builtin.name);
  return names;
}

std::optional<std::string_view> builtin_chat_template_source(std::string_view name) {
  for (const Builtin& builtin : kBuiltins) {
    if (builtin.name == name) return builtin.source;
  }
  return std::nullopt;
}

ChatTemplate builtin_chat_template(std::string_view name) {
  if (const auto source = builtin_chat_template_source(name)) {
    return {*source, "built-in chat template " + std::string(name)};
  }
  std::string known;
  for (const Builtin& builtin : kBuiltins)
    known += (known.empty() ? "" : ", ") + std::string(builtin.name);
  throw std::invalid_argument("no built-in chat template '" + std::string(name) +
                              "'; there are: " + known);
}

}  // namespace lathe
