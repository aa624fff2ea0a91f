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

enum {
  TILE_ROWS = 4,                       /* with two vectors: 8 accumulators; more would spill where there are 16 registers */
  TILE_VECTORS = 2,
  PANEL = TILE_VECTORS * VECTOR_WIDTH, /* columns of a tile */
  INNER_BLOCK = 256,                   /* k per block: 8 KB a panel at width 4 */
  ROW_BLOCK = 96,                      /* rows of A packed at once: 96 KB */
  COLUMN_BLOCK = 32 * PANEL            /* columns of B packed at once: 256 KB at width 4 */
};

static int at_most(int value, int limit) { return value < limit ? value : limit; }
static int panels_of(int columns) { return (columns + PANEL - 1) / PANEL; }

/* Rows of the next tile, of `left`: tiles as even as possible, so that none is left with a single row. */
static int tile_rows(int left) {
  const int tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
  return (left + tiles - 1) / tiles;
}

/* One tile: rows x PANEL elements of C, of which the first `columns` columns exist. `fresh` starts from zero instead of C. */
INLINE void tile(const int rows, int inner, const float *const *a, const float *panel, float *const *c, int columns, int fresh) {
  vec sum[TILE_ROWS * TILE_VECTORS];
  const float *from[TILE_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    from[i] = a[i];
    UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
      const int left = columns - v * VECTOR_WIDTH;
      sum[i * TILE_VECTORS + v] = fresh || left <= 0 ? splat(0.0f) : load_lanes(c[i] + v * VECTOR_WIDTH, left);
    }
  }
  for (int k = 0; k < inner; k++) {
    vec w[TILE_VECTORS];
    UNROLL for (int v = 0; v < TILE_VECTORS; v++) w[v] = load(panel + v * VECTOR_WIDTH);
    panel += PANEL;
    UNROLL for (int i = 0; i < rows; i++) {
      const vec factor = splat(from[i][k]);
      UNROLL for (int v = 0; v < TILE_VECTORS; v++) sum[i * TILE_VECTORS + v] = multiply_add(factor, w[v], sum[i * TILE_VECTORS + v]);
    }
  }
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
      const int left = columns - v * VECTOR_WIDTH;
      if (left > 0) store_lanes(c[i] + v * VECTOR_WIDTH, sum[i * TILE_VECTORS + v], left);
    }
  }
}

#define TILE(ROWS)                                                                                                                      \
  static NOINLINE void tile_##ROWS(int inner, const float *const *a, const float *panel, float *const *c, int columns, int fresh) {    \
    tile(ROWS, inner, a, panel, c, columns, fresh);                                                                                     \
  }
TILE(1) TILE(2) TILE(3) TILE(4)

static void any_tile(int rows, int inner, const float *const *a, const float *panel, float *const *c, int columns, int fresh) {
  switch (rows) {
    case 1: tile_1(inner, a, panel, c, columns, fresh); break;
    case 2: tile_2(inner, a, panel, c, columns, fresh); break;
    case 3: tile_3(inner, a, panel, c, columns, fresh); break;
    default: tile_4(inner, a, panel, c, columns, fresh);
  }
}

static const float *operand_row(const Operand *o, int k) { return (o->rows ? o->rows[k] : o->base + (size_t)k * o->step) + o->offset; }

/* Packs k0 .. k0+inner and j0 .. j0+columns of B: panel after panel, each [inner][PANEL], the last one filled up with zeros. */
static void pack_block(int k0, int inner, int j0, int columns, const Operand *b, float *packed) {
  for (int j = 0; j < columns; j += PANEL) {
    const int count = at_most(columns - j, PANEL);
    for (int k = 0; k < inner; k++, packed += PANEL) {
      const float *row = operand_row(b, k0 + k) + (size_t)(j0 + j) * b->stride;
      if (b->stride == 1 && count == PANEL) {
        UNROLL for (int v = 0; v < TILE_VECTORS; v++) store(packed + v * VECTOR_WIDTH, load(row + v * VECTOR_WIDTH));
      } else {
        for (int lane = 0; lane < PANEL; lane++) packed[lane] = lane < count ? row[lane * b->stride] : 0.0f;
      }
    }
  }
}

size_t packed_matrix_floats(int inner, int columns) { return (size_t)inner * panels_of(columns) * PANEL; }

