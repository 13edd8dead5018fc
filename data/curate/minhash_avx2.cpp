#include "data/curate/minhash_loop.h"

namespace lathe {

MinHashLoops min_hash_avx2() { return minhash_loop::loops(); }

}  // namespace lathe
