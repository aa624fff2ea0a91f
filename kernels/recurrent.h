/* What the recurrent cells share: the arguments of a sequence, the tile sizes, the inner loop, packing, and what a cell has to provide.
 *
 * Legend: B batch, T time, I input_size, H hidden_size, G gates per cell (RNN 1, GRU 3, LSTM 4), S saved values per unit (RNN 1, else 4).
 *
 * The hidden units of a step are computed in panels of VECTOR_WIDTH (RNN: two vectors). Rows are taken in order of descending length, so that
 * the rows still running at a step are a prefix of the order and padded steps cost nothing. A step reads h of the step before straight from
 * `output`; no state is copied between steps.
 *
 * Law: every pre-activation is one chain of multiply-adds: bias, then the inputs in order, then the hidden units in order. Where the input
 * projection is computed ahead of the steps (hoisted), the chain is stored after the inputs and taken up again: the same bits.
 */
#ifndef OSTINATO_RECURRENT_H
#define OSTINATO_RECURRENT_H

#include "call.h"
#include "matmul.h"
#include "parallel.h"

/* As in `RecurrentForward` of src/kernels/kernels.ts. */
typedef struct {
  int batch, time, input_size, hidden_size, reverse, output_stride;
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
} Backward;

/* Where one batch row finds what a step reads and writes. */
typedef struct {
  const float *x;         /* [I] */
  const float *h;         /* [H], before the step */
  const float *c;         /* [H], LSTM, before the step */
  const float *projected; /* [G*H], the chains after the inputs, in the order of the weight rows; NULL: the step begins with the inputs */
  float *cell;            /* [H], LSTM, after the step; may be c */
  float *output;          /* [H], h after the step */
  float *gates;           /* [4H] or NULL; may be `projected` */
  int32_t batch, time;    /* which row and step this is */
} Row;

/* The weights of one layer and direction in PyTorch's layout; a bias may be absent. */
typedef struct {
  int input_size, hidden_size;
  const float *weight_ih, *weight_hh, *bias_ih, *bias_hh;
} Weights;

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
  float *weights;         /* packed weight_hh */
  float *weights_n;       /* the candidate's share of packed weight_hh, GRU */
  float *weights_x;       /* packed weight_ih */
  float *product;         /* for `multiply`, one part per member */
  size_t product_floats;  /* of one part */
  int steps;              /* how many steps exist: the sum of the lengths */
  int longest;
} BackwardScratch;

/* The panels of a cell as data, for the kernels of small weights, which serve all cells. A panel has `chains` vectors of pre-activations: the
 * first `inputs` of them begin with b_ih and take the inputs, the last `hidden` begin with b_hh and take the hidden units; what belongs to
 * both begins with the sum. A cell whose hidden products need a gate first has two passes, each over all panels. */
typedef struct {
  int chains, inputs, hidden;
  int units;      /* hidden units of a panel: VECTOR_WIDTH, or twice that */
  int gate[4];    /* chain v of the panel at hidden unit j is of the rows gate[v] * H + j + unit[v] .. of the weights */
  int unit[4];    /* 0 or VECTOR_WIDTH */
  int from_gates; /* the hidden units are q = gates[3H ..] instead of h */
  void (*finish)(const Row *row, const vec *sum, int H, int j); /* from the pre-activations of one row and panel to what the pass gives */
} Pass;

/* What a cell is. Panels are counted over the hidden units; `step` computes panels from .. to-1 of some rows of one step. */
typedef struct Cell {
  int gates;         /* G */
  int saved;         /* S */
  int panel_units;   /* hidden units of a panel */
  int panels_apart;  /* whether members may take panels of one step at the same time */
  int chains;        /* of G: how many begin with both biases; the rest with bias_ih only */
  size_t (*panel_floats)(int input_size, int hidden_size); /* packed, all panels */
  void (*pack)(const Weights *weights, float *packed);
  void (*step)(const Forward *f, const Row *rows, int count, int from, int to);
  void (*begin_backward)(const Backward *b, BackwardScratch *k);
  /* One step of some rows: d_gates of the step, and d_h0, d_c0 become the gradients by the state before it. `first` is the place of the
   * first of these rows in k->from, k->to and k->d_q. */
  void (*step_backward)(const Backward *b, const Row *rows, int count, int first, BackwardScratch *k);
  void (*hidden_gradients)(const Backward *b, int index, int count, BackwardScratch *k);
  const Pass *passes;
  int pass_count;
} Cell;

