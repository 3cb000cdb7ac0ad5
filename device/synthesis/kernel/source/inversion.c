#include "inversion.h"

#include <math.h>
#include <string.h>

#define TINY 1e-9f
/* Weight of a guided first guess: nothing is left of the overlap. */
#define OVERRIDE 1e6f
/* Partial sums of a dot product: a fixed number, so that the result is the same whatever the width
   of the processor's vectors. */
#define N_SUMS 8

static int n_slots(const inversion *s) { return s->n_active + s->n_overlap - 1; }

/* The slot of the frame at a place of the queue: 0 is the oldest active one, final ones are below. */
static int slot_of(const inversion *s, int place) {
    return (s->first + s->n_overlap - 1 + place) % n_slots(s);
}

static size_t row_size(const inversion *s) { return s->n_half + 1 + 2 * (size_t)s->n_guided; }

static const float *target_at(const inversion *s, int place) {
    return s->targets + row_size(s) * slot_of(s, place);
}

static float *frame_at(const inversion *s, int place) {
    return s->frames + 2 * (size_t)s->n_half * slot_of(s, place);
}

/* Adds `n_rows` rows one after the other, to what `to` holds or to nothing. Always expanded: with a
   constant number of rows, all else stays in registers. */
static inline __attribute__((always_inline)) void add_rows(int n, int n_rows, int is_first,
                                                           const float *const *rows,
                                                           const float *window, float *to) {
    INDEPENDENT
    for (int i = 0; i < n; i++) {
        float sum = is_first ? 0.0f : to[i];
        for (int j = 0; j < n_rows; j++) sum += rows[j][i];
        to[i] = window ? sum * window[i] : sum;
    }
}

#define MOST_ROWS 4
#define ADD_ROWS(N)                                                                                \
    case N:                                                                                        \
        if (window)                                                                                \
            add_rows(n, N, is_first, rows, window, to);                                            \
        else                                                                                       \
            add_rows(n, N, is_first, rows, NULL, to);                                              \
        break;

static void add_some_rows(int n, int n_rows, int is_first, const float *const *rows,
                          const float *window, float *to) {
    switch (n_rows) {
        ADD_ROWS(1)
        ADD_ROWS(2)
        ADD_ROWS(3)
        ADD_ROWS(4)
    }
}

/* Overlap-add of the frames below `n_present` in hop `t` of the queue, newest frame first, times a
   window if there is one. `odd` is 0 for the even samples and 1 for the odd ones. */
static void overlap_add(const inversion *s, int t, int n_present, int odd, const float *window,
                        float *to) {
    const int hop = s->half_hop, newest = t < n_present ? t : n_present - 1;
    const int first = t - newest;
    if (first >= s->n_overlap) memset(to, 0, sizeof(float) * hop);
    for (int at = first; at < s->n_overlap; at += MOST_ROWS) {
        const float *rows[MOST_ROWS];
        const int n_left = s->n_overlap - at, n_rows = n_left < MOST_ROWS ? n_left : MOST_ROWS;
        for (int j = 0; j < n_rows; j++)
            rows[j] = frame_at(s, t - at - j) + odd * s->n_half + (at + j) * hop;
        add_some_rows(hop, n_rows, at == first, rows, n_rows == n_left ? window : NULL, to);
    }
}

/* The overlap-add of the hops under the frame at `place`, times a window, into the first rows of
   `work`. */
static void cut_frame(const inversion *s, int place, int n_present, const float *window) {
    for (int odd = 0; odd < 2; odd++)
        for (int j = 0; j < s->n_overlap; j++) {
            const int at = odd * s->n_half + j * s->half_hop;
            overlap_add(s, place + j, n_present, odd, window + at, s->work + at);
        }
}

/* The same from the sums of `add_all`: what the frames were before any of them was projected. */
static void cut_sum(const inversion *s, int place, const float *restrict window) {
    const int n = s->n_half, hop = s->half_hop;
    float *restrict to = s->work;
    for (int j = 0; j < s->n_overlap; j++) {
        const float *even = s->sum + 2 * (place + j) * hop, *odd = even + hop;
        for (int i = 0; i < hop; i++) to[j * hop + i] = even[i] * window[j * hop + i];
        for (int i = 0; i < hop; i++) to[n + j * hop + i] = odd[i] * window[n + j * hop + i];
    }
}

static void add_all(inversion *s) {
    for (int t = 0; t < n_slots(s); t++)
        for (int odd = 0; odd < 2; odd++)
            overlap_add(s, t, s->n_active, odd, NULL, s->sum + (2 * t + odd) * s->half_hop);
}

