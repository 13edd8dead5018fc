# libarrow and libparquet as an imported target, from the pyarrow wheel's folder.
#
# In:  ARROW_ROOT, the folder that has include/, libarrow.so.* and libparquet.so.* (the environment variable LATHE_ARROW wins)
# Out: Arrow::parquet, the libraries; Arrow_COMPILE_OPTIONS for the few files that include the headers
if(DEFINED ENV{LATHE_ARROW})
  set(ARROW_ROOT $ENV{LATHE_ARROW})
endif()
if(NOT ARROW_ROOT)
  # launch/bootstrap puts it here.
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(_cache $ENV{XDG_CACHE_HOME})
  else()
    set(_cache $ENV{HOME}/.cache)
  endif()
  file(GLOB ARROW_ROOT ${_cache}/lathe/torch-2.11.0/lib/python3*/site-packages/pyarrow)
endif()

# The wheel has the libraries under their versioned names only.
foreach(name arrow parquet)
  file(GLOB _found ${ARROW_ROOT}/lib${name}.so ${ARROW_ROOT}/lib${name}.so.*)
  if(_found)
    list(GET _found 0 Arrow_${name}_LIBRARY)
  endif()
endforeach()
find_path(Arrow_INCLUDE_DIR parquet/arrow/reader.h PATHS ${ARROW_ROOT}/include NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Arrow
  REQUIRED_VARS Arrow_parquet_LIBRARY Arrow_arrow_LIBRARY Arrow_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run LATHE_PARQUET=1 ./launch/bootstrap, or set LATHE_ARROW to the folder of a pyarrow wheel")

if(Arrow_FOUND AND NOT TARGET Arrow::parquet)
  add_library(Arrow::parquet INTERFACE IMPORTED)
  set(Arrow_COMPILE_OPTIONS -isystem ${Arrow_INCLUDE_DIR})
  target_link_libraries(Arrow::parquet INTERFACE ${Arrow_parquet_LIBRARY} ${Arrow_arrow_LIBRARY})
  target_link_options(Arrow::parquet INTERFACE -Wl,-rpath,${ARROW_ROOT})
endif()
