/* Complex FFT of float32 in two planes (real parts, imaginary parts): Stockham's autosort algorithm,
   decimation in frequency, radices 4, 2, 3 and 5 (Cochran et al. 1967).

   Plain C for the compiler's vectoriser: all inner loops run over consecutive floats. */
#ifndef SWITCHBOARD_FFT_H
#define SWITCHBOARD_FFT_H

#include <stdint.h>

/* The iterations of the next loop are independent. The compiler gives up to prove it where a loop
   has ten arrays or more. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

typedef struct {
    int32_t n_points;
    int32_t n_stages;
    const int32_t *radices; /* (n_stages,), product n_points */
    /* By stage, then by output 1 ... radix - 1 of the butterfly: a row of cosines and a row of
       sines, n_left of them each, where n_left points are left to transform. */
    const float *twiddles;
} fft_plan;

typedef struct {
    float *re, *im;
} planes;

/* Transforms `x`, with `y` as work space. Returns the one of the two that holds the result.
   With real and imaginary planes exchanged, in and out, it is the inverse times n_points. */
planes fft_transform(const fft_plan *plan, planes x, planes y);

#endif
