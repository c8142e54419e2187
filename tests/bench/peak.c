/*
** peak.c - what this very machine can do at most: multiply-adds on registers alone, on one
** thread. The bench quotes the kernels' speed as a share of it.
*/
#include "bench.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Twelve independent accumulators hide the latency of two multipliers. Every loop over them
** must vanish, or they live in memory and the "peak" is that of the loads. */
#define LANES 12
#define EACH  _Pragma("GCC unroll 12") for( int i = 0; i < LANES; i++ )

__attribute__((target("avx2,fma"))) static double fma_avx2(long rounds) {
  __m256 acc[LANES], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  EACH acc[i] = _mm256_set1_ps((float)i);
  for( long r = 0; r < rounds; r++ ) {
    EACH acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    __asm__ volatile("" : "+x"(a));
  }
  EACH if( i ) acc[0] = _mm256_add_ps(acc[0], acc[i]);
  bench_sink = (double)_mm256_cvtss_f32(acc[0]);
  return (double)rounds * LANES * 8 * 2;
}

__attribute__((target("avx512f"))) static double fma_avx512(long rounds) {
  __m512 acc[LANES], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  EACH acc[i] = _mm512_set1_ps((float)i);
  for( long r = 0; r < rounds; r++ ) {
    EACH acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    __asm__ volatile("" : "+v"(a));
  }
  EACH if( i ) acc[0] = _mm512_add_ps(acc[0], acc[i]);
  bench_sink = (double)_mm512_cvtss_f32(acc[0]);
  return (double)rounds * LANES * 16 * 2;
}

/* Without VNNI a product of bytes is vpmaddubsw, vpmaddwd, vpaddd: that triple is the peak. */
__attribute__((target("avx2"))) static double i8_avx2(long rounds) {
  __m256i acc[LANES], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(1), one = _mm256_set1_epi16(1);
  EACH acc[i] = _mm256_setzero_si256();
  for( long r = 0; r < rounds; r++ ) {
    EACH {
      __m256i product = _mm256_maddubs_epi16(a, b);
      __asm__ volatile("" : "+x"(product), "+x"(a));
      acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(product, one));
    }
  }
  EACH if( i ) acc[0] = _mm256_add_epi32(acc[0], acc[i]);
  bench_sink = (double)_mm256_extract_epi32(acc[0], 0);
  return (double)rounds * LANES * 32 * 2;
}

__attribute__((target("avx512f,avx512vnni"))) static double i8_avx512vnni(long rounds) {
  __m512i acc[LANES], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(1);
  EACH acc[i] = _mm512_setzero_si512();
  for( long r = 0; r < rounds; r++ ) {
    EACH __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc[i]) : "v"(a), "v"(b));
  }
  EACH if( i ) acc[0] = _mm512_add_epi32(acc[0], acc[i]);
  bench_sink = (double)_mm512_cvtsi512_si32(acc[0]);
  return (double)rounds * LANES * 64 * 2;
}

static double (*pick(bool int8))(long) {
  if( int8 ) return __builtin_cpu_supports("avx512vnni") ? i8_avx512vnni : i8_avx2;
  return __builtin_cpu_supports("avx512f") ? fma_avx512 : fma_avx2;
}

double bench_peak(bool int8) {
  double (*loop)(long), best = 0;
  if( !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ) return 0;
  loop = pick(int8);
  for( int i = 0; i < 20; i++ ) {
    double start = bench_seconds(), work = loop(1000000);
    double rate = work / (bench_seconds() - start);
    if( rate > best ) best = rate;
  }
  return best;
}

#else
double bench_peak(bool int8) {
  return 0;
}
#endif
