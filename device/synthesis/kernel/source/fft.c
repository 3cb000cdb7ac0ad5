#include "fft.h"

/* What follows is written once for all radices: `LOAD` reads the inputs of one butterfly, which are
   `apart` from one another; `STORE` multiplies an output by its twiddle and writes it. */
#define LOAD(k) float r##k = xr[at + (k) * apart], i##k = xi[at + (k) * apart];
#define STORE(k, re, im)                                                                           \
    {                                                                                              \
        float a = (re), b = (im);                                                                  \
        yr[to + (k) * step] = a * cosine(k) - b * sine(k);                                         \
        yi[to + (k) * step] = a * sine(k) + b * cosine(k);                                         \
    }
#define STORE_FIRST(re, im)                                                                        \
    yr[to] = (re);                                                                                 \
    yi[to] = (im);

#define BUTTERFLY_2                                                                                \
    LOAD(0) LOAD(1)                                                                                \
    STORE_FIRST(r0 + r1, i0 + i1)                                                                  \
    STORE(1, r0 - r1, i0 - i1)

#define BUTTERFLY_3                                                                                \
    LOAD(0) LOAD(1) LOAD(2)                                                                        \
    float sum_r = r1 + r2, sum_i = i1 + i2;                                                        \
    float middle_r = r0 - 0.5f * sum_r, middle_i = i0 - 0.5f * sum_i;                              \
    float turned_r = SIN_THIRD * (i1 - i2), turned_i = SIN_THIRD * (r2 - r1);                      \
    STORE_FIRST(r0 + sum_r, i0 + sum_i)                                                            \
    STORE(1, middle_r + turned_r, middle_i + turned_i)                                             \
    STORE(2, middle_r - turned_r, middle_i - turned_i)

#define BUTTERFLY_4                                                                                \
    LOAD(0) LOAD(1) LOAD(2) LOAD(3)                                                                \
    float even_r = r0 + r2, even_i = i0 + i2, odd_r = r1 + r3, odd_i = i1 + i3;                    \
    float apart_r = r0 - r2, apart_i = i0 - i2, turned_r = i1 - i3, turned_i = r3 - r1;            \
    STORE_FIRST(even_r + odd_r, even_i + odd_i)                                                    \
    STORE(1, apart_r + turned_r, apart_i + turned_i)                                               \
    STORE(2, even_r - odd_r, even_i - odd_i)                                                       \
    STORE(3, apart_r - turned_r, apart_i - turned_i)

#define BUTTERFLY_5                                                                                \
    LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4)                                                        \
    float outer_r = r1 + r4, outer_i = i1 + i4, inner_r = r2 + r3, inner_i = i2 + i3;              \
    float outer_dr = r1 - r4, outer_di = i1 - i4, inner_dr = r2 - r3, inner_di = i2 - i3;          \
    float near_r = r0 + COS_FIFTH * outer_r + COS_2_FIFTHS * inner_r;                              \
    float near_i = i0 + COS_FIFTH * outer_i + COS_2_FIFTHS * inner_i;                              \
    float far_r = r0 + COS_2_FIFTHS * outer_r + COS_FIFTH * inner_r;                               \
    float far_i = i0 + COS_2_FIFTHS * outer_i + COS_FIFTH * inner_i;                               \
    float near_tr = SIN_FIFTH * outer_di + SIN_2_FIFTHS * inner_di;                                \
    float near_ti = -SIN_FIFTH * outer_dr - SIN_2_FIFTHS * inner_dr;                               \
    float far_tr = SIN_2_FIFTHS * outer_di - SIN_FIFTH * inner_di;                                 \
    float far_ti = SIN_FIFTH * inner_dr - SIN_2_FIFTHS * outer_dr;                                 \
    STORE_FIRST(r0 + outer_r + inner_r, i0 + outer_i + inner_i)                                    \
    STORE(1, near_r + near_tr, near_i + near_ti)                                                   \
    STORE(2, far_r + far_tr, far_i + far_ti)                                                       \
    STORE(3, far_r - far_tr, far_i - far_ti)                                                       \
    STORE(4, near_r - near_tr, near_i - near_ti)

#define SIN_THIRD 0.866025403784438647f
#define COS_FIFTH 0.309016994374947424f
#define COS_2_FIFTHS (-0.809016994374947424f)
#define SIN_FIFTH 0.951056516295153572f
#define SIN_2_FIFTHS 0.587785252292473129f

