/* The walk over passes, panels and rows that all types of small weights share. See small-weights.h. */
#include "small-weights.h"

const SmallWeights *const SMALL_WEIGHTS[3] = {NULL, &BFLOAT16, &INT8};

static int panels_of(const Pass *pass, int H) { return (H + pass->units - 1) / pass->units; }

size_t small_packed_bytes(const SmallWeights *small, const Cell *cell, int I, int H) {
  size_t bytes = 0;
  for (int p = 0; p < cell->pass_count; p++) bytes += panels_of(cell->passes + p, H) * small->panel_bytes(cell->passes + p, I, H);
  return bytes;
}

void small_pack(const SmallWeights *small, const Cell *cell, const Weights *w, char *packed) {
  for (int p = 0; p < cell->pass_count; p++) {
    const Pass *pass = cell->passes + p;
    for (int j = 0; j < w->hidden_size; j += pass->units) {
      small->pack_panel(pass, w, j, packed);
      packed += small->panel_bytes(pass, w->input_size, w->hidden_size);
    }
  }
}

void pack_panel_biases(const Pass *pass, const Weights *w, int j, float *packed) {
  for (int v = 0; v < pass->chains; v++) {
    const int first = chain_row(pass, v, w->hidden_size, j), lanes = chain_lanes(pass, v, w->hidden_size, j);
    const float *ih = v < pass->inputs ? w->bias_ih : NULL, *hh = v >= pass->chains - pass->hidden ? w->bias_hh : NULL;
    packed = pack_biases(ih, hh, 1, &first, &lanes, packed);
  }
}

/* The largest tile that fits into so many rows or panels, as a logarithm. */
static int tile_of(int left) { return SMALL_TILE == 4 && left >= 4 ? 2 : left >= 2 ? 1 : 0; }

void small_step(const SmallWeights *small, const Cell *cell, const Forward *f, const Row *rows, int count, int from, int to, char *scratch) {
  const Sequence *s = &f->s;
  const int I = s->input_size, H = s->hidden_size;
  const size_t row_bytes = small->row_bytes(I, H);
  const char *packed = (const char *)f->packed;
  for (int p = 0; p < cell->pass_count; p++) {
    const Pass *pass = cell->passes + p;
    const size_t panel = small->panel_bytes(pass, I, H);
    const SmallTiles *tiles = pass->chains == 2 ? &small->pair : pass->inputs == 4 ? &small->quad : &small->gru;
    /* Where a step has two passes, the panels are never shared out. */
    int at = cell->pass_count == 1 ? from : 0;
    const int end = cell->pass_count == 1 ? to : panels_of(pass, H);
    for (int i = 0; small->begin && i < count; i++) small->begin(pass, s, rows + i, scratch + i * row_bytes);
    while (at < end) {
      /* A single row has too few chains to keep the multipliers busy: it takes several panels at once. */
      const int panels = count == 1 ? tile_of(end - at) : 0;
      if (count == 1) tiles->panels[panels](pass, s, rows, scratch, packed + at * panel, at * pass->units);
      for (int i = 0, more; count > 1 && i < count; i += 1 << more) {
        more = tile_of(count - i);
        tiles->rows[more](pass, s, rows + i, scratch + i * row_bytes, packed + at * panel, at * pass->units);
      }
      at += 1 << panels;
    }
    packed += panels_of(pass, H) * panel;
  }
}
