/*
** cpu_x86.h - which vector extensions this x86-64 processor has and the
** operating system saves. Asked of CPUID itself: compilers differ in the names
** their __builtin_cpu_supports() knows.
*/
#ifndef NER_CPU_X86_H
#define NER_CPU_X86_H

#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>

struct ner_cpu_x86 {
  bool avx2;       /* AVX2 and FMA */
  bool avxvnni;    /* VPDPBUSD on 256 bits, VEX */
  bool avx512;     /* F, BW, DQ, VL */
  bool avx512vnni; /* VPDPBUSD on 512 bits */
};

static inline struct ner_cpu_x86 ner_cpu_x86(void) {
  struct ner_cpu_x86 cpu = {false, false, false, false};
#ifdef NER_EMULATE
  cpu.avx2 = cpu.avxvnni = cpu.avx512 = cpu.avx512vnni = true;
#else
  const uint32_t ymm = 0x06, zmm = 0xE6; /* XCR0: SSE and AVX state; opmask and ZMM too */
  const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
  uint32_t a, b, c, d, xcr0, xcr0_high, leaves;
  if( !__get_cpuid(1, &a, &b, &c, &d) ) return cpu;
  if( (c & (fma | osxsave | avx)) != (fma | osxsave | avx) ) return cpu;
  __asm__("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
  if( (xcr0 & ymm) != ymm || !__get_cpuid_count(7, 0, &leaves, &b, &c, &d) ) return cpu;
  cpu.avx2 = b >> 5 & 1;
  if( (xcr0 & zmm) == zmm ) {
    const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    cpu.avx512 = cpu.avx2 && (b & (f | dq | bw | vl)) == (f | dq | bw | vl);
    cpu.avx512vnni = cpu.avx512 && (c >> 11 & 1);
  }
  if( leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) )
    cpu.avxvnni = cpu.avx2 && (a >> 4 & 1);
#endif
  return cpu;
}

#endif
