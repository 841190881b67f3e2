// The page: draws the stream, asks for the numbers once a second, and says so when either stays away.
"use strict";

const $ = (id) => document.getElementById(id);
const STAGES = {
  age: "frame age", capture: "capture to memory", queue: "waiting for the network", inference: "inference",
  upload: "upload", compute: "network on the GPU", download: "download", sink: "outputs", interval: "between frames",
};
const WITHIN = ["capture", "queue", "inference", "upload", "compute", "download"];
const TROUBLES = {
  starting: "Waiting for the first frame", lost: "Source lost", stalled: "Source silent", frozen: "Picture frozen",
  ended: "Stream ended", failed: "Stream failed", gone: "The program does not answer", locked: "The page is locked",
};
const STATES = { live: "live", black: "live, black picture", gone: "no connection", ended: "ended" };
const KEPT_S = 60;
const SILENCE_S = 3; // without an answer the program counts as gone

let name = decodeURIComponent(location.hash.slice(1)); // of the stream
let view = "pair";
let divider = 0.5;
let frozen = false;
let stats = null; // of the stream, as they came last
let heardAt = performance.now(); // when the program answered last
let locked = false;
let shown = null; // the picture on the canvas: a bitmap
let shownCaptured = null; // when it was captured, on this browser's clock
let watching = null; // aborts the stream that is read
let touchedAt = -1e9; // when a control was moved last
const history = {}; // stream → samples of the last minute
const arrivals = []; // of pictures: [time, bytes]

if (location.search) window.history.replaceState(null, "", location.pathname + location.hash); // the token has done its work

// ---- the picture

async function watch() {
  watching?.abort();
  const mine = (watching = new AbortController());
  for (let pause = 500; watching === mine && !mine.signal.aborted; pause = Math.min(pause * 2, 4000)) {
    const before = arrivals.at(-1)?.[0] ?? 0;
    try {
      await readStream(mine.signal);
    } catch {
      // it is tried again
    }
    if ((arrivals.at(-1)?.[0] ?? 0) > before) pause = 500;
    await new Promise((done) => setTimeout(done, pause));
  }
}

async function readStream(signal) {
  const query = new URLSearchParams({ view });
  if (name) query.set("stream", name);
  const response = await fetch(`stream.mjpg?${query}`, { signal });
  if (!response.ok) throw new Error(response.status);
  const reader = response.body.getReader();
  let buffer = new Uint8Array(1 << 17), filled = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    if (filled + value.length > buffer.length) {
      const larger = new Uint8Array(2 * (filled + value.length));
      larger.set(buffer.subarray(0, filled));
      buffer = larger;
    }
    buffer.set(value, filled);
    filled += value.length;
    const rest = takeParts(buffer.subarray(0, filled));
    buffer.copyWithin(0, rest, filled);
    filled -= rest;
  }
}

// Shows the whole pictures in what has come; returns where the rest begins.
function takeParts(bytes) {
  for (let start = 0; ; ) {
    const end = blankLine(bytes, start);
    if (end < 0) return start;
    const head = new TextDecoder().decode(bytes.subarray(start, end));
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1]);
    if (!length) throw new Error("not a stream of pictures");
    if (end + 4 + length > bytes.length) return start;
    const age = Number(/x-frame-age-ms: *([\d.-]+)/i.exec(head)?.[1] ?? 0);
    arrive(bytes.slice(end + 4, end + 4 + length), age);
    start = end + 4 + length;
  }
}

function blankLine(bytes, start) {
  for (let i = bytes.indexOf(13, start); i >= 0 && i + 3 < bytes.length; i = bytes.indexOf(13, i + 1)) {
    if (bytes[i + 1] === 10 && bytes[i + 2] === 13 && bytes[i + 3] === 10) return i;
  }
  return -1;
}

let waiting = null, decoding = false;

function arrive(jpeg, age) {
  const now = performance.now();
  arrivals.push([now, jpeg.length]);
  while (arrivals[0][0] < now - 2500) arrivals.shift();
  waiting = { jpeg, captured: now - age, from: watching };
  if (!decoding) decode();
}

