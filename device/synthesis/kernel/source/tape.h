/* Wow and flutter, saturation, a dull head, two noise loops and the limiter;
   device/synthesis/tape.py says what each does. */
#ifndef SWITCHBOARD_TAPE_H
#define SWITCHBOARD_TAPE_H

#include <stdint.h>

#define N_TAPS 8
#define N_MODULATIONS 2
#define N_LOOPS 2

/* The caller owns the struct and all arrays, and keeps them while the stream runs. */
typedef struct {
    int64_t at;                    /* samples since the start of the tape */
    double turns[N_MODULATIONS];   /* of a modulation in a sample */
    double start[N_MODULATIONS];   /* in turns */
    float depth[N_MODULATIONS];    /* in samples */
    float middle;                  /* delay in samples */
    float drive, gain;
    float music_knee, music_room;  /* room: from a limiter's knee to its ceiling */
    float knee, room;
    float gain_step;               /* of a sample, while the gain changes */
    int32_t ramp_left;             /* samples until the gain is `gain` */
    int32_t n_before;              /* samples of input that are kept; 0: no transport */
    int32_t loop_length[N_LOOPS];  /* 0: no such loop */
    const float *loop[N_LOOPS];
    const float *taps;             /* (N_TAPS,) */
    float *before;                 /* (n_before + MAX_CHUNK,) */
    float *delayed;                /* (N_TAPS - 1 + MAX_CHUNK,) */
} tape;

#define MAX_CHUNK 512

/* (n,) samples in place. The result does not depend on how a stream is cut into calls. */
void tape_process(tape *t, float *samples, int32_t n);

#endif
