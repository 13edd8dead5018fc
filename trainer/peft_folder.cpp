#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>

#include "trainer/lora.h"
#include "trainer/lora_targets.h"
#include "trainer/models/linear_layer.h"
#include "trainer/safetensors.h"

// PEFT folders in and out.
namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kFile = "adapter_model.safetensors";

std::string list_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

// Takes tensors out of an adapter's file one by one, and says in the end what was left.
class AdapterFile {
 public:
  explicit AdapterFile(const std::string& folder) : file_((fs::path(folder) / kFile).string()) {
    for (const auto& [name, entry] : file_.entries()) left_.insert(name);
  }

  void fill(Parameter& parameter) { fill(parameter, parameter.name); }
  void fill(Parameter& parameter, const std::string& bare_name) {
    const std::string name = std::string(kPrefix) + bare_name;
    if (left_.erase(name) == 0) {
      missing_.push_back(name);
      return;
    }
    const at::Tensor tensor = file_.tensor(name);
    if (!at::isFloatingType(tensor.scalar_type()) ||
        tensor.sizes() != at::IntArrayRef(parameter.whole_shape())) {
      wrong_.push_back(name + " " + c10::str(tensor.sizes()) + " where " +
                       c10::str(at::IntArrayRef(parameter.whole_shape())) + " is expected");
      return;
    }
    const at::NoGradGuard no_grad;
    parameter.value.copy_(part_of(tensor, parameter.cut));
  }

  void finish() const {
    const std::vector<std::string> extra(left_.begin(), left_.end());
    if (missing_.empty() && wrong_.empty() && extra.empty()) return;
    std::string message = file_.path() + ": the adapter does not fit its config and the model";
    if (!missing_.empty()) message += "; missing: " + list_of(missing_);
    if (!extra.empty()) message += "; extra: " + list_of(extra);
    if (!wrong_.empty()) message += "; wrong: " + list_of(wrong_);
    throw std::invalid_argument(message);
  }

 private:
  SafetensorsFile file_;
  std::set<std::string> left_;
  std::vector<std::string> missing_, wrong_;
};

void write_text(const fs::path& path, const std::string& text) {
  const std::string temporary = path.string() + ".tmp";
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
  fs::rename(temporary, path);
}

void compare_with(const std::string& path, const std::vector<NamedTensor>& tensors) {
  const SafetensorsFile file(path);
  for (const NamedTensor& each : tensors) {
    const std::string_view bytes = file.bytes(each.name);
    if (bytes.size() != each.tensor.nbytes() ||
        std::memcmp(bytes.data(), each.tensor.const_data_ptr(), bytes.size()) != 0) {
      throw std::runtime_error(path + ": tensor " + each.name +
                               " does not read back as it was written");
    }
  }
}

}  // namespace

Lora Lora::read(Model& model, const std::string& folder, bool trained) {
  const PeftConfig config = read_peft_config(folder);
  AdapterFile file(folder);
  Lora lora(model, config.lora);
  for (LinearLayer* layer : model.linear_layers()) {
    if (!is_target(config, layer->name())) continue;
    lora.attach(*layer, trained);
    LinearAdapter& adapter = *layer->adapter;
    file.fill(adapter.a);
    file.fill(adapter.b);
    if (adapter.magnitude) file.fill(*adapter.magnitude);
  }
  lora.save_modules();
  for (Saved& saved : lora.saved_) {
    for (const std::string& name : saved.file_names) file.fill(*saved.parameter, name);
    saved.parameter->trained = trained;
    saved.parameter->value.set_requires_grad(trained);
  }
  lora.train_tokens();
  if (lora.token_rows_) {
    file.fill(*lora.token_rows_);
    Parameter& table = *model.parameters().front();
    table.value.detach().index_copy_(
        0, table.row_ids, lora.token_rows_->value.detach().to(table.value.scalar_type()));
    if (!trained) table.rows = nullptr;
  }
  file.finish();
  return lora;
}

// W - s B0 A0 + s B A = W + s [B, -B0] [A; A0].
void Lora::write(const std::string& folder, const std::string& base, const Values& value) {
  std::vector<NamedTensor> tensors;
  const auto current = [&](const Parameter& parameter) {
    const at::Tensor given = value ? value(parameter.name) : at::Tensor();
    return (given.defined() ? given : parameter.value).detach().cpu().view(parameter.whole_shape());
  };
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    tensors.push_back({std::string(kPrefix) + name, tensor.contiguous()});
  };
  bool doubled = false, transposed = false;
  for (Layer& layer : layers_) {
    LinearAdapter& adapter = *layer.layer->adapter;
    at::Tensor a = current(adapter.a), b = current(adapter.b);
    if (layer.a.defined()) {
      a = at::cat({a, layer.a.cpu()}, 0);
      b = at::cat({b, -layer.b.cpu()}, 1);
      doubled = true;
    }
    add(adapter.a.name, a);
    add(adapter.b.name, b);
    if (adapter.magnitude) add(adapter.magnitude->name, current(*adapter.magnitude));
    transposed |= layer.layer->transposed;
  }
  for (const Saved& saved : saved_) {
    for (const std::string& name : saved.file_names) add(name, current(*saved.parameter));
  }
  if (token_rows_) add(token_rows_->name, current(*token_rows_));

  PeftConfig config{.lora = config_, .base_model_name_or_path = base};
  if (std::ranges::count(config_.lora_target_modules, "all-linear") > 0) {
    std::set<std::string> ends;
    for (const Layer& layer : layers_) {
      const std::string name = layer.layer->name();
      ends.insert(name.substr(name.rfind('.') + 1));
    }
    config.lora.lora_target_modules.assign(ends.begin(), ends.end());
  }
  if (doubled) {
    const double factor = config_.use_rslora ? std::sqrt(2.0) : 2;
    config.lora.lora_r *= 2;
    config.lora.lora_alpha *= factor;
    for (PatternValue& each : config.lora.rank_pattern) each.value *= 2;
    for (PatternValue& each : config.lora.alpha_pattern) each.value *= factor;
  }
  fs::create_directories(folder);
  const std::string path = (fs::path(folder) / kFile).string();
  write_safetensors(path, tensors);
  write_text(fs::path(folder) / "adapter_config.json", dump_peft_config(config, transposed));
  compare_with(path, tensors);
}

}  // namespace lathe
