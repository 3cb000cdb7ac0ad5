// The panel: shows what the instrument sends, and sends what is pressed. All text from the instrument is
// set as text, never as markup.
const $ = (id) => document.getElementById(id);
const FLOOR_DB = -48;
// From one level to the next, and by how much the mark of the peak falls meanwhile.
const LEVEL_MS = 58;
const FALL_DB = 1.5;
const RETRY_MS = 1500;
const AHEAD_MS = 400;
let token = "";
let card = {labels: []};
let state = null;
let meterDb = FLOOR_DB;
let beatTimer = 0;
let levelTimer = 0;
const touched = {volume: 0, tempo: 0};

// The token comes with the link, behind the # sign, which browsers do not send. It is taken out of the
// address, so that a picture of the screen does not show it.
function findToken() {
  const given = location.hash.slice(1);
  if (/^[\w-]{22}$/.test(given)) {
    localStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  token = localStorage.getItem("token") || "";
}

async function ask(path, options = {}) {
  const response = await fetch(path, {...options, headers: {...options.headers, Authorization: `Bearer ${token}`}});
  if (response.status === 401) askForToken();
  if (!response.ok) throw new Error((await response.text()).trim() || `status ${response.status}`);
  return response;
}

function askForToken() {
  $("ask").hidden = false;
  $("panel").hidden = true;
  connected(false, "no valid token");
}

async function send(command, done) {
  try {
    await ask("/api/command", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(command)});
    if (done) say(done);
  } catch (error) {
    say(error.message);
  }
}

let toastTimer = 0;
function say(text) {
  $("spoken").textContent = text;
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 3500);
}

function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function connected(isThere, text) {
  $("lamp").className = `lamp ${isThere ? "on" : "off"}`;
  write("connection", text);
  $("panel").setAttribute("aria-busy", String(!isThere));
}

// Server-sent events, read by fetch: an EventSource cannot send the token in a header.
async function follow() {
  for (;;) {
    try {
      const response = await ask("/api/events");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const {value, done} = await reader.read();
        if (done) break;
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) if (event.startsWith("data: ")) take(JSON.parse(event.slice(6)));
      }
    } catch (error) {
      if (!$("ask").hidden) return;
    }
    connected(false, "the panel does not answer; trying again");
    await new Promise((wait) => setTimeout(wait, RETRY_MS));
  }
}

