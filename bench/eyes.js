"use strict";
// A test of pairs: order and sides are drawn from a seed that the answers carry; nothing is fetched and nothing sent.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const canvases = [...document.querySelectorAll("canvas[data-role]")];
const panes = Object.fromEntries(canvases.map((one) => [one.dataset.role, one]));
const lens = find("lens"), lensPen = lens.getContext("2d");
const LENS_PIXELS = 16, LENS_ZOOM = 8;
const seed = Number(new URLSearchParams(location.hash.slice(1)).get("seed") ?? Math.floor(Math.random() * 2 ** 31));
let images = [], order = [], answers = [], began = 0, scale = 1, magnifier = false, swapped = false;

// Mulberry32: 32 bits of state, good enough to shuffle.
function random(state) {
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled() {
  const next = random(seed), found = data.trials.map((trial) => {
    const [a, b] = trial.pair;
    return next() < 0.5 ? { ...trial, left: a, right: b } : { ...trial, left: b, right: a };
  });
  for (let i = found.length - 1; i > 0; --i) {
    const k = Math.floor(next() * (i + 1));
    [found[i], found[k]] = [found[k], found[i]];
  }
  return found;
}

function source(role) {
  const trial = order[answers.length];
  return images[role === "original" || swapped ? trial.original : trial[role].source];
}

function show() {
  if (answers.length === order.length) return end();
  find("trial").hidden = false;
  find("end").hidden = true;
  for (const [role, canvas] of Object.entries(panes)) {
    const image = source(role);
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    canvas.style.width = `${image.width * scale}px`;
    canvas.getContext("2d").drawImage(image, 0, 0);
  }
  find("where").textContent = `${answers.length + 1} of ${order.length}`;
}

function answer(side) {
  if (answers.length === order.length) return;
  const trial = order[answers.length], chosen = side === "same" ? "same" : trial[side].codec;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  answers.push([trial.picture, trial.bpp, trial.left.codec, trial.right.codec, chosen, seconds, seed]);
  began = performance.now();
  lens.hidden = true;
  swapped = false;
  show();
}

function quoted(value) {
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function counts() {
  const found = new Map();
  for (const [, bpp, left, right, chosen] of answers) {
    for (const codec of [left, right]) {
      const key = `${bpp} bpp, ${codec}`, [won, of] = found.get(key) ?? [0, 0];
      found.set(key, [won + (chosen === codec), of + 1]);
    }
  }
  find("counts").replaceChildren();
  for (const [key, [won, of]] of [...found].sort()) {
    const row = find("counts").insertRow();
    row.insertCell().textContent = key;
    row.insertCell().textContent = `chosen ${won} times of ${of}`;
  }
}

function end() {
  const text = [data.columns, ...answers].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  find("trial").hidden = true;
  find("end").hidden = false;
  find("answers").value = text;
  find("save").href = `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`;
  counts();
}

function magnify(event) {
  lens.hidden = !magnifier;
  if (!magnifier) return;
  const box = event.target.getBoundingClientRect(), pane = LENS_PIXELS * LENS_ZOOM;
  const x = Math.floor((event.clientX - box.left) / scale) - LENS_PIXELS / 2;
  const y = Math.floor((event.clientY - box.top) / scale) - LENS_PIXELS / 2;
  lens.width = 3 * pane + 4;
  lens.height = pane;
  lensPen.imageSmoothingEnabled = false;
  ["left", "original", "right"].forEach((role, number) => {
    lensPen.drawImage(source(role), x, y, LENS_PIXELS, LENS_PIXELS, number * (pane + 2), 0, pane, pane);
  });
  const most = document.documentElement.clientWidth - lens.width;
  lens.style.left = `${Math.max(0, Math.min(most, event.clientX - lens.width / 2))}px`;
  lens.style.top = `${event.clientY + 24}px`;
}

function pressed(event) {
  const sides = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "same" };
  if (event.target.tagName === "TEXTAREA" || event.ctrlKey || event.metaKey || event.repeat) return;
  if (sides[event.key]) answer(sides[event.key]);
  else if (event.key === "o") { swapped = true; show(); }
  else if (event.key === "m") { magnifier = !magnifier; lens.hidden = true; }
  else if (event.key === "u" && answers.length) { answers.pop(); show(); }
  else if (event.key === "+" || event.key === "-") { scale = event.key === "+" ? 2 : 1; show(); }
  else return;
  event.preventDefault();
}

async function begin() {
  images = await Promise.all(data.sources.map((text) => {
    const image = new Image();
    image.src = text;
    return image.decode().then(() => image);
  }));
  order = shuffled();
  began = performance.now();
  show();
  for (const side of ["left", "right", "same"]) find(side).addEventListener("click", () => answer(side));
  for (const canvas of Object.values(panes)) {
    canvas.addEventListener("pointermove", magnify);
    canvas.addEventListener("pointerleave", () => { lens.hidden = true; });
  }
  addEventListener("keydown", pressed);
  addEventListener("keyup", (event) => { if (event.key === "o" && swapped) { swapped = false; show(); } });
  document.body.dataset.ready = "yes";
}

begin();
