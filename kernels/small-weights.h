/* Small weights: recurrent forward passes that read 16 or 8 bits a weight instead of 32, for inference.
 *
 * One row and one step reads every weight once, so beyond the cache its time is that of the weights' bytes. Activations, biases and states stay
 * float32, and so do the gates; a backward pass always takes the float32 weights. What a type of weights does is in bfloat16.c and int8.c;
 * small-weights.c walks over passes, panels and rows for both.
 *
 * Legend: B batch, I input_size, H hidden_size.
 */
#ifndef OSTINATO_SMALL_WEIGHTS_H
#define OSTINATO_SMALL_WEIGHTS_H

#include "recurrent.h"

/* Rows, or panels of a single row, of the largest tile. */
enum { SMALL_TILE = VECTOR_WIDTH == 16 ? 4 : 2 };

/* Some rows and one panel of a pass, or one row and some panels, from hidden unit j on. `scratch` belongs to the first row, the others' follow. */
typedef void Tile(const Pass *pass, const Sequence *s, const Row *rows, const char *scratch, const char *panel, int j);

/* The tiles of one shape of pass, by the logarithm of how many rows or panels they take. */
typedef struct {
  Tile *rows[3], *panels[3];
} SmallTiles;

/* One type of weights. */
typedef struct {
  size_t (*panel_bytes)(const Pass *pass, int I, int H); /* a multiple of a vector's bytes */
  /* Packs the panel that begins with hidden unit j. */
  void (*pack_panel)(const Pass *pass, const Weights *w, int j, char *panel);
  size_t (*row_bytes)(int I, int H); /* scratch of one row; 0 for none */
  /* Prepares a row's scratch before the panels of a pass; NULL where there is none. */
  void (*begin)(const Pass *pass, const Sequence *s, const Row *row, char *scratch);
  SmallTiles quad, gru, pair; /* for passes of 4 chains, of the GRU's n r z q, and of 2 chains */
} SmallWeights;

/* In the order of WEIGHT_TYPES in src/kernels/kernels.ts; NULL for float32. */
extern const SmallWeights *const SMALL_WEIGHTS[3];
extern const SmallWeights BFLOAT16, INT8;

size_t small_packed_bytes(const SmallWeights *small, const Cell *cell, int I, int H);
void small_pack(const SmallWeights *small, const Cell *cell, const Weights *w, char *packed);

/* As a cell's `step`. `scratch` has row_bytes for each row. */
void small_step(const SmallWeights *small, const Cell *cell, const Forward *f, const Row *rows, int count, int from, int to, char *scratch);

/* Hidden units of chain v of the panel at j: the first row of the weights, and how many rows there are; none or fewer than none at the end. */
INLINE int chain_row(const Pass *pass, int v, int H, int j) { return pass->gate[v] * H + j + pass->unit[v]; }
INLINE int chain_lanes(const Pass *pass, int v, int H, int j) { return smaller(H - j - pass->unit[v], VECTOR_WIDTH); }

/* The biases of a panel: chains that take the inputs have b_ih, those that take the hidden units b_hh, and those that take both the sum. */
void pack_panel_biases(const Pass *pass, const Weights *w, int j, float *packed);

/* Ends a tile: sum[(i * panels + p) * chains + v] are the pre-activations. Handed on from an array of its own, because one whose address a
 * function gets is kept in memory, and the sums belong in registers. */
INLINE void finish_rows(const int rows, const int panels, const int chains, const Pass *pass, const Row *row, const vec *sum, int H, int j) {
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int p = 0; p < panels; p++) {
      vec whole[4];
      UNROLL for (int v = 0; v < chains; v++) whole[v] = sum[(i * panels + p) * chains + v];
      pass->finish(row + i, whole, H, j + p * pass->units);
    }
  }
}

/* Defines the tiles of a type from its INLINE function tile(rows, panels, chains, inputs, hidden, pass, s, row, scratch, panel, j). */
#define DEFINE_TILE(NAME, ROWS, PANELS, ...)                                                                                             \
  static NOINLINE void NAME(const Pass *pass, const Sequence *s, const Row *rows, const char *scratch, const char *panel, int j) {      \
    tile(ROWS, PANELS, __VA_ARGS__, pass, s, rows, scratch, panel, j);                                                                   \
  }
#define DEFINE_SMALLEST(SHAPE, ...)                                                                                                      \
  DEFINE_TILE(SHAPE##_one, 1, 1, __VA_ARGS__)                                                                                            \
  DEFINE_TILE(SHAPE##_two_rows, 2, 1, __VA_ARGS__)                                                                                       \
  DEFINE_TILE(SHAPE##_two_panels, 1, 2, __VA_ARGS__)
#if VECTOR_WIDTH == 16
#define DEFINE_SHAPE(SHAPE, ...)                                                                                                         \
  DEFINE_SMALLEST(SHAPE, __VA_ARGS__)                                                                                                    \
  DEFINE_TILE(SHAPE##_four_rows, 4, 1, __VA_ARGS__)                                                                                      \
  DEFINE_TILE(SHAPE##_four_panels, 1, 4, __VA_ARGS__)
#define TILES_OF(SHAPE) {{SHAPE##_one, SHAPE##_two_rows, SHAPE##_four_rows}, {SHAPE##_one, SHAPE##_two_panels, SHAPE##_four_panels}}
#else
#define DEFINE_SHAPE(SHAPE, ...) DEFINE_SMALLEST(SHAPE, __VA_ARGS__)
#define TILES_OF(SHAPE) {{SHAPE##_one, SHAPE##_two_rows}, {SHAPE##_one, SHAPE##_two_panels}}
#endif
#define DEFINE_TILES DEFINE_SHAPE(quad, 4, 4, 4) DEFINE_SHAPE(gru, 4, 3, 3) DEFINE_SHAPE(pair, 2, 2, 2)

#endif