// A browser that decodes slowly leaves pictures out.
async function decode() {
  decoding = true;
  while (waiting) {
    const part = waiting;
    waiting = null;
    try {
      const bitmap = await createImageBitmap(new Blob([part.jpeg], { type: "image/jpeg" }));
      if (part.from === watching && !frozen) show(bitmap, part.captured);
      else bitmap.close();
    } catch {
      // a damaged picture: the next one comes soon
    }
  }
  decoding = false;
}

function show(bitmap, captured) {
  shown?.close();
  shown = bitmap;
  shownCaptured = captured;
  paint();
}

function paint() {
  const canvas = $("picture");
  $("divider").hidden = !shown || view !== "pair";
  $("tag-before").hidden = !shown || view === "output";
  $("tag-after").hidden = !shown || view === "input";
  if (!shown) return;
  const width = view === "pair" ? shown.width >> 1 : shown.width;
  if (canvas.width !== width || canvas.height !== shown.height) {
    [canvas.width, canvas.height] = [width, shown.height];
    $("stage").style.setProperty("--aspect", width / shown.height);
  }
  const context = canvas.getContext("2d");
  const cut = view === "pair" ? Math.round(divider * width) : 0;
  const shift = view === "pair" ? width : 0;
  const height = shown.height;
  if (cut > 0) context.drawImage(shown, 0, 0, cut, height, 0, 0, cut, height);
  if (cut < width) context.drawImage(shown, shift + cut, 0, width - cut, height, cut, 0, width - cut, height);
}

// ---- the divider

