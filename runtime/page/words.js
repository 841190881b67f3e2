// Words: how numbers, durations and rows are written.
"use strict";

const $ = (id) => document.getElementById(id);

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
