/* What is called once a block: the whole way from frames to samples. */
#include <stddef.h>

#include "inversion.h"
#include "tape.h"

/* Without a tape where `t` is null. */
void synthesis_process(inversion *s, tape *t, const float *rows, int32_t n_frames,
                       int32_t n_iterations, float *out) {
    inversion_process(s, rows, n_frames, n_iterations, out);
    if (t != NULL) tape_process(t, out, n_frames * 2 * s->half_hop);
}

/* So that Python, which declares the structs once more, can compare. */
int32_t size_of_inversion(void) { return (int32_t)sizeof(inversion); }
int32_t size_of_tape(void) { return (int32_t)sizeof(tape); }
