#pragma once

#include <cstdint>
#include <string>

#include "data/loader/loader.h"

// What a run has behind it: the part of its state that is not a tensor, as it stands in a
// checkpoint's `state`.
namespace lathe {

// Losses of several steps, for their mean. Steps whose update was skipped do not count.
struct LossMean {
  double sum = 0;
  int64_t steps = 0;

  void add(double loss) { sum += loss, ++steps; }
  double value() const;  // NaN of no step
};

struct Progress {
  int64_t step = 0;        // steps taken
  int64_t updates = 0;     // of the optimiser: less than step where one was skipped
  int64_t num_tokens = 0;  // seen, of all ranks
  int64_t skipped_in_a_row = 0;
  LossMean run,
      since_log;  // since_log: so that a resumed run logs what one that never stopped logs
  LoaderState data, last_data;     // behind the last step, and before it
  LoaderState bad_data;            // before the first of the steps skipped in a row
  int64_t rewinds = 0;             // times that the run went back to an earlier checkpoint
  bool evaluation_is_due = false;  // a signal came between
  int64_t best_step = 0;           // whose evaluation was the best; 0: none yet
  double best_metric = 0;
};

// fingerprint decides whether a run may be continued; config is the text behind it, for people;
// settings: what may change, a line each.
std::string dump_progress(const Progress& progress, const std::string& fingerprint,
                          const std::string& config, const std::string& settings = "");
// The lines of the settings that the state was saved under and of these that differ; "" too where
// the state tells none.
std::string changed_settings(const std::string& state, const std::string& settings);

// Throws std::invalid_argument, with the lines that differ, when the state is of another
// fingerprint; std::runtime_error when it is not a state. `where` names it.
Progress parse_progress(const std::string& state, const std::string& fingerprint,
                        const std::string& config, const std::string& where);

// The lines that only one of two texts has: "- old", "+ new".
std::string line_diff(const std::string& old_text, const std::string& new_text);

}  // namespace lathe
