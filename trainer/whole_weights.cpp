#include "trainer/whole_weights.h"

#include <ATen/ATen.h>

namespace lathe {
namespace {

constexpr int64_t kDone = -1;

class Gatherer {
 public:
  Gatherer(Model& model, const std::vector<Parameter*>& parameters, Sharding& sharding, Mesh& mesh)
      : parameters_(parameters), sharding_(sharding), mesh_(mesh) {
    int unit = 0;
    for (const std::vector<Parameter*>& members : model.units()) {
      for (const Parameter* parameter : members) unit_of_[parameter] = unit;
      ++unit;
    }
    for (size_t i = 0; i < parameters_.size(); ++i) index_of_[parameters_[i]->name] = i;
  }

  // Rank 0's, once for each weight; undefined for a name that is no parameter's.
  at::Tensor ask(const std::string& name) {
    const auto found = index_of_.find(name);
    if (found == index_of_.end()) return {};
    say(found->second);
    return gather(found->second);
  }
  void say(int64_t index) {
    at::Tensor word = at::full({1}, index, at::kLong).to(mesh_.device());
    mesh_.world().broadcast(word, 0);
  }
  // The other ranks': until rank 0 is done.
  void serve() {
    while (true) {
      at::Tensor word = at::full({1}, kDone, at::kLong).to(mesh_.device());
      mesh_.world().broadcast(word, 0);
      const int64_t index = word.item<int64_t>();
      if (index == kDone) return;
      gather(index);
    }
  }

 private:
  at::Tensor gather(int64_t index) {
    const at::NoGradGuard no_grad;
    Parameter& parameter = *parameters_.at(index);
    const int unit = unit_of_.at(&parameter);
    sharding_.begin_forward(unit);
    at::Tensor whole = whole_of(parameter.value, parameter.cut, mesh_.tp());
    // The memory behind a view may go with the unit.
    if (sharding_.num_units() > 0 && whole.is_alias_of(parameter.value)) whole = whole.clone();
    sharding_.end_forward(unit);
    return whole;
  }

  const std::vector<Parameter*>& parameters_;
  Sharding& sharding_;
  Mesh& mesh_;
  std::map<const Parameter*, int> unit_of_;
  std::map<std::string, int64_t> index_of_;
};

}  // namespace

void with_whole_weights(Model& model, const std::vector<Parameter*>& parameters, Sharding& sharding,
                        Mesh& mesh, const std::function<void(const WeightSource&)>& work) {
  sharding.begin_pass();
  Gatherer gatherer(model, parameters, sharding, mesh);
  if (mesh.world().rank() != 0) return gatherer.serve();
  try {
    work([&](const std::string& name) { return gatherer.ask(name); });
  } catch (const PeerLost&) {
    throw;
  } catch (...) {
    gatherer.say(kDone);
    throw;
  }
  gatherer.say(kDone);
}

}  // namespace lathe
