#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel/group.h"

// What one rank decides or meets alone, made known to all before anyone acts on it.
namespace lathe {

// A signal asked for an end, and there is nothing more to save.
struct Stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The sums over the group's ranks, on every rank.
std::vector<int64_t> sum_over(Group& group, std::vector<int64_t> values);

// True on every rank if it is on one.
bool any(Group& group, bool value);

// Every rank's bytes, in rank order, on every rank.
std::vector<std::string> gather_bytes(Group& group, const std::string& bytes);

// Root's bytes, on every rank.
std::string broadcast_bytes(Group& group, std::string bytes, int root);

// Every rank runs its part, which makes no collective call. If it fails on one, every rank throws
// what the first rank that failed threw: std::invalid_argument, Stopped or, for anything else,
// std::runtime_error, with that rank's message.
void together(Group& group, const std::function<void()>& part);

}  // namespace lathe
