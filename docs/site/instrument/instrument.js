// The instrument: switch states in, one hop of samples out.
//
// The way of the samples is that of device/synthesis: spectrogram.py (which frame belongs to which
// score, what is drawn again after a flip), smoother.py, vocoder.py. Flips are heard at once.

import * as onnxruntime from "./onnxruntime/ort.wasm.min.mjs";
import { SongForm } from "./song_form.js";

// Frames that are drawn in one call: few, because a flip waits for them.
const FRAMES_PER_CALL = 8;
const MOST_SCORES = 32;
// Of the passage that plays, the next one, and a little more.
const MOST_COMPOSITIONS = 4;

// Without threads: they need headers that not every web server sends.
onnxruntime.env.wasm.numThreads = 1;
onnxruntime.env.wasm.wasmPaths = new URL("./onnxruntime/", import.meta.url).href;

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: found status ${answer.status}, expected 200`);
  return answer;
}

/** Load everything that an instrument is made of; it may be used for several instruments. */
export async function load() {
  const [description, model, kernel, memory] = await Promise.all([
    fetched("instrument.json").then((answer) => answer.json()),
    fetched("model.onnx").then((answer) => answer.arrayBuffer()),
    fetched("kernel.wasm").then((answer) => answer.arrayBuffer()),
    fetched("memory.bin").then((answer) => answer.arrayBuffer()),
  ]);
  const options = { executionProviders: ["wasm"] };
  const session = await onnxruntime.InferenceSession.create(new Uint8Array(model), options);
  const compiled = await WebAssembly.compile(kernel);
  return { description, session, compiled, memory: new Uint8Array(memory) };
}

/** The two halves of a model file; see device/model/contract.py. */
class Network {
  constructor(session, card) {
    this.session = session;
    this.card = card;
    this.floor = Math.fround(Math.exp(card.log_floor));
    this.compositions = new Map();
    const { n_switches, n_variation, n_slots, n_channels, n_codes } = card;
    // All of a graph is computed, whatever is fetched: NaN leaves the compose half out.
    this.idle = {
      switches: tensor(new Float32Array(n_switches).fill(NaN)),
      variation: tensor(new Float32Array(n_variation)),
      score_in: tensor(new Float32Array(n_slots * n_channels), [n_slots, n_channels]),
      position: tensor(new Float32Array(1)),
    };
    if (n_codes) {
      this.idle.variation = tensor(new Float32Array(n_variation).fill(NaN));
      this.idle.composition_in = tensor(new Float32Array(n_slots * n_codes), [n_slots, n_codes]);
    }
  }

  /** Switch states and variation → the score of one pass of the loop, a tensor. */
  async compose(bits, variation) {
    const feeds = { ...this.idle, switches: tensor(Float32Array.from(bits)) };
    if (this.card.n_codes) feeds.composition_in = await this.composition(variation);
    else feeds.variation = tensor(Float32Array.from(variation));
    return (await this.session.run(feeds, ["score"])).score;
  }

  /** What all states of a variation have in common; the latest are kept. */
  async composition(variation) {
    const key = `${variation}`;
    if (!this.compositions.has(key)) {
      const feeds = { ...this.idle, variation: tensor(Float32Array.from(variation)) };
      const { composition } = await this.session.run(feeds, ["composition"]);
      keep(this.compositions, key, composition, MOST_COMPOSITIONS);
    }
    return this.compositions.get(key);
  }

  /** A score and positions in beats → as many frames, Float32Array (frame_size,) each. */
  async frames(score, positions) {
    const { n_bins, n_fft, n_guided, frame_size } = this.card;
    const feeds = { ...this.idle, score_in: score, position: tensor(positions) };
    const outputs = ["log_magnitude", "phase_advance"].slice(0, n_guided ? 2 : 1);
    const drawn = await this.session.run(feeds, outputs);
    return Array.from(positions, (_, t) => {
      const frame = new Float32Array(frame_size);
      const logs = drawn.log_magnitude.data.subarray(t * n_bins, (t + 1) * n_bins);
      // What is at the floor is silent; a number that is none must not stay in the inversion.
      for (let k = 0; k < n_bins; k++) {
        const magnitude = Math.exp(logs[k]) - this.floor;
        frame[k] = magnitude > 0 ? Math.min(magnitude, n_fft) : 0;
      }
      if (n_guided) {
        const size = 2 * n_guided;
        const advance = drawn.phase_advance.data.subarray(t * size, (t + 1) * size);
        copyBounded(advance, frame.subarray(n_bins));
      }
      return frame;
    });
  }
}

/** Adds an entry to a map, from which the oldest is dropped if there are too many. */
function keep(map, key, value, most) {
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value);
}

function tensor(data, shape = [data.length]) {
  return new onnxruntime.Tensor("float32", data, shape);
}

/** Copies vectors, first all real parts, then all imaginary ones; none becomes longer than 1. */
function copyBounded(from, to) {
  const n = from.length / 2;
  for (let k = 0; k < n; k++) {
    const length = Math.hypot(from[k], from[n + k]);
    const share = length < Infinity ? 1 / Math.max(length, 1) : 0;
    to[k] = share && from[k] * share;
    to[n + k] = share && from[n + k] * share;
  }
}

/** The compiled inversion and tape, in a memory of their own. */
export class Kernel {
  constructor(compiled, memory, { description }) {
    const { exports } = new WebAssembly.Instance(compiled);
    const at = description.memory;
    exports._initialize();
    const sizes = [exports.size_of_inversion(), exports.size_of_tape()];
    if (exports.__heap_base.value > at.base || `${sizes}` !== `${[at.inversion_bytes, at.tape_bytes]}`) {
      throw new Error("kernel.wasm and memory.bin: found two versions, expected one; reload the page");
    }
    const page = 65536;
    const missing = at.base + memory.length - exports.memory.buffer.byteLength;
    exports.memory.grow(Math.max(0, Math.ceil(missing / page)));
    new Uint8Array(exports.memory.buffer).set(memory, at.base);
    this.exports = exports;
    this.at = at;
    this.n_iterations = description.n_iterations;
    this.hop_length = description.card.hop_length;
  }

  /** One frame → one hop of samples, with the tape or without. */
  process(frame, tape = this.at.tape) {
    const { at, exports } = this;
    new Float32Array(exports.memory.buffer, at.input, frame.length).set(frame);
    exports.synthesis_process(at.inversion, tape, at.input, 1, this.n_iterations, at.output);
    return new Float32Array(exports.memory.buffer, at.output, this.hop_length).slice();
  }

  /** Other frames than were passed in, for all that are not yet final; oldest first. */
  revise(frames) {
    const { at, exports } = this;
    const size = frames[0].length;
    const rows = new Float32Array(exports.memory.buffer, at.input, frames.length * size);
    frames.forEach((frame, i) => rows.set(frame, i * size));
    exports.inversion_revise(at.inversion, at.input);
  }
}

export class Instrument {
  constructor(parts) {
    const { description } = parts;
    const { card, look_ahead } = description;
    this.card = card;
    this.look_ahead = look_ahead;
    this.n_smoothed = description.n_smoothed;
    this.network = new Network(parts.session, card);
    this.kernel = new Kernel(parts.compiled, parts.memory, parts);
    this.form = new SongForm(description);
    this.beats_per_frame = ((card.hop_length / card.sample_rate) * card.tempo_bpm) / 60;
    this.scores = new Map();
    this.bits = null;
    this.n_frames = 0; // Index of the next frame.
    this.key = ""; // Of the score that the last frame belongs to, and its passage.
    this.last_passage = null;
    this.flipped_in = null; // The last passage in which a switch was flipped.
    this.chunk = { first: 0, frames: [] };
    this.last = null; // The last frame, from which a new score is reached smoothly.
    this.from = null;
    this.left = 0; // Frames that are still blended.
    // Those that may be drawn again, and the one before them; oldest first.
    const empty = () => new Float32Array(card.frame_size);
    this.targets = Array.from({ length: look_ahead + 1 }, empty);
  }

  /** The next hop of samples, Float32Array (hop_length,), for these switch states. */
  async hop(bits) {
    const is_flipped = this.bits !== null && `${bits}` !== `${this.bits}`;
    this.bits = Array.from(bits);
    if (is_flipped) await this.redraw();
    const frame = await this.draw();
    this.targets.push(frame);
    this.targets.shift();
    return this.kernel.process(frame);
  }

  /** Compose what the next passage needs; between two hops, when there is time. */
  async prepare() {
    if (this.bits) await this.score(this.bits, this.passage(this.n_frames) + 1);
  }

  /** Draw the frames that are not yet final anew: a flip is heard with the next hop. */
  async redraw() {
    const n_stale = Math.min(this.n_frames, this.look_ahead);
    if (n_stale === 0) return;
    const first = this.look_ahead + 1 - n_stale;
    this.n_frames -= n_stale;
    this.last = this.targets[first - 1];
    for (let i = first; i <= this.look_ahead; i++) this.targets[i] = await this.draw();
    this.kernel.revise(this.targets.slice(1));
  }

  /** The next frame, blended with the last one of the score before. */
  async draw() {
    const passage = this.passage(this.n_frames);
    const key = `${this.bits} ${passage}`;
    if (key !== this.key) {
      // A flip ends the break in which it falls.
      if (passage === this.last_passage) this.flipped_in = passage;
      [this.key, this.last_passage] = [key, passage];
      this.chunk.frames = [];
      [this.from, this.left] = [this.last, this.last ? this.n_smoothed : 0];
    }
    let frame = await this.drawn(await this.score(this.bits, passage));
    if (this.left > 0) {
      const share = Math.fround(this.left / (this.n_smoothed + 1));
      frame = frame.map((x, k) => x + share * (this.from[k] - x));
      this.left--;
    }
    this.last = frame;
    this.n_frames++;
    return frame;
  }

  async drawn(score) {
    const known = this.chunk.frames[this.n_frames - this.chunk.first];
    if (known) return known;
    const positions = Float32Array.from(
      { length: FRAMES_PER_CALL },
      (_, i) => this.beat(this.n_frames + i) % this.card.beats_per_loop,
    );
    const frames = await this.network.frames(score, positions);
    if (this.last_passage !== this.flipped_in) {
      frames.forEach((frame, i) => this.form.apply_break(frame, this.beat(this.n_frames + i)));
    }
    this.chunk = { first: this.n_frames, frames };
    return frames[0];
  }

  async score(bits, passage) {
    const key = `${bits} ${passage}`;
    if (!this.scores.has(key)) {
      keep(this.scores, key, await this.network.compose(bits, this.form.at(passage)), MOST_SCORES);
    }
    return this.scores.get(key);
  }

  beat(frame) {
    return frame * this.beats_per_frame;
  }

  passage(frame) {
    return this.form.passage_at(this.beat(frame) / this.card.beats_per_loop);
  }
}
