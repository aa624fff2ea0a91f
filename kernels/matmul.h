/* Matrix products: what matmul.c offers to the other kernels. */
#ifndef OSTINATO_MATMUL_H
#define OSTINATO_MATMUL_H

#include "vector.h"

/* The right factor of a product, read along k: element (k, j) is row(k)[offset + j * stride], where row(k) is rows[k], or
 * base + k * step when rows is NULL. A list of rows lets a product skip padded steps and read strided outputs without a copy. */
typedef struct {
  const float *base;
  size_t step;
  const float *const *rows;
  size_t offset;
  size_t stride;
} Operand;

/* Floats that `pack_matrix` writes for a right factor [inner, columns]. */
size_t packed_matrix_floats(int inner, int columns);

/* Lays a whole right factor [inner, columns] out for `multiply_rows`. */
void pack_matrix(int inner, int columns, Operand b, float *packed);

/* Row i: c[i][0 .. columns) (+)= a[i][0 .. inner) * packed; rows wherever they lie. The rows of c must overlap neither a nor packed.
 * Element order: what stands in c (or zero), then k = 0 .. inner-1. */
void multiply_rows(int rows, const float *const *a, int inner, const float *packed, int columns, float *const *c, int accumulate);

/* Floats of scratch that `multiply` needs for an inner length of at most `inner`. */
size_t multiply_scratch_floats(int rows, int columns, int inner);

/* C [rows, columns] (+)= A * B with A's element (i, k) = a.row(k)[a.offset + i * a.stride]; row i of C is c + i * c_step and overlaps
 * neither. Same element order. */
void multiply(int rows, int columns, int inner, Operand a, Operand b, float *c, size_t c_step, int accumulate, float *scratch);

#endif