function take(message) {
  if ("card" in message) showCard(message.card);
  if ("scenes" in message) showScenes(message.scenes);
  if ("state" in message) showState(message.state);
  if ("now" in message && state) showPlace(Object.assign(state, message.now));
  if ("link" in message) {
    connected(message.link, message.link ? "playing" : "the instrument does not answer");
    if (message.link) showKept();
  }
  if ("error" in message) say(message.error);
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function showCard(latest) {
  card = latest;
  write("title", card.title);
  document.title = `${card.title} – Lo-Fi Switchboard`;
  $("switches").replaceChildren(...card.labels.map(makeSwitch));
  write("card-lead", `${card.title}, ${card.origin}. Effect: how much a switch changes the sound, in standard deviations of the music it was trained on. Recognised: how often the switch is read from the sound alone.`);
  const facts = [["SHA-256", card.digest], ...switchFacts(), ...card.facts];
  $("facts").replaceChildren(...facts.flatMap(([name, text]) => [breakable("dt", name), element("dd", "", text)]));
  if (state) showState(state);
}

// A name such as scores.held_out_lufs, which may be broken after each of its parts.
function breakable(kind, name) {
  const made = element(kind, "");
  for (const part of name.split(/(?<=[._])/)) made.append(part, document.createElement("wbr"));
  return made;
}

function switchFacts() {
  if (!card.strength || !card.recognised) return [];
  return card.labels.map((label, i) => [`${i + 1} ${label}`, `effect ${card.strength[i].toFixed(2)}, recognised ${Math.round(100 * card.recognised[i])} %`]);
}

function makeSwitch(label, index) {
  const made = element("button", "switch");
  made.type = "button";
  made.setAttribute("role", "switch");
  made.setAttribute("aria-checked", "false");
  const lever = element("span", "lever");
  lever.setAttribute("aria-hidden", "true");
  const does = element("span", "does");
  does.setAttribute("aria-hidden", "true");
  if (card.strength) does.append(...effect(index));
  const held = element("span", "held");
  made.append(lever, element("span", "name", label), does, element("span", "number", String(index + 1)), held);
  const figures = card.strength ? `, effect ${card.strength[index].toFixed(2)}` : "";
  made.setAttribute("aria-label", `Switch ${index + 1}: ${label}${figures}`);
  made.addEventListener("click", () => {
    const on = made.getAttribute("aria-checked") !== "true";
    send({do: "set", switch: index + 1, on});
  });
  return made;
}

// How much the switch changes, beside the one that changes most.
function effect(index) {
  const track = element("span", "track");
  const part = element("span", "part");
  part.style.width = `${(100 * card.strength[index]) / Math.max(...card.strength, 1e-9)}%`;
  track.append(part);
  return [track, element("span", "figure", card.strength[index].toFixed(2))];
}

function showState(latest) {
  state = latest;
  const buttons = [...$("switches").children];
  buttons.forEach((button, index) => {
    const on = state.switches[index] === "1";
    const holder = state.held_by[index + 1];
    if (button.getAttribute("aria-checked") !== String(on)) button.setAttribute("aria-checked", String(on));
    button.classList.toggle("waits", state.switches[index] !== state.sounding[index]);
    const held = holder ? `held by ${holder}` : "";
    const shown = button.querySelector(".held");
    if (shown.textContent !== held) shown.textContent = held;
  });
  const held = Object.entries(state.held_by);
  write("holders", held.length ? "Switches that a hand elsewhere holds follow the box again when its own switch is moved." : "All switches are as on the box.");
  showEvening();
  showPlace();
  write("bars", ` of ${state.bars_per_loop}`);
  const p50 = state.switch_to_sound_p50_ms;
  write("latency", p50 === null ? "–" : String(Math.round(p50)));
  write("trouble", p50 === null ? "No flip yet." : `99 of 100 within ${Math.round(state.switch_to_sound_p99_ms)} ms; ${state.underruns} gaps, ${state.late_blocks} late blocks.`);
  write("share", state.share);
  if (state.failure) connected(true, `silent: ${state.failure}`);
  dial("volume", state.gain_db, (value) => `${value > 0 ? "+" : ""}${Math.round(value)} dB`);
  dial("tempo", state.tempo_bpm, (value) => `${Math.round(value)} bpm`);
}

function showEvening() {
  const {is_asleep: isAsleep, is_quiet: isQuiet, is_wandering: wanders} = state.evening;
  write("evening", state.evening_words ? `Now: ${state.evening_words}.` : "It plays until it is stopped.");
  $("wake").disabled = !isAsleep;
  $("wander").disabled = isAsleep || wanders;
  const pressed = String(isQuiet);
  if ($("quiet").getAttribute("aria-pressed") !== pressed) $("quiet").setAttribute("aria-pressed", pressed);
}

function showPlace() {
  const level = state.level_db;
  write("level", level === null ? "silent" : level.toFixed(1));
  $("meter").setAttribute("aria-valuenow", String(Math.round(Math.max(level ?? FLOOR_DB, FLOOR_DB))));
  clearInterval(levelTimer);
  showLevels([...state.levels]);
  clearTimeout(beatTimer);
  // The beat that is heard; before the first one, that which is drawn.
  const n = state.bars_per_loop * state.n_beats;
  const heard = state.heard_beat;
  if (heard === undefined) return showBeat((state.bar_in_loop - 1) * state.n_beats + state.beat - 1);
  const beat = Math.floor(Math.max(heard, 0));
  showBeat(beat % n);
  // The next one is shown when it comes, if that is before the next message.
  const wait = (beat + 1 - heard) * 60000 / state.tempo_bpm;
  if (wait < AHEAD_MS && !state.evening.is_asleep) beatTimer = setTimeout(() => showBeat((beat + 1) % n), wait);
}

function showBeat(here) {
  write("bar", `${Math.floor(here / state.n_beats) + 1}.${here % state.n_beats + 1}`);
  showBeats(here);
}

function showBeats(here) {
  const marks = $("beats");
  const n = state.bars_per_loop * state.n_beats;
  if (marks.dataset.n !== String(n)) {
    marks.dataset.n = String(n);
    const measures = Array.from({length: state.bars_per_loop}, () => {
      const measure = element("span", "measure");
      measure.append(...Array.from({length: state.n_beats}, () => element("i", "")));
      return measure;
    });
    marks.replaceChildren(...(n > 64 ? [] : measures));
  }
  marks.querySelectorAll("i").forEach((mark, index) => {
    const name = index === here ? "here" : index < here ? "past" : "";
    if (mark.className !== name) mark.className = name;
  });
}

// Those since the last message, one after the other.
function showLevels(levels) {
  levelTimer = setInterval(() => {
    if (levels.length) showLevel(levels.shift());
    else clearInterval(levelTimer);
  }, LEVEL_MS);
}

function showLevel(levelDb) {
  const level = Math.max(levelDb ?? FLOOR_DB, FLOOR_DB);
  meterDb = Math.max(level, meterDb - FALL_DB);
  const share = (db) => Math.min(Math.max(1 - db / FLOOR_DB, 0), 1);
  $("fill").style.clipPath = `inset(0 ${100 - 100 * share(level)}% 0 0)`;
  $("peak").style.left = `${99 * share(meterDb)}%`;
}

// What a thumb moves is not moved back by what was sent before it arrived.
function dial(id, value, format) {
  if (Date.now() - touched[id] < 800) return;
  if (Math.round(value) !== Math.round($(id).value)) $(id).value = value;
  write(`${id}-out`, format(value));
}

function makeDial(id, command, format) {
  let timer = 0;
  $(id).addEventListener("input", () => {
    touched[id] = Date.now();
    write(`${id}-out`, format(Number($(id).value)));
    clearTimeout(timer);
    timer = setTimeout(() => send(command(Number($(id).value))), 60);
  });
}

function showScenes(names) {
  $("scene-section").hidden = names.length === 0;
  $("scenes").replaceChildren(...names.map((name) => {
    const made = element("button", "", name);
    made.type = "button";
    made.addEventListener("click", () => send({do: "scene", name}, `scene ${name}`));
    return made;
  }));
}

async function showKept() {
  let pieces = [];
  try {
    pieces = await (await ask("/api/kept")).json();
  } catch {
    return -1;
  }
  const rows = pieces.reverse().map((piece) => {
    const row = element("li", "");
    const text = element("span", "");
    const minutes = `${Math.floor(piece.seconds / 60)}:${String(Math.round(piece.seconds) % 60).padStart(2, "0")}`;
    const [day, time = ""] = piece.name.split("_");
    const when = `${day} ${time.slice(0, 5).replace("-", ":")}`;
    text.append(element("span", "when", when), element("span", "what", `${piece.title || piece.name} · ${minutes}`));
    const listen = element("button", "", "Listen");
    listen.type = "button";
    listen.setAttribute("aria-label", `Listen to ${piece.title} of ${when}`);
    listen.addEventListener("click", () => play(piece.name, listen));
    row.append(text, listen);
    return row;
  });
  $("kept").replaceChildren(...(rows.length ? rows : [element("li", "none", "Nothing is kept yet.")]));
  return rows.length;
}

async function play(name, button) {
  button.disabled = true;
  try {
    const sound = await (await ask(`/api/kept/${encodeURIComponent(name)}`)).blob();
    URL.revokeObjectURL($("player").src);
    $("player").src = URL.createObjectURL(sound);
    $("player").hidden = false;
    await $("player").play();
  } catch (error) {
    say(error.message);
  }
  button.disabled = false;
}

async function keep() {
  const before = $("kept").querySelectorAll("button").length;
  await send({do: "keep"}, "keeping the last minutes");
  for (let i = 0; i < 20; i++) {
    await new Promise((wait) => setTimeout(wait, 1000));
    if (await showKept() > before) return say("kept");
  }
}

function begin() {
  findToken();
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    localStorage.setItem("token", $("token").value.trim());
    location.reload();
  });
  $("keep").addEventListener("click", keep);
  makeDial("volume", (gain_db) => ({do: "volume", gain_db}), (value) => `${value > 0 ? "+" : ""}${value} dB`);
  makeDial("tempo", (bpm) => ({do: "tempo", bpm}), (value) => `${value} bpm`);
  for (const button of $("sleep").querySelectorAll("button")) {
    const minutes = Number(button.dataset.minutes);
    button.addEventListener("click", () => send({do: "sleep", minutes}, minutes ? `sleep in ${button.textContent}` : "no sleep"));
  }
  $("wake").addEventListener("click", () => send({do: "wake"}, "waking"));
  $("wander").addEventListener("click", () => send({do: "wander"}, "wanders until a hand comes"));
  $("quiet").addEventListener("click", () => send({do: "quiet", on: !state.evening.is_quiet}));
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("/service-worker.js").catch(() => {});
  if (token) follow();
  else askForToken();
}

begin();
