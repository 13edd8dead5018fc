#include "data/curate/minhash_loop.h"

namespace lathe {

MinHashLoops min_hash_avx512() { return minhash_loop::loops(); }

}  // namespace lathe
