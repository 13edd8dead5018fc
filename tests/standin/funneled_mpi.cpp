// To be loaded before the MPI library (LD_PRELOAD): one that can not be called from two threads. Only what parallel/mpi_group.cpp
// asks for is answered otherwise; the level is Open MPI's MPI_THREAD_FUNNELED.
extern "C" int MPI_Query_thread(int* provided) {
  *provided = 1;
  return 0;
}
