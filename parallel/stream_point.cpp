#include "parallel/stream_point.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace lathe {

StreamPoint StreamPoint::here(c10::Device device) {
  StreamPoint point;
  if (device.is_cpu()) return point;
  const c10::impl::VirtualGuardImpl streams(device.type());
  point.event_.emplace(device.type());
  point.event_->record(streams.getStream(device));
  return point;
}

void StreamPoint::wait_here() const {
  if (!event_) return;
  const c10::impl::VirtualGuardImpl streams(event_->device_type());
  event_->block(streams.getStream(event_->device()));
}

std::optional<c10::Stream> side_stream(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  // Its kernels go first: they are few, and the passes wait for them.
  return c10::impl::VirtualGuardImpl(device.type())
      .getStreamFromGlobalPool(device, /*isHighPriority=*/true);
}

}  // namespace lathe