/* One bin: what was measured plus `pull` times the previous estimate, at the target's magnitude. A
   guided bin that is sure is held: its estimate has more weight. */
#define PROJECT(bin, measured_re, measured_im, re, im)                                             \
    float re = (measured_re) + (held ? pull + held[bin] : pull) * er[bin];                         \
    float im = (measured_im) + (held ? pull + held[bin] : pull) * ei[bin];                         \
    {                                                                                              \
        const float gain = target[bin] / (sqrtf(re * re + im * im) + TINY);                        \
        re *= gain;                                                                                \
        im *= gain;                                                                                \
        er[bin] = re;                                                                              \
        ei[bin] = im;                                                                              \
    }

/* From the half-length transform `z` of a frame's samples to the one of the projected frame.

   With even samples E and odd samples O, bin k of the frame is E[k] + w^k O[k], and bin n_half - k
   the conjugate of E[k] - w^k O[k]; both come from z[k] = E[k] + i O[k] and z[n_half - k].

   Always expanded: once with `held`, and once without, where no bin is guided. */
static inline __attribute__((always_inline)) void project(
    int n, float pull, const float *restrict turns, planes z, const float *restrict target,
    const float *restrict held, float *restrict er, float *restrict ei, planes out) {
    const float *restrict wr = turns, *restrict wi = turns + n / 2 + 1;
    const float *restrict zr = z.re, *restrict zi = z.im;
    float *restrict yr = out.re, *restrict yi = out.im;
    {
        /* The first and the last bin are real, and what else they are is left out on the way back. */
        PROJECT(0, zr[0] + zi[0], 0.0f, ar, ai)
        PROJECT(n, zr[0] - zi[0], 0.0f, br, bi)
        (void)ai;
        (void)bi;
        yr[0] = 0.5f * (ar + br);
        yi[0] = 0.5f * (ar - br);
    }
    INDEPENDENT
    for (int k = 1; k < n - n / 2; k++) {
        const int m = n - k;
        const float even_r = 0.5f * (zr[k] + zr[m]), even_i = 0.5f * (zi[k] - zi[m]);
        const float odd_r = 0.5f * (zi[k] + zi[m]), odd_i = 0.5f * (zr[m] - zr[k]);
        const float turned_r = wr[k] * odd_r - wi[k] * odd_i;
        const float turned_i = wr[k] * odd_i + wi[k] * odd_r;
        PROJECT(k, even_r + turned_r, even_i + turned_i, ar, ai)
        PROJECT(m, even_r - turned_r, turned_i - even_i, br, bi)
        const float sum_r = 0.5f * (ar + br), sum_i = 0.5f * (ai - bi);
        const float apart_r = 0.5f * (ar - br), apart_i = 0.5f * (ai + bi);
        const float back_r = wr[k] * apart_r + wi[k] * apart_i;
        const float back_i = wr[k] * apart_i - wi[k] * apart_r;
        yr[k] = sum_r - back_i;
        yi[k] = sum_i + back_r;
        yr[m] = sum_r + back_i;
        yi[m] = back_r - sum_i;
    }
    if (n % 2 == 0) {
        const int k = n / 2;
        PROJECT(k, zr[k], -zi[k], ar, ai)
        yr[k] = ar;
        yi[k] = -ai;
    }
}

/* Projects the samples in the first rows of `work`; the result is the frame at `place`. */
static void project_frame(inversion *s, int place, float pull) {
    const int n = s->n_half, n_bins = n + 1, slot = slot_of(s, place);
    float *estimate = s->estimates + 2 * (size_t)n_bins * slot;
    const planes low = {s->work, s->work + n}, high = {s->work + 2 * n, s->work + 3 * n};
    const planes z = fft_transform(&s->fft, low, high);
    const planes y = z.re == low.re ? high : low;
    const float *held = s->held + (size_t)n_bins * slot;
    const float *target = target_at(s, place);
    if (s->n_guided)
        project(n, pull, s->turns, z, target, held, estimate, estimate + n_bins, y);
    else
        project(n, pull, s->turns, z, target, NULL, estimate, estimate + n_bins, y);
    const planes inverse = fft_transform(&s->fft, (planes){y.im, y.re}, (planes){z.im, z.re});
    const float *restrict even = inverse.im, *restrict odd = inverse.re;
    const float *restrict window = s->synthesis;
    float *restrict frame = frame_at(s, place);
    for (int i = 0; i < n; i++) frame[i] = even[i] * window[i];
    for (int i = 0; i < n; i++) frame[n + i] = odd[i] * window[n + i];
}

