/* Matrix products: C (+)= A * B.
 *
 * The scheme is that of Goto & van de Geijn 2008 (Anatomy of High-Performance Matrix Multiplication): a tile of C stays in registers while
 * k runs; B is packed into panels as wide as a tile, cut into blocks of INNER_BLOCK along k so that a panel stays in the first cache; A is
 * packed only where its k is not contiguous.
 *
 * Law: every element of C is one chain of multiply-adds over k in order, begun with what stands in C (or zero) and carried through C from
 * block to block. Its bits depend neither on the number of rows or columns nor on where in C it lies. Padding lanes of a panel meet zeros
 * and are never stored.
 */
#include "matmul.h"
#include "call.h"
#include "parallel.h"

/* Tiles fill the registers of the target: 24 accumulators of 32 with AVX-512, 12 of 16 with AVX2, 8 of 16 at width 4, where a compiler
 * that allocates them in one pass would spill more. */
enum {
#if VECTOR_WIDTH == 16
  TILE_ROWS = 6,
  TILE_VECTORS = 4,
  INNER_BLOCK = 384,
  COLUMN_BLOCK = 512,
#elif VECTOR_WIDTH == 8
  TILE_ROWS = 6,
  TILE_VECTORS = 2,
  INNER_BLOCK = 384,
  COLUMN_BLOCK = 256,
#else
  TILE_ROWS = 4,
  TILE_VECTORS = 2,
  INNER_BLOCK = 256,
  COLUMN_BLOCK = 256,
#endif
  PANEL = TILE_VECTORS * VECTOR_WIDTH, /* columns of a tile */
  ROW_BLOCK = 96                       /* rows of A packed at once */
};

static int at_most(int value, int limit) { return value < limit ? value : limit; }
static int vectors_of(int columns) { return (columns + VECTOR_WIDTH - 1) / VECTOR_WIDTH; }

/* k per block: as even as possible. */
static int block_depth(int inner) {
  const int blocks = (inner + INNER_BLOCK - 1) / INNER_BLOCK;
  return blocks > 1 ? (inner + blocks - 1) / blocks : inner;
}

/* Rows of the next tile, of `left`: tiles as even as possible, so that none is left with a single row. */
static int tile_rows(int left) {
  const int tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
  return (left + tiles - 1) / tiles;
}

/* One tile: `rows` rows and `vectors` vectors of C, of which the first `columns` columns exist, from A's elements (i, k) = a[i][k * a_step].
 * `fresh` starts from zero instead of C. */
INLINE void tile(const int rows, const int vectors, int inner, const float *const *a, size_t a_step, const float *panel, float *const *c,
                 int columns, int fresh) {
  vec sum[TILE_ROWS * TILE_VECTORS];
  const float *from[TILE_ROWS];
  const int whole = columns >= vectors * VECTOR_WIDTH;
  UNROLL for (int i = 0; i < rows; i++) {
    from[i] = a[i];
    UNROLL for (int v = 0; v < vectors; v++) {
      const float *at = c[i] + v * VECTOR_WIDTH;
      sum[i * TILE_VECTORS + v] = fresh ? splat(0.0f) : whole ? load(at) : load_lanes(at, columns - v * VECTOR_WIDTH);
    }
  }
  for (size_t k = 0, end = inner * a_step; k < end; k += a_step) {
    vec w[TILE_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) w[v] = load(panel + v * VECTOR_WIDTH);
    panel += vectors * VECTOR_WIDTH;
    UNROLL for (int i = 0; i < rows; i++) {
      const vec factor = splat(from[i][k]);
      UNROLL for (int v = 0; v < vectors; v++) sum[i * TILE_VECTORS + v] = multiply_add(factor, w[v], sum[i * TILE_VECTORS + v]);
    }
  }
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      float *at = c[i] + v * VECTOR_WIDTH;
      if (whole) store(at, sum[i * TILE_VECTORS + v]);
      else store_lanes(at, sum[i * TILE_VECTORS + v], columns - v * VECTOR_WIDTH);
    }
  }
}

typedef void Tile(int inner, const float *const *a, size_t a_step, const float *panel, float *const *c, int columns, int fresh);

#define TILE(ROWS, VECTORS)                                                                                                             \
  static NOINLINE void tile_##ROWS##_##VECTORS(int inner, const float *const *a, size_t a_step, const float *panel, float *const *c,    \
                                               int columns, int fresh) {                                                                \
    tile(ROWS, VECTORS, inner, a, a_step, panel, c, columns, fresh);                                                                    \
  }
#if VECTOR_WIDTH == 16
#define TILES(ROWS) TILE(ROWS, 1) TILE(ROWS, 2) TILE(ROWS, 3) TILE(ROWS, 4)
#define NAMES(ROWS) {tile_##ROWS##_1, tile_##ROWS##_2, tile_##ROWS##_3, tile_##ROWS##_4}
#else
#define TILES(ROWS) TILE(ROWS, 1) TILE(ROWS, 2)
#define NAMES(ROWS) {tile_##ROWS##_1, tile_##ROWS##_2}
#endif
TILES(1) TILES(2) TILES(3) TILES(4)
#if VECTOR_WIDTH > 4
TILES(5) TILES(6)
#endif
static Tile *const TILE_OF[TILE_ROWS][TILE_VECTORS] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4),
#if VECTOR_WIDTH > 4
                                                       NAMES(5), NAMES(6),
