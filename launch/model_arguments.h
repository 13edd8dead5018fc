#pragma once

#include <memory>
#include <string>

#include "data/tokenize/tokenizer.h"
#include "launch/arguments.h"
#include "trainer/model.h"

// The options by which verbs name a model that is used, not trained.
namespace lathe {

struct LoadedModel {
  std::string folder;
  std::unique_ptr<Model> model;

  // Read when it is first asked for: ids alone need none.
  const Tokenizer& tokenizer() const;

 private:
  mutable std::unique_ptr<const Tokenizer> tokenizer_;
};

struct ModelArguments {
  std::string model, adapter, dtype = "auto";

  void add_to(Arguments& arguments);
  // Throws UsageError for a dtype that there is not.
  LoadedModel load() const;
};

}  // namespace lathe
