// Computes the samples beside the page, some hops ahead of what is heard.

import { Instrument, Kernel, load } from "./instrument.js";

// What is queued delays a flip, and bridges the time in which a score is composed. Where that takes
// longer than expected, more is queued from then on.
const AHEAD_SECONDS = 0.15;
const MOST_AHEAD_SECONDS = 1;
const GROWTH = 1.5;

const parts = await load();
const { card } = parts.description;
const instrument = new Instrument(parts);
// The first half is on at first, as with the keys of a terminal.
let bits = Array.from({ length: card.n_switches }, (_, i) => Number(2 * i < card.n_switches));
let speaker = null;
let n_sent = 0;
let n_played = 0;
let n_missing = 0;
let is_gap = false;
let ahead_seconds = AHEAD_SECONDS;
let is_filling = false;

async function fill() {
  if (is_filling || !speaker) return;
  is_filling = true;
  while (n_sent - n_played < ahead_seconds * card.sample_rate) {
    const samples = await instrument.hop(bits);
    n_sent += samples.length;
    speaker.postMessage(samples, [samples.buffer]);
  }
  await instrument.prepare();
  is_filling = false;
}

/** Samples and frames of a performance from its start, as fast as they can be computed. */
async function render({ flips, seconds }) {
  const fresh = new Instrument(parts);
  const { hop_length, sample_rate } = card;
  const [samples, frames] = [[], []];
  for (let n = 0; n < Math.floor((seconds * sample_rate) / hop_length); n++) {
    const now = flips.filter(([at]) => at <= (n * hop_length) / sample_rate).at(-1);
    samples.push(...(await fresh.hop(now[1])));
    frames.push(...fresh.last);
  }
  return { samples, frames };
}

/** Samples of given frames: the kernel alone. */
function invert({ frames, with_tape }) {
  const kernel = new Kernel(parts.compiled, parts.memory, parts);
  return frames.flatMap((frame) => [...kernel.process(frame, with_tape ? undefined : 0)]);
}

const answers = {
  async start({ port }) {
    speaker = port;
    speaker.onmessage = ({ data }) => {
      const was_gap = is_gap;
      is_gap = data[1] > n_missing;
      [n_played, n_missing] = data;
      if (is_gap && !was_gap) ahead_seconds = Math.min(ahead_seconds * GROWTH, MOST_AHEAD_SECONDS);
      fill();
    };
    await fill();
  },
  switches: ({ states }) => void (bits = states),
  queue: () => ({ n_played, n_missing, ahead_seconds }),
  render,
  invert,
};

onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, result: await answers[data.call](data) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error) });
  }
};
// The first call of a network takes longer than those after it: it is over before the first sound.
await new Instrument(parts).hop(bits);
postMessage({ id: "ready", result: { ...parts.description, states: bits } });
