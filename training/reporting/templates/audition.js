// The switches of the page: sounds cross-fade at the same position in the loop.
{
  const FADE_SECONDS = 0.03;
  const MOST_DECODED = 48;
  const data = JSON.parse(document.getElementById("panel-data").textContent);
  const states = new Map(data.states.map((state) => [state.bits, state]));
  const [play, picture, screen, status] = ["play", "picture", "screen", "state"].map((id) => document.getElementById(id));
  const switches = [...document.querySelectorAll(".switch")];
  const marks = new Map();
  let bits = states.has(location.hash.slice(1)) ? location.hash.slice(1) : data.states[0].bits;

  // -- display ------------------------------------------------------------------------
  const flip = (from, place) => from.slice(0, place) + (from[place] === "1" ? "0" : "1") + from.slice(place + 1);
  const distance = (one, other) => [...one].filter((bit, place) => bit !== other[place]).length;
  const pictureOf = (state) => `data:image/webp;base64,${state.picture}`;

  // The nearest rendered state, where only a sample was rendered.
  function nearest(wanted) {
    if (states.has(wanted)) return states.get(wanted);
    return data.states.reduce((best, state) => (distance(state.bits, wanted) < distance(best.bits, wanted) ? state : best));
  }

  function show() {
    const state = nearest(bits);
    switches.forEach((button, place) => button.setAttribute("aria-checked", bits[place] === "1"));
    picture.src = pictureOf(state);
    status.replaceChildren(Object.assign(document.createElement("b"), { textContent: bits }), description(state));
    for (const [name, elements] of marks) {
      for (const element of elements) element.classList.toggle("here", name === state.bits);
    }
    try { history.replaceState(null, "", `#${bits}`); } catch { /* not everywhere allowed for a local file */ }
  }

  function description(state) {
    const minus = (text) => String(text).replace("-", "−");
    const instead = state.bits === bits ? "" : ` was not rendered; this is ${state.bits}`;
    const silent = state.silent ? " · silent or invalid" : "";
    return `${instead} · ${minus(state.lufs)} LUFS · ${minus(state.true_peak_db)} dBTP · most like ${state.nearest}, ${state.nearest_sd.toFixed(2)} sd away${silent}`;
  }

  // -- playback ------------------------------------------------------------------------
  const decoded = new Map();
  let context = null, voice = null, began = 0, turn = 0, isPlaying = false;

  function sound(state) {
    const known = decoded.get(state.bits);
    if (known) decoded.delete(state.bits);
    const bytes = () => Uint8Array.from(atob(state.sound), (letter) => letter.charCodeAt(0)).buffer;
    decoded.set(state.bits, known ?? context.decodeAudioData(bytes()));
    if (decoded.size > MOST_DECODED) decoded.delete(decoded.keys().next().value);
    return decoded.get(state.bits);
  }

  const place = () => (((context.currentTime - began) % data.seconds) + data.seconds) % data.seconds;

  function fadeOut() {
    if (!voice) return;
    const { source, gain } = voice, now = context.currentTime;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(gain.gain.value, now);
    gain.gain.linearRampToValueAtTime(0, now + FADE_SECONDS);
    source.stop(now + FADE_SECONDS);
    voice = null;
  }

  function fadeIn(buffer) {
    const source = context.createBufferSource(), gain = context.createGain(), now = context.currentTime;
    Object.assign(source, { buffer, loop: true, loopStart: data.wrap_seconds, loopEnd: data.wrap_seconds + data.seconds });
    gain.gain.setValueAtTime(0, now);
    gain.gain.linearRampToValueAtTime(1, now + FADE_SECONDS);
    source.connect(gain).connect(context.destination);
    source.start(now, data.wrap_seconds + place());
    voice = { source, gain };
  }

  async function playState(state = nearest(bits)) {
    const mine = ++turn;
    let buffer;
    try {
      buffer = await sound(state);
    } catch {
      status.textContent = "This browser cannot decode MP3.";
      return;
    }
    if (mine !== turn || !isPlaying) return;
    fadeOut();
    fadeIn(buffer);
    // Decode the states one flip away in advance.
    switches.forEach((_, number) => sound(nearest(flip(bits, number))).catch(() => {}));
  }

  function start() {
    context ??= new AudioContext({ sampleRate: data.sample_rate });
    context.resume();
    if (isPlaying) return;
    isPlaying = true;
    began = context.currentTime;
    for (const player of document.querySelectorAll("audio")) player.pause();
    play.textContent = "Stop";
    requestAnimationFrame(follow);
  }

  function stop() {
    if (!isPlaying) return;
    isPlaying = false;
    turn += 1;
    fadeOut();
    play.textContent = "Play";
    screen.style.setProperty("--heard", 0);
  }

  function follow() {
    if (!isPlaying) return;
    screen.style.setProperty("--place", place() / data.seconds);
    screen.style.setProperty("--heard", 0.85);
    requestAnimationFrame(follow);
  }

  // -- controls ---------------------------------------------------------------------
  function turnTo(wanted) {
    bits = wanted;
    show();
    start();
    playState();
  }

  const actions = {
    play() { if (isPlaying) { stop(); } else { start(); playState(); } },
    off: () => turnTo("0".repeat(bits.length)),
    any: () => turnTo(data.states[Math.floor(Math.random() * data.states.length)].bits),
  };
  for (const [id, action] of Object.entries(actions)) document.getElementById(id).addEventListener("click", action);
  switches.forEach((button, number) => button.addEventListener("click", () => turnTo(flip(bits, number))));
  screen.addEventListener("click", (click) => {
    start();
    began = context.currentTime - (click.offsetX / screen.clientWidth) * data.seconds;
    playState();
  });
  document.addEventListener("keydown", (key) => {
    if (key.ctrlKey || key.metaKey || key.altKey || key.repeat || key.target.closest?.("audio, input")) return;
    const number = Number(key.key);
    if (key.key === "p" || key.key === "P" || (key.key === " " && !key.target.closest?.("button"))) {
      key.preventDefault();
      actions.play();
    } else if (key.key === "0") {
      actions.off();
    } else if (number >= 1 && number <= switches.length) {
      turnTo(flip(bits, number - 1));
    }
  });
  document.addEventListener("play", stop, true);

  // -- the listening test ------------------------------------------------------------------
  const answers = [...document.querySelectorAll("[data-answer]")], answer = document.getElementById("answer");
  let pair = null, nAsked = 0, nRight = 0;

  function ask() {
    const random = (list) => list[Math.floor(Math.random() * list.length)];
    const pairs = data.states.flatMap(({ bits: before }) =>
      answers.map((_, number) => ({ number, before, after: flip(before, number) })).filter(({ after }) => states.has(after)));
    pair = { ...random(pairs), isAnswered: false };
    answer.textContent = "";
    for (const button of answers) button.removeAttribute("aria-pressed");
  }

  function listen(which) {
    if (!pair) ask();
    start();
    playState(states.get(pair[which]));
  }

  function choose(number) {
    if (!pair || pair.isAnswered) return;
    const isRight = number === pair.number;
    pair.isAnswered = true;
    nAsked += 1;
    nRight += isRight;
    answers[pair.number].setAttribute("aria-pressed", true);
    answer.textContent = `${isRight ? "Right" : "No"}: switch ${pair.number + 1}, ${data.labels[pair.number]}, ${pair.before[pair.number] === "1" ? "off" : "on"}. ${nRight} of ${nAsked} right.`;
  }

  for (const which of ["before", "after"]) document.getElementById(which).addEventListener("click", () => listen(which));
  document.getElementById("another").addEventListener("click", () => { ask(); listen("before"); });
  answers.forEach((button, number) => button.addEventListener("click", () => choose(number)));

  // -- the map and the wall -----------------------------------------------------------------
  function mark(name, element) {
    marks.set(name, [...(marks.get(name) ?? []), element]);
    element.addEventListener("click", () => turnTo(name));
  }

  function drawMap() {
    const map = document.getElementById("map"), { width, height } = map.viewBox.baseVal;
    const [across, up] = [0, 1].map((axis) => data.states.map((state) => state.place[axis]));
    const scale = Math.min(...[[across, width], [up, height]].map(([values, size]) => (size - 40) / (Math.max(...values) - Math.min(...values) || 1)));
    const middle = (values) => (Math.max(...values) + Math.min(...values)) / 2;
    for (const state of data.states) {
      const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      circle.setAttribute("cx", width / 2 + scale * (state.place[0] - middle(across)));
      circle.setAttribute("cy", height / 2 - scale * (state.place[1] - middle(up)));
      circle.setAttribute("r", data.states.length > 64 ? 9 : 14);
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = state.bits;
      circle.append(title);
      map.append(circle);
      mark(state.bits, circle);
      circle.dataset.bits = state.bits;
    }
  }

  function colour(number) {
    for (const circle of document.querySelectorAll("#map circle")) {
      circle.classList.toggle("on", circle.dataset.bits[number] === "1");
    }
    for (const button of document.querySelectorAll("[data-hue]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.hue) === number);
    }
  }

  // Gray's code along both sides: one switch changes from each picture to the next.
  function onTheWall() {
    const n = bits.length, isWhole = data.states.length === 2 ** n;
    const high = Math.floor(n / 2), low = n - high;
    const gray = (count) => Array.from({ length: 2 ** count }, (_, i) => (i ^ (i >> 1)).toString(2).padStart(count, "0"));
    if (!isWhole) return { columns: 16, names: data.states.map((state) => state.bits) };
    const rows = high ? gray(high) : [""];
    return { columns: 2 ** low, names: rows.flatMap((row) => gray(low).map((column) => row + column)) };
  }

  function drawWall() {
    const wall = document.getElementById("wall"), { columns, names } = onTheWall();
    wall.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    for (const name of names) {
      const button = Object.assign(document.createElement("button"), { type: "button", title: name, tabIndex: -1 });
      button.append(Object.assign(new Image(), { src: pictureOf(states.get(name)), alt: name, loading: "lazy" }));
      wall.append(button);
      mark(name, button);
    }
  }

  drawMap();
  drawWall();
  colour(0);
  for (const button of document.querySelectorAll("[data-hue]")) {
    button.addEventListener("click", () => colour(Number(button.dataset.hue)));
  }
  for (const button of document.querySelectorAll(".panel button")) button.disabled = false;
  show();
}
