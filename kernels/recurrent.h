/* What the three recurrent cells share: the arguments of a sequence, the walk over its steps, packing, and the parameter gradients.
 *
 * Legend: B batch, T time, I input_size, H hidden_size, G gates per cell (RNN 1, GRU 3, LSTM 4), S saved values per unit (RNN 1, else 4).
 *
 * Rows are taken in order of descending length, so that the rows still running at a step are a prefix of the order and padded steps cost
 * nothing. A step reads h of the step before straight from `output`; no state is copied between steps.
 *
 * The argument structs are blocks of 32-bit integers on WebAssembly, filled by src/kernels/wasm.ts in the order of their fields.
 */
#ifndef OSTINATO_RECURRENT_H
#define OSTINATO_RECURRENT_H

#include "matmul.h"

/* As in `RecurrentForward` of src/kernels/kernels.ts. */
typedef struct {
  int32_t batch, time, input_size, hidden_size, reverse, output_stride;
  const int32_t *lengths; /* [B] */
  const float *x;         /* [B, T, I] */
  const float *h0;        /* [B, H] */
  const float *c0;        /* [B, H], LSTM */
  float *output;          /* row (b, t) at (b*T + t) * output_stride */
  float *gates;           /* [B, T, 4H] or NULL */
  float *cells;           /* [B, T, H], LSTM, or NULL */
} Sequence;

typedef struct {
  Sequence s;
  const float *packed;
  float *hN; /* [B, H]; may be h0 */
  float *cN; /* [B, H], LSTM; may be c0 */
  void *scratch;
} Forward;

typedef struct {
  Sequence s;
  const float *weight_ih; /* [G*H, I] */
  const float *weight_hh; /* [G*H, H] */
  const float *d_output;  /* laid out as output, or NULL */
  const float *d_hN;      /* [B, H] or NULL */
  const float *d_cN;      /* [B, H] or NULL */
  float *d_gates;         /* [B, T, S*H]; may be gates */
  float *d_x;             /* the rest: += or NULL, see kernels.ts */
  float *d_weight_ih;
  float *d_weight_hh;
  float *d_bias_ih;
  float *d_bias_hh;
  float *d_h0; /* [B, H], the running gradient by h */
  float *d_c0; /* [B, H], LSTM, the running gradient by c */
  void *scratch;
} Backward;

/* Where one batch row finds what a step reads and writes. */
typedef struct {
  const float *x;      /* [I] */
  const float *h;      /* [H], before the step */
  const float *c;      /* [H], LSTM, before the step */
  float *cell;         /* [H], LSTM, after the step; may be c */
  float *output;       /* [H], h after the step */
  float *gates;        /* [4H] or NULL */
  int32_t batch, time; /* which row and step this is */
} Row;

/* Takes blocks of 64-byte aligned scratch in turn. A walk from NULL counts the bytes. */
typedef struct {
  char *next;
} Scratch;

INLINE void *take(Scratch *scratch, size_t bytes) {
  char *block = scratch->next;
  scratch->next += (bytes + 63) & ~(size_t)63;
  return block;
}

/* sum[i * stride + v] += a[i][k] * w[k][v] for k in order: the one inner loop of the recurrent steps. Returns w after the last k. */
INLINE const float *accumulate(const int rows, const int vectors, const int stride, int count, const float *const *a, const float *w,
                               vec *sum) {
  for (int k = 0; k < count; k++) {
    vec weight[4];
    UNROLL for (int v = 0; v < vectors; v++) weight[v] = load(w + v * VECTOR_WIDTH);
    w += vectors * VECTOR_WIDTH;
    UNROLL for (int i = 0; i < rows; i++) {
      const vec factor = splat(a[i][k]);
      UNROLL for (int v = 0; v < vectors; v++) sum[i * stride + v] = multiply_add(factor, weight[v], sum[i * stride + v]);
    }
  }
  return w;
}

INLINE int smaller(int a, int b) { return a < b ? a : b; }

/* Rows of the next tile of at most `most`, out of `left`: tiles as even as possible. */
INLINE int next_rows(int left, int most) {
  const int tiles = (left + most - 1) / most;
  return (left + tiles - 1) / tiles;
}

/* Packs `count` columns k of weights [., count]: for each k, `vectors` vectors; vector v holds rows first[v] .. first[v] + lanes[v] - 1 of
 * column k, then zeros. Returns the end. */
float *pack_weights(const float *weights, int count, int vectors, const int *first, const int *lanes, float *packed);

/* Packs biases in the same way: vector v holds a[first[v] + lane] + b[first[v] + lane], where an absent array counts as zeros. */
float *pack_biases(const float *a, const float *b, int vectors, const int *first, const int *lanes, float *packed);

/* Scratch of a forward pass: the order of the rows, then the rows of one step. */
typedef struct {
  int32_t *order;  /* [B], by descending length, equal lengths in order */
  int32_t *counts; /* [T + 1] */
  Row *rows;       /* [B] */
  float *gates;    /* [B, 4H] when asked for, else NULL */
} ForwardScratch;
ForwardScratch forward_scratch(const Sequence *s, int with_gates, Scratch *scratch);

/* Sorts the rows and zeroes outputs and saved values at padded steps. */
void begin_forward(const Forward *f, ForwardScratch *scratch);

/* Fills `rows` with the rows that have a step number `step`; returns how many. `active` is the count of the step before (or B), or for a
 * walk backwards that of the step after (or 0). `c` names where LSTM cells live when s->cells is NULL. */
int rows_at(const Sequence *s, int step, const int32_t *order, int active, float *c, Row *rows);

/* Copies the last states to hN and, where there are cells, cN. */
void finish_forward(const Forward *f);

/* Scratch of a backward pass. */
typedef struct {
  int32_t *order;
  int32_t *counts;
  Row *rows;              /* [B] */
  const float **from;     /* [B], rows of the left factor of one step's product */
  float **to;             /* [B], rows of its result */
  const float **gradient; /* [B*T], d_gates of every step that exists */
  const float **x;        /* [B*T] */
  const float **h;        /* [B*T], h before the step */
  float **d_x;            /* [B*T] */
  float *d_q;             /* [B, H], GRU with the reset before */
  float *weights;         /* packed weight_hh, later packed weight_ih */
  float *weights_n;       /* the candidate's share of packed weight_hh, GRU */
  float *product;         /* for `multiply` */
  int steps;              /* how many steps exist: the sum of the lengths */
} BackwardScratch;
BackwardScratch backward_scratch(const Sequence *s, int gates, Scratch *scratch);

/* Sorts the rows, lists all steps that exist (row by row, each in the order of its walk), and starts the running gradients from d_hN and
 * d_cN. Returns the number of steps of the longest row. `saved` is S. */
int begin_backward(const Backward *b, int saved, BackwardScratch *scratch);

/* d_x, d_weight_ih and d_bias_ih from the first G*H values of each step's d_gates. Overwrites scratch->weights. */
void add_input_gradients(const Backward *b, int gates, BackwardScratch *scratch);

/* Rows first .. first+count of d_weight_hh and d_bias_hh, from d_gates[offset ..] of each step and the hidden values `h[.] + h_offset`
 * that those rows were multiplied with. */
void add_hidden_gradients(const Backward *b, int first, int count, int offset, const float *const *h, int h_offset,
                          BackwardScratch *scratch);

#endif