extern const Cell RNN_TANH, RNN_RELU, LSTM, GRU, GRU_RESET_BEFORE;

/* Rows of a tile whose rows have four chains each, and of one whose rows have two: as many as the registers hold. */
#if VECTOR_WIDTH == 16
enum { QUAD_ROWS = 6, PAIR_ROWS = 6 };
#define EACH_QUAD(EACH) EACH(1) EACH(2) EACH(3) EACH(4) EACH(5) EACH(6)
#define EACH_PAIR(EACH) EACH(1) EACH(2) EACH(3) EACH(4) EACH(5) EACH(6)
#define QUAD_TABLE(NAME) {NAME(1), NAME(2), NAME(3), NAME(4), NAME(5), NAME(6)}
#define PAIR_TABLE(NAME) {NAME(1), NAME(2), NAME(3), NAME(4), NAME(5), NAME(6)}
#elif VECTOR_WIDTH == 8
enum { QUAD_ROWS = 3, PAIR_ROWS = 6 };
#define EACH_QUAD(EACH) EACH(1) EACH(2) EACH(3)
#define EACH_PAIR(EACH) EACH(1) EACH(2) EACH(3) EACH(4) EACH(5) EACH(6)
#define QUAD_TABLE(NAME) {NAME(1), NAME(2), NAME(3)}
#define PAIR_TABLE(NAME) {NAME(1), NAME(2), NAME(3), NAME(4), NAME(5), NAME(6)}
#else
enum { QUAD_ROWS = 2, PAIR_ROWS = 4 };
#define EACH_QUAD(EACH) EACH(1) EACH(2)
#define EACH_PAIR(EACH) EACH(1) EACH(2) EACH(3) EACH(4)
#define QUAD_TABLE(NAME) {NAME(1), NAME(2)}
#define PAIR_TABLE(NAME) {NAME(1), NAME(2), NAME(3), NAME(4)}
#endif
/* A single row has too few chains to keep the multipliers busy: it takes so many panels at once. */
enum { SOLO_PANELS = VECTOR_WIDTH == 16 ? 4 : 2 };

/* The one inner loop of the recurrent steps: sum[(i * panels + p) * stride + v] += a[i][k] * w[p][k][v] for k in order, where panel p of the
 * weights begins p * panel floats after w. Returns w after the last k. */
INLINE const float *accumulate(const int rows, const int panels, size_t panel, const int vectors, const int stride, int count,
                               const float *const *a, const float *w, vec *sum) {
  for (int k = 0; k < count; k++) {
    if (rows > 1 && VECTOR_WIDTH != 8) {
      vec weight[4];
      UNROLL for (int v = 0; v < vectors; v++) weight[v] = load(w + v * VECTOR_WIDTH);
      UNROLL for (int i = 0; i < rows; i++) {
        const vec factor = splat(a[i][k]);
        UNROLL for (int v = 0; v < vectors; v++) sum[i * stride + v] = multiply_add(factor, weight[v], sum[i * stride + v]);
      }
    } else {
      vec factor[6];
      UNROLL for (int i = 0; i < rows; i++) factor[i] = splat(a[i][k]);
      UNROLL for (int p = 0; p < panels; p++) {
        UNROLL for (int v = 0; v < vectors; v++) {
          const vec weight = load(w + p * panel + v * VECTOR_WIDTH);
          UNROLL for (int i = 0; i < rows; i++) {
            const int at = (i * panels + p) * stride + v;
            sum[at] = multiply_add(factor[i], weight, sum[at]);
          }
        }
      }
    }
    w += vectors * VECTOR_WIDTH;
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

/* Rows first .. first+rows of d_weight_hh and d_bias_hh (this member's share of them), from d_gates[offset ..] of each step and the hidden
 * values `h[.] + h_offset` that those rows were multiplied with. */
void add_hidden_gradients(const Backward *b, int first, int rows, int offset, const float *const *h, int h_offset, int index, int count,
                          BackwardScratch *k);

#endif
