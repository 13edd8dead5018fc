#include "data/corpus/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace lathe {
namespace {

constexpr size_t kRawBytes = 256 << 10, kHeadBytes = 4096;
constexpr std::string_view kGzipMagic = "\x1f\x8b", kZstdMagic = "\x28\xb5\x2f\xfd";

// The file as it lies on the disk.
class RawFile {
 public:
  explicit RawFile(const std::string& path) : path_(path), buffer_(kRawBytes) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0)
      throw std::invalid_argument(fmt::format("{}: can not open: {}", path, std::strerror(errno)));
    struct stat status;
    if (::fstat(fd_, &status) != 0 || S_ISDIR(status.st_mode)) {
      ::close(fd_);
      throw std::invalid_argument(path + ": is a folder, expected a file of records");
    }
    total_ = status.st_size;
  }
  ~RawFile() { ::close(fd_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  // What is read and not yet used; empty at the end of the file.
  std::string_view window() {
    if (begin_ == end_) {
      ssize_t got = 0;
      do {
        got = ::read(fd_, buffer_.data(), buffer_.size());
      } while (got < 0 && errno == EINTR);
      if (got < 0)
        throw std::runtime_error(fmt::format("{}: can not read: {}", path_, std::strerror(errno)));
      begin_ = 0;
      end_ = static_cast<size_t>(got);
      read_ += got;
    }
    return {buffer_.data() + begin_, end_ - begin_};
  }
  void use(size_t count) { begin_ += count; }
  void skip(int64_t count) {
    const auto here = std::min(count, static_cast<int64_t>(end_ - begin_));
    begin_ += static_cast<size_t>(here);
    if (here == count) return;
    if (::lseek(fd_, count - here, SEEK_CUR) < 0)
      throw std::runtime_error(fmt::format("{}: can not seek: {}", path_, std::strerror(errno)));
    read_ += count - here;
  }
  int64_t read() const { return read_; }
  int64_t total() const { return total_; }

 private:
  std::string path_;
  std::vector<char> buffer_;
  int fd_ = -1;
  size_t begin_ = 0, end_ = 0;
  int64_t read_ = 0, total_ = 0;
};

// One of these turns the raw bytes into what the user meant.
struct Unpacker {
  virtual ~Unpacker() = default;
  virtual size_t read(RawFile& raw, char* to, size_t size) = 0;
  virtual void skip(RawFile& raw, int64_t bytes) {
    std::vector<char> passed(kRawBytes);
    while (bytes > 0) {
      const size_t got =
          read(raw, passed.data(), static_cast<size_t>(std::min<int64_t>(bytes, kRawBytes)));
      if (got == 0) return;
      bytes -= static_cast<int64_t>(got);
    }
  }
};

struct Plain : Unpacker {
  size_t read(RawFile& raw, char* to, size_t size) override {
    const std::string_view window = raw.window();
    const size_t count = std::min(size, window.size());
    std::memcpy(to, window.data(), count);
    raw.use(count);
    return count;
  }
  void skip(RawFile& raw, int64_t bytes) override { raw.skip(bytes); }
};

[[noreturn]] void cut_off(const char* format) {
  throw std::invalid_argument(
      fmt::format("the {} data are cut off; the file is not whole", format));
}

// Members that stand one after another (as bgzip and cat make them) are one text.
struct Gzip : Unpacker {
  Gzip() {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { inflateEnd(&stream_); }
  size_t read(RawFile& raw, char* to, size_t size) override {
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(size, 1 << 30));
    const size_t wanted = stream_.avail_out;
    while (stream_.avail_out == wanted) {
      const std::string_view window = raw.window();
      // With nothing left to read the decoder may still hold bytes back.
      if (window.empty() && !inside_) return 0;
      inside_ = true;
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(window.data()));
      stream_.avail_in = static_cast<uInt>(window.size());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      raw.use(window.size() - stream_.avail_in);
      if (window.empty() && result == Z_BUF_ERROR) cut_off("gzip");
      if (result == Z_STREAM_END) {
        inside_ = false;
        inflateReset(&stream_);
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        throw std::invalid_argument(
            fmt::format("the gzip data are damaged ({})", stream_.msg ? stream_.msg : "no detail"));
      }
    }
    return wanted - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  bool inside_ = false;  // of a member
};

struct Zstd : Unpacker {
  Zstd() : stream_(ZSTD_createDStream()) {
    if (!stream_) throw std::bad_alloc();
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }
  size_t read(RawFile& raw, char* to, size_t size) override {
    ZSTD_outBuffer out{to, size, 0};
    while (out.pos == 0) {
      const std::string_view window = raw.window();
      // With nothing left to read the decoder may still hold bytes back.
      ZSTD_inBuffer in{window.data(), window.size(), 0};
      if (window.empty() && !inside_) return 0;
      const size_t result = ZSTD_decompressStream(stream_, &out, &in);
      if (ZSTD_isError(result)) {
        throw std::invalid_argument(
            fmt::format("the zstd data are damaged ({})", ZSTD_getErrorName(result)));
      }
      raw.use(in.pos);
      inside_ = result != 0;
      if (window.empty() && out.pos == 0) cut_off("zstd");
    }
    return out.pos;
  }

 private:
  ZSTD_DStream* stream_;
  bool inside_ = false;  // of a frame
};

std::unique_ptr<Unpacker> unpacker_for(std::string_view head) {
  if (head.starts_with(kGzipMagic)) return std::make_unique<Gzip>();
  if (head.starts_with(kZstdMagic)) return std::make_unique<Zstd>();
  return std::make_unique<Plain>();
}

}  // namespace