#endif
};

static const float *operand_row(const Operand *o, int k) { return (o->rows ? o->rows[k] : o->base + (size_t)k * o->step) + o->offset; }

/* Packs k0 .. k0+inner and j0 .. j0+columns of B: panel after panel, each [inner][its vectors], lanes that do not exist zero. */
static void pack_block(int k0, int inner, int j0, int columns, const Operand *b, float *packed) {
  for (int j = 0; j < columns; j += PANEL) {
    const int count = at_most(columns - j, PANEL), width = vectors_of(count) * VECTOR_WIDTH;
    if (b->stride == 1) {
      for (int k = 0; k < inner; k++, packed += width) {
        const float *row = operand_row(b, k0 + k) + j0 + j;
        for (int lane = 0; lane < width; lane += VECTOR_WIDTH) store(packed + lane, load_lanes(row + lane, count - lane));
      }
    } else {
      /* A column of B is contiguous here, or nearly: read along it. */
      for (int lane = 0; lane < width; lane++) {
        const size_t column = (size_t)(j0 + j + lane) * b->stride;
        float *to = packed + lane;
        if (lane >= count) {
          for (int k = 0; k < inner; k++) to[(size_t)k * width] = 0.0f;
        } else if (b->rows) {
          for (int k = 0; k < inner; k++) to[(size_t)k * width] = operand_row(b, k0 + k)[column];
        } else {
          const float *from = b->base + b->offset + (size_t)k0 * b->step + column;
          for (int k = 0; k < inner; k++) to[(size_t)k * width] = from[(size_t)k * b->step];
        }
      }
      packed += (size_t)inner * width;
    }
  }
}

size_t packed_matrix_floats(int inner, int columns) { return (size_t)inner * vectors_of(columns) * VECTOR_WIDTH; }

void pack_matrix(int inner, int columns, Operand b, float *packed) {
  const int most = block_depth(inner);
  for (int k = 0; k < inner; k += most) {
    const int depth = at_most(inner - k, most);
    pack_block(k, depth, 0, columns, &b, packed);
    packed += packed_matrix_floats(depth, columns);
  }
}

/* The tiles of rows i0 .. i0+height against one panel. */
INLINE void panel_of_tiles(int i0, int height, const float *const *a, int k, int depth, const float *panel, float *const *c, int j,
                           int columns, int fresh) {
  const int vectors = vectors_of(at_most(columns - j, PANEL));
  for (int i = i0, m; i < i0 + height; i += m) {
    m = tile_rows(i0 + height - i);
    const float *from[TILE_ROWS];
    float *to[TILE_ROWS];
    for (int row = 0; row < m; row++) {
      from[row] = a[i + row] + k;
      to[row] = c[i + row] + j;
    }
    TILE_OF[m - 1][vectors - 1](depth, from, 1, panel, to, columns - j, fresh);
  }
}

void multiply_rows(int rows, const float *const *a, int inner, const float *packed, int columns, float *const *c, int accumulate) {
  const int most = block_depth(inner);
  for (int i0 = 0; i0 < rows; i0 += ROW_BLOCK) {
    const int height = at_most(rows - i0, ROW_BLOCK);
    const float *panel = packed;
    for (int k = 0; k < inner; k += most) {
      const int depth = at_most(inner - k, most);
      for (int j = 0; j < columns; j += PANEL) {
        panel_of_tiles(i0, height, a, k, depth, panel, c, j, columns, !accumulate && k == 0);
        panel += packed_matrix_floats(depth, at_most(columns - j, PANEL));
      }
    }
  }
}

/* ---- A whole product, A packed where its k is not contiguous: strips of a tile's rows, each [depth][rows] ---- */

/* Where strip number `strip` begins. Copies of SPILL floats may run over the end of a strip. */
enum { SPILL = TILE_ROWS > 4 ? 8 : 4 };
static size_t strip_at(int strip, int depth) { return (size_t)strip * (TILE_ROWS * depth + SPILL); }

/* Packs rows i0 .. i0+height of A, k0 .. k0+depth. Each row of the source, contiguous along i, is read once. */
static void pack_strips(int i0, int height, int k0, int depth, const Operand *a, float *packed) {
  int rows_of[ROW_BLOCK / TILE_ROWS + 1], strips = 0;
  for (int i = 0; i < height; i += rows_of[strips++]) rows_of[strips] = tile_rows(height - i);
  for (int k = 0; k < depth; k++) {
    const float *row = operand_row(a, k0 + k) + (size_t)i0 * a->stride;
    for (int i = 0, strip = 0; strip < strips; i += rows_of[strip++]) {
      const int m = rows_of[strip];
      float *to = packed + strip_at(strip, depth) + (size_t)k * m;
      if (a->stride == 1 && i + SPILL <= height) {
        __builtin_memcpy(to, row + i, SPILL * sizeof(float));
      } else {
        for (int lane = 0; lane < m; lane++) to[lane] = row[(size_t)(i + lane) * a->stride];
      }
    }
  }
}

