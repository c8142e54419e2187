/*
** vector_names.h - gives the functions of one instruction set names of their own.
**
** A file that defines an instruction set says NER_ISA(name), "name with my suffix", and includes this
** before anything else. What it and vector.h call v_load is then v_load_avx2, so that all files can be
** compiled as one translation unit. vector_end.h, included last, takes back every macro.
*/
#define v_load       NER_ISA(v_load)
#define v_store      NER_ISA(v_store)
#define v_set        NER_ISA(v_set)
#define v_add        NER_ISA(v_add)
#define v_sub        NER_ISA(v_sub)
#define v_mul        NER_ISA(v_mul)
#define v_div        NER_ISA(v_div)
#define v_sqrt       NER_ISA(v_sqrt)
#define v_fma        NER_ISA(v_fma)
#define v_fnma       NER_ISA(v_fnma)
#define v_max        NER_ISA(v_max)
#define v_min        NER_ISA(v_min)
#define v_round      NER_ISA(v_round)
#define v_exp2i      NER_ISA(v_exp2i)
#define v_load_n     NER_ISA(v_load_n)
#define v_store_n    NER_ISA(v_store_n)
#define v_sum        NER_ISA(v_sum)
#define v_top        NER_ISA(v_top)
#define v_transpose  NER_ISA(v_transpose)
#define v_store_q    NER_ISA(v_store_q)
#define v_store_s    NER_ISA(v_store_s)
#define v_exp        NER_ISA(v_exp)
#define v_half_erf   NER_ISA(v_half_erf)
#define v_gelu       NER_ISA(v_gelu)
#define v_from_i     NER_ISA(v_from_i)
#define i_load       NER_ISA(i_load)
#define i_store      NER_ISA(i_store)
#define i_pair       NER_ISA(i_pair)
#define i_broadcast  NER_ISA(i_broadcast)
#define i_set        NER_ISA(i_set)
#define i_mul        NER_ISA(i_mul)
#define i_sub        NER_ISA(i_sub)
