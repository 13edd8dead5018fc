#pragma once

#include <c10/core/Event.h>

#include <optional>

// A point in the work that a device's stream was given, for other streams to wait for. On a CPU,
// where work is done when a call returns, there is nothing to wait for.
namespace lathe {

class StreamPoint {
 public:
  // Behind all that the current stream was given.
  static StreamPoint here(c10::Device device);
  // What the current stream is given from now on waits for this point; the thread does not.
  void wait_here() const;

 private:
  std::optional<c10::Event> event_;
};

// One beside the default stream, for a c10::OptionalStreamGuard; none on a CPU.
std::optional<c10::Stream> side_stream(c10::Device device);

}  // namespace lathe
