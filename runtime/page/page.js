// The page: asks for the numbers once a second, shows and changes them, and says so when the program stays away.
"use strict";

const STAGES = {
  age: "frame age", capture: "capture to memory", queue: "waiting for the network", inference: "inference",
  upload: "upload", compute: "network on the GPU", download: "download", handover: "waiting for the outputs",
  sink: "outputs", interval: "between frames",
};
const WITHIN = ["capture", "queue", "inference", "upload", "compute", "download", "handover"];
const TROUBLES = {
  starting: "Waiting for the first frame", lost: "Source lost", stalled: "Source silent", frozen: "Picture frozen",
  ended: "Stream ended", failed: "Stream failed", gone: "The program does not answer", locked: "The page is locked",
};
const STATES = { live: "live", black: "live, black picture", gone: "no connection", ended: "ended" };
const SILENCE_S = 3; // without an answer the program counts as gone

let stats = null; // of the stream, as they came last
let heardAt = performance.now(); // when the program answered last
let locked = false;
let touchedAt = -1e9; // when a control was moved last

if (location.search) window.history.replaceState(null, "", location.pathname + location.hash); // the token has done its work

// ---- the controls of the outputs

let sending = false, unsent = null;

async function control(change) {
  touchedAt = performance.now();
  unsent = { ...(unsent?.stream === name ? unsent : null), ...change, stream: name }; // another may be chosen meanwhile
  if (sending) return;
  sending = true;
  while (unsent) {
    const body = JSON.stringify({ ...unsent, stream: unsent.stream || undefined });
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
  const { rung, steps } = stats.steering;
  if (rung) $("how-rows").append(row("ladder", `${rung} · ${count(steps)} steps`, "note"));
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

document.addEventListener("visibilitychange", () => {
  // Nothing is encoded for a page that nobody sees.
  if (document.hidden) watching?.abort();
  else {
    heardAt = performance.now();
    poll();
    if (!frozen) watch();
  }
});

moveDivider(0.5);
choose("pair");
poll();
setInterval(showState, 500);
