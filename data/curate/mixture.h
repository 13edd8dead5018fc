#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/curate/document.h"

// How often training takes what was kept of each source: curated/mixture.json, which a run's
// data.train reads when it is given the folder.
namespace lathe {

// Other shares from a step of training on: below 1 a share of all steps.
struct MixtureStage {
  double start = 0;
  std::map<std::string, double> shares;
};

struct MixtureOptions {
  // Of all words of an epoch, by source or tier; what they leave is shared by the others in
  // proportion to their words. Empty: every document is taken once.
  std::map<std::string, double> shares = {};
  std::map<std::string, double> most_words = {};  // of a source, per epoch
  double most_repeats = 4;                   // of a document, per epoch
  // A curriculum: what follows the shares above. In all of them a source or tier may have 0, which
  // leaves it out.
  std::vector<MixtureStage> stages = {};
  // A signal by which training takes documents, instead of shuffling them; empty: none. Kept records
  // have it as curated.order.
  std::string order_by = {};
  bool descending = false;  // those with most of it first
};

struct MixtureSource {
  std::string name;
  Tier tier = Tier::kSilver;
  double words = 0;   // that were kept
  double weight = 1;  // times each document is taken per epoch; the plan fills it
  double share = 0;   // of the epoch's words that comes out; so may be less than was asked for
  std::vector<double> weights = {}, shares = {};  // of every stage, the first included; none without stages
};

// An epoch has as many words as were kept. Where repeats or words of a source are limited, the
// others share what it leaves; where all are, the epoch is shorter. Sources without words are left
// out. Throws std::invalid_argument for names that are none and shares that can not be.
std::vector<MixtureSource> plan_mixture(const MixtureOptions& options,
                                        std::vector<MixtureSource> sources);

std::string mixture_json(const MixtureOptions& options, const std::vector<MixtureSource>& mixture);

struct WrittenMixture {
  struct Source {
    std::string path;
    double weight = 1;
    std::vector<double> weights;  // by stage
  };
  std::vector<Source> sources;
  std::vector<double> starts;  // of the stages, the first at 0; none: there are no stages
  std::string order_by;        // of MixtureOptions
  bool descending = false;
};

// Where a kept record has the number that MixtureOptions::order_by asks for.
inline constexpr const char* kOrderField = "curated.order";
// Folders and weights that folder/mixture.json names; nothing where there is none. Throws
// std::invalid_argument where it is no such file.
std::optional<WrittenMixture> read_mixture(const std::string& folder);

}  // namespace lathe
