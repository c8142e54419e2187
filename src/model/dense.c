/* dense.c - weights as plain floats; see dense.h. */
#include "model/internal.h"

#include "model/dense.h"

/* The layouts of kernels.h, undone. */
void ner_linear_widen(const struct ner_linear *w, float *out) {
  const size_t n_in = (size_t)w->n_in, groups = (n_in + NER_GROUP - 1) / NER_GROUP;
  for( size_t n = 0; n < (size_t)w->n_out; n++, out += n_in ) {
    const size_t panel = n / NER_PANEL, j = n % NER_PANEL;
    if( w->precision == NER_PRECISION_INT8 ) {
      const int8_t *from = (const int8_t *)w->packed + panel * groups * NER_PANEL * NER_GROUP;
      for( size_t k = 0; k < n_in; k++ )
        out[k] = w->scale[n] * from[(k / NER_GROUP * NER_PANEL + j) * NER_GROUP + k % NER_GROUP];
    } else {
      const float *from = (const float *)w->packed + panel * n_in * NER_PANEL;
      for( size_t k = 0; k < n_in; k++ ) out[k] = from[k * NER_PANEL + j];
    }
  }
}

void ner_embedding_widen(const struct ner_embedding *table, int32_t row, float *out) {
  const size_t first = (size_t)row * (size_t)table->width;
  if( table->dtype == NER_DTYPE_I8 ) {
    const int8_t *from = (const int8_t *)table->data + first;
    for( int32_t k = 0; k < table->width; k++ ) out[k] = table->scale[row] * from[k];
  } else {
    ner_widen_f32(table->dtype, table->data + first * ner_dtype_bytes(table->dtype),
                  (uint64_t)table->width, out);
  }
}
