// The picture: reads the stream, draws it with its divider, holds it still.
"use strict";

let name = nameInAddress(); // of the stream
let view = "pair";
let divider = 0.5;
let frozen = false;
let shown = null; // the picture on the canvas: a bitmap
let shownCaptured = null; // when it was captured, on this browser's clock
let watching = null; // aborts the stream that is read
const arrivals = []; // of pictures: [time, bytes]

function nameInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // it is no text
  }
}

// ---- the stream

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
