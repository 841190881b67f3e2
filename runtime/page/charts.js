// Charts: frames a second and their age over the last minute.
"use strict";

const KEPT_S = 60;
const history = Object.create(null); // stream → samples of the last minute; a stream may be called like a property

function remember(stream) {
  const samples = (history[stream.name] ??= []);
  samples.push({ at: heardAt, fps: stream.now.fps, p50: stream.now.age_p50_ms, max: stream.now.age_max_ms });
  while (samples[0].at < heardAt - KEPT_S * 1000 - 2000) samples.shift();
}

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
