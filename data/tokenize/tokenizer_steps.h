#pragma once

#include "data/tokenize/json_part.h"
#include "data/tokenize/spec.h"

// Reads the normalizer, pre_tokenizer, post_processor and decoder of a tokenizer.json. Sequences
// are laid out flat.
namespace lathe {

void read_normalizer(const JsonPart& part, std::vector<NormalizerStep>& steps);
void read_pre_tokenizer(const JsonPart& part, std::vector<PreTokenizerStep>& steps);
void read_post_processor(const JsonPart& part, std::vector<TemplateStep>& steps);
void read_decoder(const JsonPart& part, std::vector<DecoderStep>& steps);

}  // namespace lathe
