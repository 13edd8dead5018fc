#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

// Measurements as lines for people: fixed columns, no control characters, so that a log file reads
// like a terminal.
namespace lathe {

using MetricRow = std::vector<std::pair<std::string, double>>;  // in the order shown

// "step  100/500  epoch 0.42  loss 1.234  grad_norm 0.91  lr 1.9e-05  12.3k tok/s  data 0.2 %  eta
// 2m10s". Keys of the row that it does not know are appended as they are.
std::string train_line(int64_t step, int64_t total_steps, const MetricRow& row);
// "[######....] 34/100  loss 1.2345"
std::string bar_line(int64_t step, int64_t total_steps, double loss);
// "eval  step 100  eval_loss 1.234  ..."
std::string eval_line(int64_t step, const MetricRow& row);

// 130 -> "2m10s", 3725 -> "1h02m", 5.2 -> "5s".
std::string short_duration(double seconds);
// 12345 -> "12.3k".
std::string short_count(double count);

}  // namespace lathe
