// The local Hugging Face cache: models--org--name/{refs/<revision>, snapshots/<commit>/<files>}.
#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "trainer/hf_folder.h"
#include "trainer/json_fields.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

bool is_plain(const std::string& part) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  };
  return !part.empty() && part[0] != '.' && part.find("..") == std::string::npos &&
         std::all_of(part.begin(), part.end(), allowed);
}

// "org/name" or "name" -> "models--org--name"; "" if it is no such thing.
std::string cache_entry(const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return is_plain(name) ? "models--" + name : "";
  const std::string org = name.substr(0, slash), rest = name.substr(slash + 1);
  return is_plain(org) && is_plain(rest) ? "models--" + org + "--" + rest : "";
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos
             ? ""
             : text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

}  // namespace

std::string hub_cache_folder(const std::function<std::string(const char*)>& environment) {
  if (const std::string hub = environment("HF_HUB_CACHE"); !hub.empty()) return hub;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
  const std::string cache = environment("XDG_CACHE_HOME");
  return (cache.empty() ? environment("HOME") + "/.cache" : cache) + "/huggingface/hub";
}

std::string resolve_model_folder(const std::string& name_or_path, const std::string& cache) {
  if (fs::is_directory(name_or_path)) return name_or_path;
  const std::string entry = cache_entry(name_or_path);
  const std::string not_here = "model \"" + name_or_path + "\" is not a folder";
  if (entry.empty() || cache.empty())
    throw std::invalid_argument(not_here + "; give the path of a model folder");

  const fs::path model = fs::path(cache) / entry, reference = model / "refs" / "main";
  const std::string advice =
      "; download it first (nothing is fetched from the network), or give a folder's path";
  if (!fs::is_regular_file(reference)) {
    throw std::invalid_argument(not_here + ", and the Hugging Face cache has no " +
                                reference.string() + advice);
  }
  const std::string commit = trimmed(read_text_file(reference.string(), 4096));
  if (!is_plain(commit))
    throw std::invalid_argument(reference.string() + ": does not hold a commit");
  const fs::path snapshot = model / "snapshots" / commit;
  if (!fs::is_directory(snapshot)) {
    throw std::invalid_argument(not_here + ", and the Hugging Face cache has no " +
                                snapshot.string() + advice);
  }
  return snapshot.string();
}

}  // namespace lathe
