#include "tape.h"

#include <math.h>
#include <string.h>

/* The delay is linear between samples of this grid, which is absolute: a hundred thousandth of a
   sample from the curve. */
#define CELL 16

/* sin(2 pi x), x in turns. A polynomial and not the C library's, which rounds as each likes. */
static double sine_of_turns(double x) {
    x -= floor(x + 0.5);
    if (x > 0.25) x = 0.5 - x;
    if (x < -0.25) x = -0.5 - x;
    const double a = x * 6.283185307179586, b = a * a;
    double sum = 1.0 / 6227020800.0;
    sum = sum * b - 1.0 / 39916800.0;
    sum = sum * b + 1.0 / 362880.0;
    sum = sum * b - 1.0 / 5040.0;
    sum = sum * b + 1.0 / 120.0;
    sum = sum * b - 1.0 / 6.0;
    return a + a * b * sum;
}

static float delay_at(const tape *t, int64_t moment) {
    double delay = t->middle;
    for (int i = 0; i < N_MODULATIONS; i++)
        delay += t->depth[i] * sine_of_turns(t->turns[i] * (double)moment + t->start[i]);
    return (float)delay;
}

/* tanh by the first terms of Lambert's continued fraction: 1e-4 from it at most. Beyond the bound,
   where it would leave 1, it is 1; without it, an infinite input would give no number. */
static inline float soft_clip(float x) {
    const float bound = 4.97f;
    x = x > bound ? bound : x;
    x = x < -bound ? -bound : x;
    const float y = x * x;
    const float above = x * (135135.0f + y * (17325.0f + y * (378.0f + y)));
    const float below = 135135.0f + y * (62370.0f + y * (3150.0f + y * 28.0f));
    float z = above / below;
    z = z > 1.0f ? 1.0f : z;
    return z < -1.0f ? -1.0f : z;
}

/* The modulated delay: (n,) samples that end at t->before + n_before + n, into `to`. */
static void delay(const tape *t, float *restrict to, int n) {
    const float *in = t->before + t->n_before;
    for (int i = 0; i < n;) {
        const int64_t now = t->at + i, cell = now - now % CELL;
        const int offset = (int)(now - cell);
        const int n_here = CELL - offset < n - i ? CELL - offset : n - i;
        const float from = delay_at(t, cell);
        const float slope = (delay_at(t, cell + CELL) - from) / CELL;
        for (int k = 0; k < n_here; k++, i++) {
            const float samples = from + slope * (float)(offset + k);
            const int whole = (int)samples;
            const float part = samples - (float)whole;
            to[i] = in[i - whole] * (1 - part) + in[i - whole - 1] * part;
        }
    }
}

static void play(tape *t, float *restrict samples, int n) {
    float *restrict fresh = t->delayed + N_TAPS - 1;
    memcpy(t->before + t->n_before, samples, sizeof(float) * n);
    delay(t, fresh, n);
    for (int i = 0; i < n; i++) fresh[i] = soft_clip(t->drive * fresh[i]) / t->drive;
    memset(samples, 0, sizeof(float) * n);
    for (int k = 0; k < N_TAPS; k++)
        for (int i = 0; i < n; i++) samples[i] += t->taps[k] * fresh[i - k];
    memmove(t->delayed, t->delayed + n, sizeof(float) * (N_TAPS - 1));
    memmove(t->before, t->before + n, sizeof(float) * t->n_before);
}

static void add_loop(float *restrict samples, int n, const float *restrict loop, int length,
                     int64_t at) {
    for (int done = 0; done < n;) {
        const int start = (int)((at + done) % length), left = length - start;
        const int n_here = left < n - done ? left : n - done;
        for (int i = 0; i < n_here; i++) samples[done + i] += loop[start + i];
        done += n_here;
    }
}

static void amplify(tape *t, float *restrict samples, int n) {
    const int n_ramp = t->ramp_left < n ? t->ramp_left : n;
    for (int i = 0; i < n_ramp; i++)
        samples[i] *= t->gain - t->gain_step * (float)(t->ramp_left - i);
    t->ramp_left -= n_ramp;
    for (int i = n_ramp; i < n; i++) samples[i] *= t->gain;
}

static void limit(float knee, float room, float *samples, int n) {
    for (int i = 0; i < n; i++) {
        const float level = fabsf(samples[i]);
        const float soft = knee + room * soft_clip((level - knee) / room);
        samples[i] = level > knee ? copysignf(soft, samples[i]) : samples[i];
    }
}

void tape_process(tape *t, float *samples, int32_t n) {
    while (n > 0) {
        const int n_here = n < MAX_CHUNK ? n : MAX_CHUNK;
        limit(t->music_knee, t->music_room, samples, n_here);
        if (t->n_before > 0) play(t, samples, n_here);
        amplify(t, samples, n_here);
        for (int l = 0; l < N_LOOPS; l++)
            if (t->loop_length[l] > 0)
                add_loop(samples, n_here, t->loop[l], t->loop_length[l], t->at);
        limit(t->knee, t->room, samples, n_here);
        t->at += n_here;
        samples += n_here;
        n -= n_here;
    }
}
