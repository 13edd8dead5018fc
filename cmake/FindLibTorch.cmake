# LibTorch as imported targets, from an unpacked libtorch or from the torch wheel's folder.
#
# Why not the package's own TorchConfig.cmake: the wheel is built for CUDA and that file then demands a CUDA toolkit,
# although a program that links libtorch_cpu and libc10 only needs none.
#
# In:  LIBTORCH_ROOT, the folder that has include/ and lib/ (the environment variable LATHE_TORCH wins)
# Out: LibTorch::cpu, and LibTorch::cuda when LATHE_CUDA is on
if(DEFINED ENV{LATHE_TORCH})
  set(LIBTORCH_ROOT $ENV{LATHE_TORCH})
endif()
if(NOT LIBTORCH_ROOT)
  # launch/bootstrap puts it here.
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(_cache $ENV{XDG_CACHE_HOME})
  else()
    set(_cache $ENV{HOME}/.cache)
  endif()
  file(GLOB LIBTORCH_ROOT ${_cache}/lathe/torch-2.11.0/lib/python3*/site-packages/torch)
endif()

find_path(LibTorch_INCLUDE_DIR ATen/ATen.h PATHS ${LIBTORCH_ROOT}/include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${LIBTORCH_ROOT}/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 PATHS ${LIBTORCH_ROOT}/lib NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run ./launch/bootstrap, or set LATHE_TORCH to a libtorch 2.11 folder")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  get_filename_component(_libs ${LibTorch_CPU_LIBRARY} DIRECTORY)
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE
    ${LibTorch_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include)
  target_link_libraries(LibTorch::cpu INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
  target_link_options(LibTorch::cpu INTERFACE -Wl,-rpath,${_libs})
  # LibTorch's include folder holds an fmt of its own, newer than the system's, and it is found first: no library fits it.
  target_compile_definitions(LibTorch::cpu INTERFACE FMT_HEADER_ONLY=1)
  # The wheel's CUDA libraries, which libtorch_cpu itself asks for, lie beside it in nvidia/.
  file(GLOB _nvidia ${_libs}/../../nvidia/*/lib)
  foreach(dir ${_nvidia})
    target_link_options(LibTorch::cpu INTERFACE -Wl,-rpath-link,${dir})
  endforeach()
  if(LATHE_CUDA)
    find_library(LibTorch_CUDA_LIBRARY torch_cuda PATHS ${_libs} NO_DEFAULT_PATH REQUIRED)
    find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda PATHS ${_libs} NO_DEFAULT_PATH REQUIRED)
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    # --no-as-needed: libtorch_cuda registers its operators when it is loaded; no symbol of it is named.
    target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
      -Wl,--no-as-needed ${LibTorch_CUDA_LIBRARY} ${LibTorch_C10_CUDA_LIBRARY} -Wl,--as-needed)
  endif()
endif()
