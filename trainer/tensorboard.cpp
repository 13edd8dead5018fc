#include "trainer/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <ctime>
#include <stdexcept>

namespace lathe {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}();

template <class T>
void append(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Protobuf's wire format: a key is field number << 3 | type (0 varint, 1 eight bytes, 2 length and
// bytes, 5 four bytes).
void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void append_bytes(std::string& out, char key, std::string_view bytes) {
  out.push_back(key);
  append_varint(out, bytes.size());
  out.append(bytes);
}

// An Event with its time (field 1) and step (field 2).
std::string event_at(int64_t step) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string event;
  event.push_back(0x09);
  append(event, now.count());
  if (step != 0) {
    event.push_back(0x10);
    append_varint(event, static_cast<uint64_t>(step));
  }
  return event;
}

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 && name[0] != 0 ? name : "localhost";
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

EventWriter::EventWriter(const std::string& folder, int64_t first_step) {
  const std::string stem = folder + "/events.out.tfevents." + std::to_string(std::time(nullptr)) +
                           "." + host_name() + "." + std::to_string(getpid()) + ".";
  for (int n = 0; !file_ && n < 1000; ++n) {
    path_ = stem + std::to_string(n);
    file_ = std::fopen(path_.c_str(), "wbx");
  }
  if (!file_)
    throw std::runtime_error("metrics: can not create " + path_ + ": " + std::strerror(errno));
  std::string version = event_at(0);
  append_bytes(version, 0x1a, "brain.Event:2");
  record(version);
  if (first_step > 0) {
    std::string session = event_at(first_step);
    append_bytes(session, 0x3a, std::string_view("\x08\x01", 2));  // session_log {status: START}
    record(session);
  }
  flush();
}

EventWriter::~EventWriter() { std::fclose(file_); }

void EventWriter::scalar(const std::string& tag, int64_t step, double value) {
  std::string item;
  append_bytes(item, 0x0a, tag);
  item.push_back(0x15);
  append(item, static_cast<float>(value));
  std::string summary;
  append_bytes(summary, 0x0a, item);
  std::string event = event_at(step);
  append_bytes(event, 0x2a, summary);
  record(event);
}

void EventWriter::record(std::string_view event) {
  std::string bytes;
  append(bytes, static_cast<uint64_t>(event.size()));
  append(bytes, masked_crc32c(bytes));
  bytes.append(event);
  append(bytes, masked_crc32c(event));
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
    throw std::runtime_error("metrics: can not write " + path_ + ": " + std::strerror(errno));
  }
}

void EventWriter::flush() {
  if (std::fflush(file_) != 0) {
    throw std::runtime_error("metrics: can not write " + path_ + ": " + std::strerror(errno));
  }
}

}  // namespace lathe
