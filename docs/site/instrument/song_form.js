// Which passage plays when, its variation, and the breaks.

/** The passages of the songs, each of which has a variation: as `device.synthesis.variation`. */
export class SongForm {
  constructor({ card, variations, passes_per_section, starts, breaks }) {
    Object.assign(this, { variations, passes_per_section, starts, breaks });
    this.beats_per_loop = card.beats_per_loop;
  }

  /** The passage at a position since the start, in passes of the loop. */
  passage_at(passes) {
    const section = Math.floor(passes / this.passes_per_section);
    const within = passes - section * this.passes_per_section;
    const number = this.starts.findLastIndex((start) => start <= within);
    return section * this.starts.length + number;
  }

  at(passage) {
    return this.variations[passage % this.variations.length];
  }

  /** Lower the lowest bins of a frame in the break before a new song: as `device.synthesis.breaks`. */
  apply_break(frame, beat) {
    const { start, passes_per_song, fade_beats, shape_db } = this.breaks;
    const since = this.beats_per_loop * (((beat / this.beats_per_loop) % passes_per_song) - start);
    if (since < 0) return;
    const share = Math.min(since / fade_beats, 1);
    shape_db.forEach((db, k) => (frame[k] *= Math.fround(10 ** ((share * db) / 20))));
  }
}
