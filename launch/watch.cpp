#include "launch/watch.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>

#include "launch/fatal.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

// "address address ...": loopback last, as it reaches only this host's ranks. A monitor that answers on another host's
// address of the same name is told apart by the run's id.
std::string own_addresses() {
  std::string text, loopback;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return " 127.0.0.1";
  for (const ifaddrs* each = first; each; each = each->ifa_next) {
    if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET) continue;
    char address[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr, address, sizeof address);
    std::string& list = std::string(address).starts_with("127.") ? loopback : text;
    list += std::string(" ") + address;
  }
  freeifaddrs(first);
  return text + loopback;
}

}  // namespace

WatchPage* watch_page() {
  const char* file = std::getenv(kWatchVariable);
  if (!file) return nullptr;
  void* memory = mmap(nullptr, sizeof(WatchPage), PROT_READ | PROT_WRITE, MAP_SHARED, std::atoi(file), 0);
  return memory == MAP_FAILED ? nullptr : static_cast<WatchPage*>(memory);
}

void configure_watch(WatchPage& page, const ParallelSection& parallel, const std::string& output_dir) {
  page.heartbeat_timeout = static_cast<double>(parallel.heartbeat_timeout);
  const std::array<int64_t, 5> timeouts{parallel.start_timeout, parallel.data_timeout, parallel.step_timeout, parallel.eval_timeout,
                                        parallel.save_timeout};
  for (size_t phase = 0; phase < timeouts.size(); ++phase) page.timeouts[phase] = static_cast<double>(timeouts[phase]);
  std::snprintf(page.output_dir, sizeof page.output_dir, "%s", output_dir.c_str());
  page.log.enter(Phase::kStart, 0);
  page.configured = true;
}

void link_watch(WatchPage& page, Group& world) {
  std::string place;
  if (world.rank() == 0) {
    std::random_device random;
    place = fmt::format("{} {}{}", (static_cast<int64_t>(random()) << 16) | 1, page.port, own_addresses());
  }
  place = broadcast_bytes(world, place, 0);
  std::istringstream in(place);
  in >> page.run_id;
  std::string hub;
  std::getline(in, hub);
  if (hub.size() >= sizeof page.hub) hub.resize(hub.rfind(' ', sizeof page.hub - 1));
  std::snprintf(page.hub, sizeof page.hub, "%s", hub.c_str());
  page.size = world.size();
  page.linked = true;
}

}  // namespace lathe
