// The panel: switches to click, or the keys 1 to 9; a button that plays; what is heard as a picture.

const folder = new URL(".", import.meta.url);
const panel = document.querySelector("#instrument");
const find = (name) => panel.querySelector(`[data-part=${name}]`);
const worker = new Worker(new URL("worker.js", folder), { type: "module" });
const waiting = new Map();
let description, states, context, volume, analyser;

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) reject(new Error(data.error));
  else resolve(data.result);
};

function answerTo(id) {
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

let n_calls = 0;
function call(name, parameters = {}, transferred = []) {
  const id = n_calls++;
  worker.postMessage({ id, call: name, ...parameters }, transferred);
  return answerTo(id);
}

async function open() {
  const failed = new Promise((_, reject) => {
    worker.onerror = (event) => reject(new Error(event.message || "the worker cannot be loaded"));
  });
  description = await Promise.race([answerTo("ready"), failed]);
  states = description.states;
  description.card.switch_labels.forEach((label, i) => find("switches").append(makeSwitch(i, label)));
  document.addEventListener("keydown", (event) => {
    const i = Number(event.key) - 1;
    const is_typing = event.target.closest("input, textarea") || event.ctrlKey || event.metaKey;
    if (!is_typing && i >= 0 && i < states.length) flip(i);
  });
  find("play").onclick = play;
  find("volume").oninput = setVolume;
  find("play").disabled = false;
  say(`${description.card.title}, ready`);
}

function makeSwitch(i, label) {
  const button = document.createElement("button");
  button.setAttribute("aria-pressed", String(Boolean(states[i])));
  button.append(Object.assign(document.createElement("i"), { textContent: i + 1 }), label);
  button.onclick = () => flip(i);
  return button;
}

function flip(i) {
  states[i] = 1 - states[i];
  find("switches").children[i].setAttribute("aria-pressed", String(Boolean(states[i])));
  call("switches", { states });
}

function say(text) {
  find("state").textContent = text;
}

async function play() {
  if (!context) await start();
  else if (context.state === "running") await context.suspend();
  else await context.resume();
  const is_playing = context.state === "running";
  find("play").textContent = is_playing ? "Pause" : "Play";
  say(`${description.card.title}, ${is_playing ? "playing" : "paused"}`);
}

async function start() {
  context = new AudioContext({ sampleRate: description.card.sample_rate });
  await context.audioWorklet.addModule(new URL("speaker.js", folder));
  const speaker = new AudioWorkletNode(context, "speaker", { outputChannelCount: [1] });
  const channel = new MessageChannel();
  speaker.port.postMessage(channel.port1, [channel.port1]);
  await call("start", { port: channel.port2 }, [channel.port2]);
  volume = new GainNode(context);
  analyser = new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0 });
  setVolume();
  speaker.connect(analyser).connect(volume).connect(context.destination);
  requestAnimationFrame(paint);
}

function setVolume() {
  if (volume) volume.gain.value = find("volume").value ** 2;
}

/** One column of the spectrogram for every picture of the screen: time runs to the left. */
function paint() {
  const canvas = find("spectrogram");
  const brush = canvas.getContext("2d");
  const levels = new Uint8Array(analyser.frequencyBinCount);
  analyser.getByteFrequencyData(levels);
  if (context.state === "running") {
    brush.drawImage(canvas, -1, 0);
    for (let y = 0; y < canvas.height; y++) {
      // From 50 Hz to 8 kHz; equal intervals have equal heights.
      const hertz = 50 * 160 ** (1 - y / canvas.height);
      const level = levels[Math.round((hertz / context.sampleRate) * analyser.fftSize)] / 255;
      brush.fillStyle = `hsl(${220 - 180 * level} 60% ${8 + 62 * level}%)`;
      brush.fillRect(canvas.width - 1, y, 1, 1);
    }
  }
  requestAnimationFrame(paint);
}

// For the tests: what the worker computes without a sound card, and what is heard.
window.instrument = {
  ready: open().catch((error) => {
    say(`the instrument cannot play here: ${error.message}`);
    throw error;
  }),
  call,
  level() {
    const samples = new Float32Array(analyser?.fftSize ?? 0);
    analyser?.getFloatTimeDomainData(samples);
    return Math.hypot(...samples);
  },
};
