// Which passage plays when, and its variation.

/** The passages of the songs, each of which has a variation: as `device.synthesis.variation`. */
export class SongForm {
  constructor({ variations, passes_per_section, starts }) {
    Object.assign(this, { variations, passes_per_section, starts });
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
}
