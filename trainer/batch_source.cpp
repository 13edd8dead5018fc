#include "trainer/batch_source.h"

namespace lathe {

BatchSource batches_of(Loader& loader) {
  return {.next = [&loader] { return loader.next(); },
          .state = [&loader] { return loader.state(); },
          .seek = [&loader](LoaderState state) { loader.seek(state); },
          .take_wait_seconds = [&loader] { return loader.take_wait_seconds(); },
          .steps_per_epoch = loader.steps_per_epoch(),
          .rows_per_epoch = loader.rows_per_epoch()};
}

}  // namespace lathe