/* Enough for every inner length up to `inner`: the steps of a ragged batch are fewer than its rows times its time, and blocks that are evened
 * out may be deeper for fewer. */
size_t multiply_scratch_floats(int rows, int columns, int inner) {
  const int depth = at_most(inner, INNER_BLOCK), strips = (at_most(rows, ROW_BLOCK) + TILE_ROWS - 1) / TILE_ROWS;
  return packed_matrix_floats(depth, at_most(columns, COLUMN_BLOCK)) + strip_at(strips, depth);
}

void multiply(int rows, int columns, int inner, Operand a, Operand b, float *c, size_t c_step, int accumulate, float *scratch) {
  if (inner == 0 && !accumulate) {
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) c[i * c_step + j] = 0.0f;
    }
    return;
  }
  const int contiguous = !a.rows && a.step == 1, most = block_depth(inner);
  float *const packed_b = scratch;
  float *const packed_a = scratch + packed_matrix_floats(most, at_most(columns, COLUMN_BLOCK));
  for (int j0 = 0; j0 < columns; j0 += COLUMN_BLOCK) {
    const int width = at_most(columns - j0, COLUMN_BLOCK);
    for (int k0 = 0; k0 < inner; k0 += most) {
      const int depth = at_most(inner - k0, most), fresh = !accumulate && k0 == 0;
      pack_block(k0, depth, j0, width, &b, packed_b);
      for (int i0 = 0; i0 < rows; i0 += ROW_BLOCK) {
        const int height = at_most(rows - i0, ROW_BLOCK);
        if (!contiguous) pack_strips(i0, height, k0, depth, &a, packed_a);
        const float *panel = packed_b;
        for (int j = 0; j < width; j += PANEL) {
          const int vectors = vectors_of(at_most(width - j, PANEL));
          int strip = 0;
          for (int i = 0, m; i < height; i += m, strip++) {
            m = tile_rows(height - i);
            const float *from[TILE_ROWS];
            float *to[TILE_ROWS];
            for (int row = 0; row < m; row++) {
              from[row] = contiguous ? a.base + a.offset + (size_t)(i0 + i + row) * a.stride + k0 : packed_a + strip_at(strip, depth) + row;
              to[row] = c + (size_t)(i0 + i + row) * c_step + j0 + j;
            }
            TILE_OF[m - 1][vectors - 1](depth, from, contiguous ? 1 : (size_t)m, panel, to, width - j, fresh);
          }
          panel += packed_matrix_floats(depth, at_most(width - j, PANEL));
        }
      }
    }
  }
}

/* ---- The kernels ---- */

enum { ENOUGH = 1 << 18 }; /* multiply-adds that pay for waking a thread */

typedef struct {
  int rows, columns, inner, accumulate;
  Operand a, b;
  float *c, *scratch;
  size_t scratch_floats; /* of one member */
} Product;

/* Shares out rows or columns of C, whichever are more: each member packs what it needs. */
static void product_body(void *context, int index, int count) {
  const Product *p = context;
  float *scratch = p->scratch + index * p->scratch_floats;
  Operand a = p->a, b = p->b;
  if (p->rows >= p->columns) {
    const Share share = share_of(p->rows, TILE_ROWS, index, count);
    a.offset += (size_t)share.from * a.stride;
    float *c = p->c + (size_t)share.from * p->columns;
    multiply(share.to - share.from, p->columns, p->inner, a, b, c, p->columns, p->accumulate, scratch);
  } else {
    const Share share = share_of(p->columns, PANEL, index, count);
    b.offset += (size_t)share.from * b.stride;
    multiply(p->rows, share.to - share.from, p->inner, a, b, p->c + share.from, p->columns, p->accumulate, scratch);
  }
}

/* C [rows, columns] (+)= A [rows, inner] * B [inner, columns]; A and B read through strides, C dense and apart from both. */
size_t matmul_kernel(Call *call) {
  Product p;
  p.rows = next_int(call), p.columns = next_int(call), p.inner = next_int(call);
  const float *a = next_floats(call);
  const int a_row_stride = next_int(call), a_column_stride = next_int(call);
  const float *b = next_floats(call);
  const int b_row_stride = next_int(call), b_column_stride = next_int(call);
  p.a = (Operand){.base = a, .step = a_column_stride, .stride = a_row_stride};
  p.b = (Operand){.base = b, .step = b_row_stride, .stride = b_column_stride};
  p.c = next_floats(call);
  p.accumulate = next_int(call);
  const int threads = threads_for(call->threads, (double)p.rows * p.columns * p.inner, ENOUGH);
  p.scratch_floats = (multiply_scratch_floats(p.rows, p.columns, p.inner) + 15) & ~(size_t)15;
  const size_t wanted = threads * p.scratch_floats * sizeof(float);
  if (wanted > call->scratch_bytes) return wanted;
  p.scratch = (float *)call->scratch;
  parallel(threads, product_body, &p);
  return 0;
}
