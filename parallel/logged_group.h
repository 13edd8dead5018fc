#pragma once

#include <memory>

#include "parallel/group.h"
#include "parallel/rank_log.h"

// A group that notes its collectives, and those of the groups that are split from it, in a log. A collective that throws
// stays open there. On a GPU a call returns before its work is done: the log then says what was asked for.
namespace lathe {

// log outlives the group.
std::unique_ptr<Group> logged(std::unique_ptr<Group> group, RankLog& log);

// What the group's collectives are called in its log: dp, tp. No effect on a group without one.
void name_axis(Group& group, const char* axis);

// From now on another thread than the rank's own makes the group's calls. No effect on a group without a log.
void note_beside(Group& group);

// Null for a group without one.
RankLog* log_of(Group& group);

}  // namespace lathe
