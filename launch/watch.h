#pragma once

#include <string>

#include "launch/watch_page.h"
#include "parallel/group.h"
#include "recipes/run_config.h"

// What a rank tells its monitor, besides what it notes on the way.
namespace lathe {

// Before MPI starts: how long to be patient.
void configure_watch(WatchPage& page, const ParallelSection& parallel, const std::string& output_dir);

// Collective: the monitors learn where rank 0's listens, and watch each other from now on.
void link_watch(WatchPage& page, Group& world);

}  // namespace lathe
