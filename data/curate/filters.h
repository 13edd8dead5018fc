#pragma once

#include "data/curate/filter.h"

// Each in a file of its name. A new one is a file, a line here and a line in filter.cpp.
namespace lathe {

Filter gopher_quality_filter();
Filter gopher_repetition_filter();
Filter c4_filter();
Filter c4_paragraph_filter();
Filter fineweb_filter();
Filter english_filter();
Filter dclm_filter();
Filter url_filter();
Filter language_filter();
Filter unigram_filter();
Filter quality_filter();
Filter likelihood_filter();
Filter contamination_filter();
Filter pii_filter();
Filter chat_filter();

}  // namespace lathe