/* One stage: `n_left` butterflies, each over `stride` sequences that lie side by side. In the first
   stage there is one sequence, and the loop runs over the butterflies instead. */
#define STAGE(RADIX)                                                                               \
    static void first_stage_##RADIX(int n_left, const float *restrict w, const float *restrict xr, \
                                    const float *restrict xi, float *restrict yr,                  \
                                    float *restrict yi) {                                          \
        const int apart = n_left, step = 1;                                                        \
        INDEPENDENT                                                                                \
        for (int p = 0; p < n_left; p++) {                                                         \
            const int at = p, to = RADIX * p;                                                      \
            BUTTERFLY_##RADIX                                                                      \
        }                                                                                          \
    }
#define cosine(k) w[(2 * (k) - 2) * n_left + p]
#define sine(k) w[(2 * (k) - 1) * n_left + p]
STAGE(2)
STAGE(3)
STAGE(4)
STAGE(5)
#undef cosine
#undef sine
#undef STAGE

#define TWIDDLE(k) const float c##k = w[(2 * (k) - 2) * n_left + p], s##k = w[(2 * (k) - 1) * n_left + p];
#define TWIDDLES_2 TWIDDLE(1)
#define TWIDDLES_3 TWIDDLES_2 TWIDDLE(2)
#define TWIDDLES_4 TWIDDLES_3 TWIDDLE(3)
#define TWIDDLES_5 TWIDDLES_4 TWIDDLE(4)
#define cosine(k) c##k
#define sine(k) s##k
/* The butterflies from the second on. */
#define STAGE(RADIX)                                                                               \
    static void turned_##RADIX(int n_left, int stride, const float *restrict w,                    \
                               const float *restrict xr, const float *restrict xi,                 \
                               float *restrict yr, float *restrict yi) {                           \
        const int apart = n_left * stride, step = stride;                                          \
        for (int p = 1; p < n_left; p++) {                                                         \
            TWIDDLES_##RADIX                                                                       \
            INDEPENDENT                                                                            \
            for (int q = 0; q < stride; q++) {                                                     \
                const int at = q + p * stride, to = q + p * RADIX * stride;                        \
                BUTTERFLY_##RADIX                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
STAGE(2)
STAGE(3)
STAGE(4)
STAGE(5)
#undef STAGE
#undef STORE

/* The first butterfly, whose twiddles are 1: in the last stage it is the only one. A zero may have
   another sign than after a multiplication; no sum of the overlap-add keeps it. */
#define STORE(k, re, im)                                                                           \
    yr[to + (k) * step] = (re);                                                                    \
    yi[to + (k) * step] = (im);
#define STAGE(RADIX)                                                                               \
    static void stage_##RADIX(int n_left, int stride, const float *restrict w,                     \
                              const float *restrict xr, const float *restrict xi,                  \
                              float *restrict yr, float *restrict yi) {                            \
        const int apart = n_left * stride, step = stride;                                          \
        INDEPENDENT                                                                                \
        for (int q = 0; q < stride; q++) {                                                         \
            const int at = q, to = q;                                                              \
            BUTTERFLY_##RADIX                                                                      \
        }                                                                                          \
        turned_##RADIX(n_left, stride, w, xr, xi, yr, yi);                                         \
    }
STAGE(2)
STAGE(3)
STAGE(4)
STAGE(5)

#define RUN(RADIX)                                                                                 \
    case RADIX:                                                                                    \
        if (stride == 1)                                                                           \
            first_stage_##RADIX(n_left, w, x.re, x.im, y.re, y.im);                                \
        else                                                                                       \
            stage_##RADIX(n_left, stride, w, x.re, x.im, y.re, y.im);                              \
        break;

planes fft_transform(const fft_plan *plan, planes x, planes y) {
    const float *w = plan->twiddles;
    int n_left = plan->n_points, stride = 1;
    for (int i = 0; i < plan->n_stages; i++) {
        const int radix = plan->radices[i];
        n_left /= radix;
        switch (radix) {
            RUN(2)
            RUN(3)
            RUN(4)
            RUN(5)
        }
        w += 2 * (radix - 1) * n_left;
        stride *= radix;
        const planes result = y;
        y = x;
        x = result;
    }
    return x;
}
