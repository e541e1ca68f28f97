# Compiles core/cpu/isa/*.cpp and quant/cpu/isa/*.cpp once per instruction set, each time into a namespace of its own (core/cpu/isa.h).
function(lathe_add_isa_objects target)
  file(GLOB isa_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/core/cpu/isa/*.cpp
       ${PROJECT_SOURCE_DIR}/quant/cpu/isa/*.cpp)
  if(NOT isa_sources)
    return()
  endif()
  set(isas portable)
  set(x86 0)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND isas v3 v4)
    set(x86 1)
  endif()
  target_compile_definitions(${target} PUBLIC LATHE_X86_ISAS=${x86})
  set(lathe_pc_x86_isas ${x86} PARENT_SCOPE)  # for lathe.pc
  foreach(isa IN LISTS isas)
    add_library(lathe_isa_${isa} OBJECT ${isa_sources})
    lathe_target_options(lathe_isa_${isa})
    target_compile_definitions(lathe_isa_${isa} PRIVATE
      LATHE_X86_ISAS=${x86} LATHE_ISA_NAMESPACE=isa_${isa} LATHE_ISA_${isa}=1)
    # No errno and no floating-point traps: neither changes a value, and without them selects and sqrt vectorise.
    target_compile_options(lathe_isa_${isa} PRIVATE -fno-math-errno -fno-trapping-math)
    # -O3 for the vectoriser; v3 and v4 without -mtune=native: g++ 12's znver tuning slows products by a quarter.
    target_compile_options(lathe_isa_${isa} PRIVATE $<$<NOT:$<BOOL:${LATHE_SANITIZE}>>:-O3>
      $<$<STREQUAL:${isa},v3>:-march=x86-64-v3> $<$<STREQUAL:${isa},v4>:-march=x86-64-v4>
      $<$<STREQUAL:${isa},v4>:-mprefer-vector-width=512>)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:lathe_isa_${isa}>)
    set_property(TARGET ${target} APPEND PROPERTY LATHE_ISA_OBJECTS $<TARGET_OBJECTS:lathe_isa_${isa}>)
  endforeach()
endfunction()
