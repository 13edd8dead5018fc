#include "recipes/iteration_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace lathe {
namespace {

TEST(IterationChanges, LaterIterationsMayHaveOtherValues) {
  RunConfig config;
  config.recipe = "self_reward";
  config.self_reward.iterations = 4;
  config.self_reward.changes = {{.from = 2, .set = {"self_reward.temperature=1.3", "dpo.beta=5"}},
                                {.from = 3, .set = {"length_control=0.4"}}};
  check_self_reward(config);
  EXPECT_EQ(config_of_iteration(config, 1).self_reward.temperature, 0.8);
  const RunConfig third = config_of_iteration(config, 2), fourth = config_of_iteration(config, 3);
  EXPECT_EQ(third.self_reward.temperature, 1.3);
  EXPECT_EQ(third.dpo.beta, 5);
  EXPECT_EQ(third.self_reward.length_control, 0.1);
  EXPECT_EQ(fourth.dpo.beta, 5);
  EXPECT_EQ(fourth.self_reward.length_control, 0.4);
  for (const auto& [setting, message] : std::map<std::string, std::string>{
           {"seed=3", "seed is the same in all iterations"},
           {"prompts_per_iteration=3", "is the same in all iterations"},
           {"dpo.beta=-1", "self_reward.changes, from 1: "},
           {"dpo.bta=1", "dpo.beta"}}) {
    config.self_reward.changes = {{.from = 1, .set = {setting}}};
    EXPECT_THAT([&] { check_self_reward(config); },
                testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(message)));
  }
  config.self_reward.changes.clear();
  config.self_reward.consistency = true;
  check_self_reward(config);
  config.dpo.loss_type = {"irpo"};
  EXPECT_THAT([&] { check_self_reward(config); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("[sigmoid]")));
}

}  // namespace
}  // namespace lathe