static float energy(const float *x, int n) {
    float sums[N_SUMS] = {0};
    const int n_whole = n - n % N_SUMS;
    for (int i = 0; i < n_whole; i += N_SUMS)
        for (int j = 0; j < N_SUMS; j++) sums[j] += x[i + j] * x[i + j];
    for (int i = n_whole; i < n; i++) sums[0] += x[i] * x[i];
    float total = 0;
    for (int j = 0; j < N_SUMS; j++) total += sums[j];
    return total;
}

/* Writes the predecessor's phases, advanced as the target says, into the bins that are sure of it. */
static void guide(const inversion *s, int place) {
    const int n = s->n_guided, n_bins = s->n_half + 1;
    const size_t at = (size_t)n_bins * slot_of(s, place);
    const float *restrict old = target_at(s, place - 1), *restrict new = target_at(s, place);
    const float *restrict advance = new + n_bins;
    const float *restrict pr = s->estimates + 2 * (size_t)n_bins * slot_of(s, place - 1);
    const float *restrict pi = pr + n_bins;
    const float *restrict rr = s->rotation, *restrict ri = rr + n;
    float *restrict er = s->estimates + 2 * at, *restrict ei = er + n_bins;
    float *restrict held = s->held + at;
    for (int k = 0; k < n; k++) {
        const float ar = advance[k], ai = advance[n + k];
        const float tr = rr[k] * ar - ri[k] * ai, ti = rr[k] * ai + ri[k] * ar;
        const float re = pr[k] * tr - pi[k] * ti, im = pr[k] * ti + pi[k] * tr;
        const float gain = OVERRIDE * new[k] / (sqrtf(re * re + im * im) + TINY);
        const float squared = ar * ar + ai * ai, confidence = squared < 1.0f ? squared : 1.0f;
        const int is_sure = (confidence >= s->least_confidence) &
                            (new[k] <= s->strongest_rise * old[k]);
        er[k] = is_sure ? re * gain : er[k];
        ei[k] = is_sure ? im * gain : ei[k];
        held[k] = is_sure ? s->hold * confidence / (s->margin - confidence) : 0.0f;
    }
}

/* Gives the frame at `place` the phase of what its predecessors overlap into it, or the one that its
   phase advance says. */
static void initialise_phase(inversion *s, int place, const float *row) {
    const int n = s->n_half, n_bins = n + 1, slot = slot_of(s, place);
    float *restrict estimate = s->estimates + 2 * (size_t)n_bins * slot;
    float *restrict magnitude = s->targets + row_size(s) * slot;
    memcpy(magnitude, row, sizeof(float) * row_size(s));
    cut_frame(s, place, place, s->initial_windows + 2 * (size_t)n * place);
    const int is_silent = energy(s->work, 2 * n) <= s->silence * energy(magnitude, n_bins);
    const float *seed = is_silent ? s->seed_in_silence : s->seed_over_sound;
    for (int k = 0; k < n_bins; k++) estimate[k] = magnitude[k] * seed[k];
    for (int k = 0; k < n_bins; k++) estimate[n_bins + k] = magnitude[k] * seed[n_bins + k];
    guide(s, place);
    project_frame(s, place, 1.0f);
}

static void project_all(inversion *s) {
    if (!s->in_turn) add_all(s);
    for (int place = 0; place < s->n_active; place++) {
        /* Frames that lack no successor share one window, which is less to read. */
        const int n_missing = place + s->n_overlap - s->n_active;
        const int row = n_missing > 0 ? n_missing : 0;
        const float *window = s->iteration_windows + 2 * (size_t)s->n_half * row;
        if (s->in_turn)
            cut_frame(s, place, s->n_active, window);
        else
            cut_sum(s, place, window);
        project_frame(s, place, s->pull);
    }
}

static void output_hop(inversion *s, float *restrict out) {
    float *restrict even = s->sum, *restrict odd = s->sum + s->half_hop;
    overlap_add(s, 0, s->n_active, 0, NULL, even);
    overlap_add(s, 0, s->n_active, 1, NULL, odd);
    for (int i = 0; i < s->half_hop; i++) {
        out[2 * i] = even[i];
        out[2 * i + 1] = odd[i];
    }
}

void inversion_process(inversion *s, const float *rows, int32_t n_frames,
                       int32_t n_iterations, float *out) {
    for (int f = 0; f < n_frames; f++) {
        s->first = (s->first + 1) % n_slots(s);
        initialise_phase(s, s->n_active - 1, rows + f * row_size(s));
        for (int i = 0; i < n_iterations; i++) project_all(s);
        output_hop(s, out + (size_t)f * 2 * s->half_hop);
    }
}

void inversion_revise(inversion *s, const float *rows) {
    for (int place = 1; place < s->n_active; place++)
        initialise_phase(s, place, rows + (place - 1) * row_size(s));
}