function moveDivider(share) {
  divider = Math.min(1, Math.max(0, share));
  const handle = $("divider"), percent = Math.round(divider * 100);
  handle.style.left = `${divider * 100}%`;
  handle.setAttribute("aria-valuenow", percent);
  handle.setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % after`);
  $("tag-before").style.opacity = divider < 0.08 ? 0 : 1;
  $("tag-after").style.opacity = divider > 0.92 ? 0 : 1;
  paint();
}

function dragTo(event) {
  const box = $("stage").getBoundingClientRect();
  moveDivider((event.clientX - box.left) / box.width);
}

$("stage").addEventListener("pointerdown", (event) => {
  if (view !== "pair" || event.button) return;
  $("stage").setPointerCapture(event.pointerId);
  dragTo(event);
  $("divider").focus({ preventScroll: true });
  event.preventDefault();
});
$("stage").addEventListener("pointermove", (event) => {
  if ($("stage").hasPointerCapture(event.pointerId)) dragTo(event);
});
$("divider").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
  if (!(event.key in steps)) return;
  moveDivider(divider + steps[event.key]);
  event.preventDefault();
});

// ---- what is shown here

function choose(next) {
  if (next !== view) {
    view = next;
    waiting = null;
    shown?.close();
    shown = null;
    paint();
  }
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === view);
  $("snapshot").href = snapshotAddress();
  if (frozen) unfreeze();
  else watch();
}

function snapshotAddress() {
  const query = new URLSearchParams({ view });
  if (name) query.set("stream", name);
  return `snapshot.jpg?${query}`;
}

async function freeze() {
  frozen = true;
  $("freeze").setAttribute("aria-pressed", "true");
  try {
    const response = await fetch(snapshotAddress());
    if (response.ok) {
      const captured = performance.now() - Number(response.headers.get("X-Frame-Age-Ms"));
      const bitmap = await createImageBitmap(await response.blob());
      if (frozen) show(bitmap, captured);
    }
  } catch {
    // what is on the canvas stays there
  }
  if (frozen) watching?.abort();
}

function unfreeze() {
  frozen = false;
  $("freeze").setAttribute("aria-pressed", "false");
  watch();
}

for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => choose(button.dataset.view));
$("freeze").addEventListener("click", () => (frozen ? unfreeze() : freeze()));
$("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : $("screen").requestFullscreen()));
$("full").hidden = !document.fullscreenEnabled;
document.addEventListener("visibilitychange", () => {
  // Nothing is encoded for a page that nobody sees.
  if (document.hidden) watching?.abort();
  else {
    heardAt = performance.now();
    poll();
    if (!frozen) watch();
  }
});

// ---- the controls of the outputs

let sending = false, unsent = null;

async function control(change) {
  touchedAt = performance.now();
  unsent = { ...unsent, ...change };
  if (sending) return;
  sending = true;
  while (unsent) {
    const body = JSON.stringify(name ? { stream: name, ...unsent } : unsent);
    unsent = null;
    try {
      const response = await fetch("controls", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      $("refused").textContent = response.ok ? "" : await response.text();
    } catch {
      $("refused").textContent = "the program did not take it";
    }
  }
  sending = false;
}

$("strength").addEventListener("input", () => {
  $("strength-value").textContent = `${$("strength").value} %`;
  control({ strength: $("strength").value / 100 });
});
$("view").addEventListener("change", () => control({ view: $("view").value }));

// ---- the numbers

let polling = null;

async function poll() {
  clearTimeout(polling);
  if (document.hidden) return;
  const abort = new AbortController();
  const patience = setTimeout(() => abort.abort(), 8000);
  try {
    const response = await fetch("stats.json", { signal: abort.signal });
    locked = response.status === 401;
    if (response.ok) take(await response.json());
  } catch {
    // how long ago it was is shown
  }
  clearTimeout(patience);
  clearTimeout(polling);
  polling = setTimeout(poll, 1000);
}

function take(report) {
  heardAt = performance.now();
  const streams = report.streams;
  stats = streams.find((stream) => stream.name === name) ?? streams[0] ?? null;
  for (const stream of streams) remember(stream);
  if (stats) {
    name = stats.name;
    $("snapshot").href = snapshotAddress();
    showStreams(streams);
    showNumbers();
    showControls();
  }
  showDevice(report.device);
  showState();
  drawCharts();
}

function remember(stream) {
  const samples = (history[stream.name] ??= []);
  samples.push({ at: heardAt, fps: stream.now.fps, p50: stream.now.age_p50_ms, max: stream.now.age_max_ms });
  while (samples[0].at < heardAt - KEPT_S * 1000 - 2000) samples.shift();
}

function showStreams(streams) {
  const list = $("streams");
  list.hidden = streams.length < 2;
  const names = streams.map((stream) => stream.name);
  if ([...list.children].map((button) => button.textContent).join() !== names.join()) list.replaceChildren(...names.map(streamButton));
  streams.forEach((stream, place) => {
    list.children[place].dataset.ok = stream.healthy;
    list.children[place].setAttribute("aria-pressed", stream.name === name);
  });
}

function streamButton(wanted) {
  const button = element("button", wanted);
  button.addEventListener("click", () => {
    if (wanted === name) return;
    name = wanted;
    window.history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    stats = null;
    shown?.close();
    shown = waiting = null;
    paint();
    choose(view);
    poll();
  });
  return button;
}

function showNumbers() {
  const { now, ms, drops, by_how: how } = stats;
  const lost = Object.entries(drops).filter(([cause]) => cause !== "not_processed_at_stop"); // those are in flight
  $("about").textContent = `${stats.source} → ${stats.model}`;
  $("about").title = $("about").textContent;
  $("fps").textContent = now.fps.toFixed(1);
  $("age").textContent = now.age_p50_ms === null ? "–" : digits(now.age_p50_ms);
  $("delivered").textContent = count(stats.delivered);
  $("dropped").textContent = count(lost.reduce((sum, [, frames]) => sum + frames, 0));
  const total = Object.values(how).reduce((sum, frames) => sum + frames, 0);
  fill($("how"), Object.entries(how), ([kind, frames]) => {
    const part = element("i");
    part.dataset.how = kind;
    part.style.flexGrow = frames;
    return part;
  });
  fill($("how-rows"), Object.entries(how), ([kind, frames]) => {
    const label = element("span", kind), dot = element("i");
    dot.className = "dot";
    dot.dataset.how = kind;
    label.prepend(dot);
    return row(label, `${count(frames)} · ${percent(frames, total)}`);
  });
  fill($("drops"), lost, ([cause, frames]) => row(cause.replaceAll("_", " "),
    frames ? `${count(frames)} · ${percent(frames, stats.captured)}` : "0", frames ? "" : "none"));
  showStages(ms);
}

function showStages(ms) {
  const rows = Object.entries(STAGES).filter(([key]) => ms[key]?.n);
  const scale = Math.max(...rows.map(([key]) => ms[key].p95 ?? 0), 1e-9);
  fill($("stages").querySelector("tbody"), rows, ([key, title]) => {
    const line = element("tr"), track = element("td"), bar = element("i"), label = element("td", title);
    if (WITHIN.includes(key)) label.className = "within";
    track.className = "track";
    bar.style.width = `${(ms[key].p95 / scale) * 100}%`;
    bar.style.setProperty("--part", `${(ms[key].p50 / ms[key].p95) * 100}%`);
    track.append(bar);
    line.append(label, track, ...["p50", "p95", "max"].map((part) => element("td", digits(ms[key][part]))));
    return line;
  });
}

function showControls() {
  if (performance.now() - touchedAt < 1500) return; // what a finger is on stays where it is
  const select = $("view");
  if (select.options.length !== stats.views.length) {
    select.replaceChildren(...stats.views.map((option) => new Option(option.replaceAll("-", " "), option)));
  }
  select.value = stats.view;
  $("view-label").hidden = stats.views.length < 2;
  $("strength").value = Math.round(stats.strength * 100);
  $("strength-value").textContent = `${$("strength").value} %`;
}

function showDevice(device) {
  $("device").hidden = !device;
  if (!device) return;
  const groups = [["temperatures_c", "Temperature", "°C", 0], ["watts", "Power", "W", 1], ["clocks_mhz", "Clock", "MHz", 0]];
  const lines = [];
  for (const [key, title, unit, places] of groups) {
    const readings = Object.entries(device[key] ?? {});
    if (readings.length) lines.push(row(title, "", "group"));
    for (const [place, value] of readings) lines.push(row(place, `${value?.toFixed(places) ?? "–"} ${unit}`, key === "temperatures_c" && value >= 90 ? "hot" : ""));
    if (key === "watts" && device.watts_of?.includes("+")) lines.push(row("all together", `${device.watts_total.toFixed(1)} W`));
  }
  if (device.throttling) lines.push(row("Slowed down by", device.throttling.join(", ") || "nothing", device.throttling.length ? "hot" : ""));
  for (const [what, why] of Object.entries(device.unreadable ?? {})) lines.push(row(what, why, "note"));
  $("readings").replaceChildren(...lines);
}

// ---- how it is

function showState() {
  const silence = (performance.now() - heardAt) / 1000;
  let state = stats?.state ?? "starting";
  if (locked) state = "locked";
  else if (silence > SILENCE_S) state = "gone";
  document.body.classList.toggle("stale", state === "gone" || state === "locked");
  $("state").dataset.state = state === "black" ? "live" : state;
  $("state").textContent = STATES[state] ?? TROUBLES[state]?.toLowerCase() ?? state;
  document.title = `${state in TROUBLES ? "⚠ " : ""}${name ? `${name} – ` : ""}edgedeblur`;
  const trouble = $("trouble"), title = TROUBLES[state];
  $("stage").classList.toggle("dead", Boolean(title));
  trouble.hidden = !title;
  if (title) {
    if (trouble.firstChild.textContent !== title) trouble.firstChild.textContent = title;
    trouble.lastChild.textContent = [reason(state, silence), picture(silence)].filter(Boolean).join(" ");
  }
  showLink();
}

function reason(state, silence) {
  if (state === "gone") return `It was heard ${duration(silence)} ago, and is asked again every second.`;
  if (state === "locked") return "Open it again with ?token=… in the address.";
  const words = stats?.reason ?? "", text = words && `${words[0].toUpperCase()}${words.slice(1)}.`;
  const again = stats?.reconnects ? ` It came back ${stats.reconnects} time${stats.reconnects > 1 ? "s" : ""} before.` : "";
  return text.replace("..", ".") + (state === "starting" ? "" : again);
}

function picture(silence) {
  const since = stats?.seconds_since_last_frame;
  if (since != null) return `The last frame is ${duration(since + silence)} old.`;
  return shown ? `The picture is ${duration((performance.now() - shownCaptured) / 1000)} old.` : "";
}

function showLink() {
  const now = performance.now(), recent = arrivals.filter(([at]) => at > now - 2000);
  if (frozen) $("link").textContent = shown ? `frozen ${shown.width} × ${shown.height}, ${duration((now - shownCaptured) / 1000)} old` : "frozen";
  else if (shown && recent.length) {
    const rate = recent.reduce((sum, [, bytes]) => sum + bytes, 0) / 2000;
    $("link").textContent = `${shown.width} × ${shown.height} · ${(recent.length / 2).toFixed(1)}/s · ${Math.round(rate)} kB/s`;
  } else $("link").textContent = shown ? `picture ${duration((now - shownCaptured) / 1000)} old` : "";
}

// ---- charts

function drawCharts(at = null) {
  const samples = history[name] ?? [];
  draw($("fps-chart"), samples, [["fps", "#45d0bd"]], at, $("fps-at"), "");
  draw($("age-chart"), samples, [["max", "#6b7787"], ["p50", "#45d0bd"]], at, $("age-at"), " ms");
}

function draw(canvas, samples, lines, at, label, unit) {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const now = samples.at(-1)?.at ?? 0;
  const top = roundUp(Math.max(10, ...samples.flatMap((sample) => lines.map(([key]) => sample[key] ?? 0))));
  const left = 38, bottom = height - 6, head = 8;
  const x = (time) => left + (1 - (now - time) / (KEPT_S * 1000)) * (width - left - 4);
  const y = (value) => bottom - (value / top) * (bottom - head);
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [0, top / 2, top]) {
    context.fillStyle = "#9aa6b5";
    context.fillText(String(value), left - 7, y(value));
    context.fillStyle = "#2a313c";
    context.fillRect(left, Math.round(y(value)), width - left, 1);
  }
  context.save();
  context.beginPath();
  context.rect(left, 0, width - left, height);
  context.clip();
  for (const [key, colour] of lines) {
    context.beginPath();
    let open = false;
    for (const sample of samples) {
      if (sample[key] == null) open = false;
      else if (open) context.lineTo(x(sample.at), y(sample[key]));
      else context.moveTo(x(sample.at), y(sample[key]));
      open = sample[key] != null;
    }
    context.lineWidth = 1.8;
    context.lineJoin = "round";
    context.strokeStyle = colour;
    context.stroke();
  }
  const wanted = at === null ? null : now - (1 - (at - left) / (width - left - 4)) * KEPT_S * 1000;
  const pick = wanted === null ? samples.at(-1) : samples.reduce((best, sample) => (Math.abs(sample.at - wanted) < Math.abs(best.at - wanted) ? sample : best), samples[0]);
  if (pick && at !== null) {
    context.fillStyle = "#e8edf380";
    context.fillRect(x(pick.at), head, 1, bottom - head);
  }
  context.restore();
  const values = [...lines].reverse();
  const known = pick && values.every(([key]) => pick[key] != null);
  const when = at === null || !pick ? "" : `, ${Math.round((now - pick.at) / 1000)} s ago`;
  label.textContent = (known ? values.map(([key]) => digits(pick[key])).join(" / ") + unit : "–") + when;
}

function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

for (const chart of document.querySelectorAll("#charts canvas")) {
  chart.addEventListener("pointermove", (event) => drawCharts(event.offsetX));
  chart.addEventListener("pointerleave", () => drawCharts());
}
window.addEventListener("resize", () => drawCharts());

// ---- words

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function row(label, value, kind = "") {
  const line = element("li");
  line.className = kind;
  line.append(label instanceof Node ? label : element("span", label), element("span", value));
  return line;
}

function fill(parent, items, make) {
  parent.replaceChildren(...items.map(make));
}

function digits(value) {
  if (typeof value !== "number") return "–";
  if (value === 0) return "0";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function count(value) {
  return value.toLocaleString("en").replaceAll(",", "\u2009");
}

function percent(part, whole) {
  const share = whole ? (part / whole) * 100 : 0;
  return part && share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min ${Math.floor(seconds % 60)}\u00a0s`;
  return `${Math.floor(seconds / 3600)}\u00a0h ${Math.floor((seconds % 3600) / 60)}\u00a0min`;
}

moveDivider(0.5);
choose("pair");
poll();
setInterval(showState, 500);