void pack_matrix(int inner, int columns, Operand b, float *packed) {
  for (int k = 0; k < inner; k += INNER_BLOCK) {
    const int depth = at_most(inner - k, INNER_BLOCK);
    pack_block(k, depth, 0, columns, &b, packed);
    packed += packed_matrix_floats(depth, columns);
  }
}

void multiply_rows(int rows, const float *const *a, int inner, const float *packed, int columns, float *const *c, int accumulate) {
  for (int i0 = 0; i0 < rows; i0 += ROW_BLOCK) {
    const int height = at_most(rows - i0, ROW_BLOCK);
    const float *block = packed;
    for (int k = 0; k < inner; k += INNER_BLOCK) {
      const int depth = at_most(inner - k, INNER_BLOCK);
      for (int j = 0; j < columns; j += PANEL, block += (size_t)depth * PANEL) {
        for (int i = i0, m; i < i0 + height; i += m) {
          m = tile_rows(i0 + height - i);
          const float *from[TILE_ROWS];
          float *to[TILE_ROWS];
          for (int row = 0; row < m; row++) {
            from[row] = a[i + row] + k;
            to[row] = c[i + row] + j;
          }
          any_tile(m, depth, from, block, to, columns - j, !accumulate && k == 0);
        }
      }
    }
  }
}

size_t multiply_scratch_floats(int rows, int columns, int inner) {
  const int depth = at_most(inner, INNER_BLOCK);
  return packed_matrix_floats(depth, at_most(columns, COLUMN_BLOCK)) + (size_t)at_most(rows, ROW_BLOCK) * depth;
}

void multiply(int rows, int columns, int inner, Operand a, Operand b, float *c, int accumulate, float *scratch) {
  if (inner == 0 && !accumulate) {
    for (size_t i = 0; i < (size_t)rows * columns; i++) c[i] = 0.0f;
    return;
  }
  const int contiguous = !a.rows && a.step == 1;
  float *const packed_b = scratch;
  float *const packed_a = scratch + packed_matrix_floats(at_most(inner, INNER_BLOCK), at_most(columns, COLUMN_BLOCK));
  for (int j0 = 0; j0 < columns; j0 += COLUMN_BLOCK) {
    const int width = at_most(columns - j0, COLUMN_BLOCK);
    for (int k0 = 0; k0 < inner; k0 += INNER_BLOCK) {
      const int depth = at_most(inner - k0, INNER_BLOCK);
      pack_block(k0, depth, j0, width, &b, packed_b);
      for (int i0 = 0; i0 < rows; i0 += ROW_BLOCK) {
        const int height = at_most(rows - i0, ROW_BLOCK);
        if (!contiguous) {
          for (int k = 0; k < depth; k++) {
            const float *row = operand_row(&a, k0 + k) + (size_t)i0 * a.stride;
            for (int i = 0; i < height; i++) packed_a[(size_t)i * depth + k] = row[(size_t)i * a.stride];
          }
        }
        for (int i = 0, m; i < height; i += m) {
          m = tile_rows(height - i);
          const float *from[TILE_ROWS];
          float *to[TILE_ROWS];
          for (int row = 0; row < m; row++) {
            from[row] = contiguous ? a.base + a.offset + (size_t)(i0 + i + row) * a.stride + k0 : packed_a + (size_t)(i + row) * depth;
            to[row] = c + (size_t)(i0 + i + row) * columns + j0;
          }
          for (int j = 0; j < width; j += PANEL) {
            any_tile(m, depth, from, packed_b + (size_t)j * depth, to, width - j, !accumulate && k0 == 0);
            for (int row = 0; row < m; row++) to[row] += PANEL;
          }
        }
      }
    }
  }
}

/* The bytes of scratch for one `matmul`. */
EXPORT(matmul_scratch) int matmul_scratch(int rows, int columns, int inner) {
  return (int)(multiply_scratch_floats(rows, columns, inner) * sizeof(float));
}

/* C [rows, columns] (+)= A [rows, inner] * B [inner, columns]; A and B read through strides, C dense and apart from both. */
EXPORT(matmul)
void matmul(int rows, int columns, int inner, const float *a, int a_row_stride, int a_column_stride, const float *b, int b_row_stride,
            int b_column_stride, float *c, int accumulate, float *scratch) {
  const Operand left = {.base = a, .step = a_column_stride, .stride = a_row_stride};
  const Operand right = {.base = b, .step = b_row_stride, .stride = b_column_stride};
  multiply(rows, columns, inner, left, right, c, accumulate, scratch);
}
