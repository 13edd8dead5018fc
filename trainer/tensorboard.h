#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

// TensorBoard's event file: records of an Event protobuf, framed by lengths and masked CRC-32C
// (tensorflow/core/lib/io/ record_writer, tensorflow/core/util/event.proto). Only scalars.
namespace lathe {

class EventWriter {
 public:
  // Makes <folder>/events.out.tfevents.<unix time>.<host>.<pid>.<n>, n the first that is free.
  // first_step > 0: readers are told to forget what older files hold from that step on (a resumed
  // run logs it again).
  explicit EventWriter(const std::string& folder, int64_t first_step = 0);
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  void scalar(const std::string& tag, int64_t step, double value);
  void flush();

 private:
  void record(std::string_view event);

  std::FILE* file_ = nullptr;
  std::string path_;
};

// CRC-32C (Castagnoli), and the form in which the records hold it.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace lathe
