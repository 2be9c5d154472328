# Writes the commit of the source as a C string to ${OUT}, only if it changed: cmake -DSOURCE=... -DOUT=... -P commit.cmake
execute_process(COMMAND git describe --always --dirty --exclude=* --abbrev=10 WORKING_DIRECTORY ${SOURCE}
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
if(failed)
  set(commit "")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "\"${commit}\"\n")
