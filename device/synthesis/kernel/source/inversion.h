/* Streaming Griffin-Lim; device/synthesis/griffin_lim.py says what it does and why. */
#ifndef SWITCHBOARD_INVERSION_H
#define SWITCHBOARD_INVERSION_H

#include <stddef.h>

#include "fft.h"

/* The caller owns the struct and all arrays, and keeps them while the stream runs. A frame of n_fft
   samples is stored as two rows of n_half: its even and its odd samples, which are the real and the
   imaginary part of a complex transform of half the length. A spectrum is two rows of n_half + 1:
   real parts, imaginary parts. Windows are cut like frames. What is passed in for a frame is a row
   of n_half + 1 magnitudes and 2 * n_guided parts of the phase advance: first the real ones.

   Frames are kept in a ring of n_slots = n_overlap - 1 + n_active: those that are final and still
   overlap with the next hop, and the active ones. */
typedef struct {
    fft_plan fft;         /* of n_half points */
    int32_t n_half;
    int32_t half_hop;     /* samples of a hop in each row of a frame */
    int32_t n_overlap;    /* hops in a frame */
    int32_t n_active;     /* frames that are projected: look-ahead and the one that becomes final */
    int32_t n_guided;     /* bins whose first guess is the phase advance */
    int32_t in_turn;      /* whether a frame is projected with what those before it have become */
    int32_t first;        /* slot of the oldest frame */
    float pull;           /* part of the previous estimate in the over-relaxed step */
    float silence;        /* energy of samples per energy of bins below which a frame is silent */
    float strongest_rise;   /* factor between targets above which a bin is struck */
    float least_confidence; /* squared, below which a bin is not guided */
    float hold, margin;     /* of a guided bin's weight in a projection; see phase_guide.py */
    const float *initial_windows;   /* (n_active, 2, n_half) */
    const float *iteration_windows; /* (n_overlap, 2, n_half), by successors that are missing */
    const float *synthesis;         /* (2, n_half), divided by n_half */
    const float *turns;             /* (2, n_half / 2 + 1): e^{-2 pi i k / n_fft} */
    const float *seed_in_silence;   /* (2, n_half + 1) */
    const float *seed_over_sound;   /* (2, n_half + 1) */
    const float *rotation;          /* (2, n_guided): e^{2 pi i k hop / n_fft} */
    float *frames;                  /* (n_slots, 2, n_half) */
    float *targets;                 /* (n_slots, n_half + 1 + 2 * n_guided), as passed in */
    float *estimates;               /* (n_slots, 2, n_half + 1) */
    float *held;                    /* (n_slots, n_half + 1): weights in a projection */
    float *sum;                     /* (n_active + n_overlap - 1, 2, half_hop) */
    float *work;                    /* (4, n_half) */
} inversion;

/* n_frames rows to n_frames hops of samples. */
void inversion_process(inversion *s, const float *rows, int32_t n_frames,
                       int32_t n_iterations, float *out);

/* Initial phases anew for n_active - 1 rows, oldest first. */
void inversion_revise(inversion *s, const float *rows);

#endif