struct InputFile::Parts {
  explicit Parts(std::string name) : path(std::move(name)), raw(path) {
    unpacker = unpacker_for(raw.window());
    head.resize(kHeadBytes);
    size_t filled = 0;
    while (filled < kHeadBytes) {
      const size_t count = unpack(head.data() + filled, kHeadBytes - filled);
      if (count == 0) break;
      filled += count;
    }
    head.resize(filled);
  }

  size_t unpack(char* to, size_t size) try {
    return unpacker->read(raw, to, size);
  } catch (const std::invalid_argument& fault) {
    throw std::invalid_argument(fmt::format("{}: {}", path, fault.what()));
  }

  void skip(int64_t bytes) try {
    unpacker->skip(raw, bytes);
  } catch (const std::invalid_argument& fault) {
    throw std::invalid_argument(fmt::format("{}: {}", path, fault.what()));
  }

  std::string path;
  RawFile raw;
  std::unique_ptr<Unpacker> unpacker;
  std::string head;
  size_t head_given = 0;
};

InputFile::InputFile(std::string path) : parts_(std::make_unique<Parts>(std::move(path))) {}
InputFile::~InputFile() = default;

std::string_view InputFile::head() const { return parts_->head; }

size_t InputFile::read(char* to, size_t size) {
  const size_t left = parts_->head.size() - parts_->head_given;
  if (left == 0) return size == 0 ? 0 : parts_->unpack(to, size);
  const size_t count = std::min(size, left);
  std::memcpy(to, parts_->head.data() + parts_->head_given, count);
  parts_->head_given += count;
  return count;
}

void InputFile::skip(int64_t bytes) {
  const auto here = std::min(bytes, static_cast<int64_t>(parts_->head.size() - parts_->head_given));
  parts_->head_given += static_cast<size_t>(here);
  if (bytes > here) parts_->skip(bytes - here);
}

const std::string& InputFile::path() const { return parts_->path; }
int64_t InputFile::bytes_read() const { return parts_->raw.read(); }
int64_t InputFile::bytes_total() const { return parts_->raw.total(); }

}  // namespace lathe
