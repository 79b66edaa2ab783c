"use strict";
// One page of `lic compare`: a canvas at the pictures' own resolution, scaled by CSS; nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const canvas = find("picture"), lens = find("lens"), stage = find("stage");
const pen = canvas.getContext("2d", { willReadFrequently: true }), lensPen = lens.getContext("2d");
const LENS_PIXELS = 24, LENS_ZOOM = 8;
const state = { left: 0, right: Math.min(1, data.pictures.length - 1), mode: "slider", split: 0.5, side: 0, at: null };
let images = [], bitsOf = [], samples = new Map(), timer = 0;

function loaded(source) {
  if (!source) return Promise.resolve(null);
  const image = new Image();
  image.src = source;
  return image.decode().then(() => image);
}

// Samples (RGBA) of a picture, as canvas has them; read once.
function pixels(number) {
  if (!samples.has(number)) {
    const other = document.createElement("canvas");
    other.width = data.width;
    other.height = data.height;
    const context = other.getContext("2d", { willReadFrequently: true });
    context.drawImage(images[number], 0, 0);
    samples.set(number, context.getImageData(0, 0, data.width, data.height).data);
  }
  return samples.get(number);
}

function drawSlider() {
  const at = Math.round(state.split * data.width);
  pen.drawImage(images[state.left], 0, 0);
  pen.save();
  pen.beginPath();
  pen.rect(at, 0, data.width - at, data.height);
  pen.clip();
  pen.clearRect(0, 0, data.width, data.height);
  pen.drawImage(images[state.right], 0, 0);
  pen.restore();
  if (at <= 0 || at >= data.width) return;
  const line = Math.max(1, Math.round(data.width / (canvas.clientWidth || data.width)));
  for (const [colour, from] of [["#000", -1], ["#fff", 0], ["#000", 1]]) {
    pen.fillStyle = colour;
    pen.fillRect(at + from * line, 0, line, data.height);
  }
}

function drawDifference() {
  const a = pixels(state.left), b = pixels(state.right), gain = Number(find("gain").value);
  const out = pen.createImageData(data.width, data.height), to = out.data;
  for (let i = 0; i < to.length; i += 4) {
    const alpha = Math.abs(a[i + 3] - b[i + 3]);
    for (let k = 0; k < 3; ++k) to[i + k] = gain * Math.max(alpha, Math.abs(a[i + k] - b[i + k]));
    to[i + 3] = 255;
  }
  pen.putImageData(out, 0, 0);
}

function draw() {
  pen.imageSmoothingEnabled = false;
  pen.clearRect(0, 0, data.width, data.height);
  if (state.mode === "slider") drawSlider();
  if (state.mode === "flicker") pen.drawImage(images[state.side ? state.right : state.left], 0, 0);
  if (state.mode === "difference") drawDifference();
  if (state.mode === "bits" && bitsOf[state.right]) pen.drawImage(bitsOf[state.right], 0, 0, data.width, data.height);
  canvas.dataset.drawn = state.mode;
  canvas.dataset.side = String(state.side);
}

function sample(number, x, y) {
  const from = pixels(number), i = 4 * (y * data.width + x), value = [...from.slice(i, i + 4)];
  return value[3] === 255 ? value.slice(0, 3) : value;
}

function read() {
  if (!state.at) return;
  const { x, y } = state.at, a = sample(state.left, x, y), b = sample(state.right, x, y);
  const apart = Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? 255))));
  find("readout").textContent = `x ${x}  y ${y}   left ${a.join(" ")}   right ${b.join(" ")}   apart ${apart}`;
}

// Two panes of the same pixels, left and right, each sample a square.
function magnify(event) {
  const on = find("magnifier").checked && state.at;
  lens.hidden = !on;
  if (!on) return;
  const pane = LENS_PIXELS * LENS_ZOOM, half = LENS_PIXELS / 2;
  lens.width = 2 * pane + 2;
  lens.height = pane;
  lensPen.imageSmoothingEnabled = false;
  [state.left, state.right].forEach((number, side) => {
    const where = [side * (pane + 2), 0, pane, pane];
    lensPen.drawImage(images[number], state.at.x - half, state.at.y - half, LENS_PIXELS, LENS_PIXELS, ...where);
  });
  lensPen.fillStyle = "#fff";
  lensPen.fillRect(pane, 0, 2, pane);
  const away = 24, wide = document.documentElement.clientWidth, high = document.documentElement.clientHeight;
  const x = event.clientX + away + lens.width > wide ? event.clientX - away - lens.width : event.clientX + away;
  const y = event.clientY + away + lens.height > high ? event.clientY - away - lens.height : event.clientY + away;
  lens.style.left = `${Math.max(0, x)}px`;
  lens.style.top = `${Math.max(0, y)}px`;
}

function pointed(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) / box.width * data.width);
  const y = Math.floor((event.clientY - box.top) / box.height * data.height);
  const inside = x >= 0 && y >= 0 && x < data.width && y < data.height;
  state.at = inside ? { x, y } : null;
  if (event.buttons & 1 && state.mode === "slider") slide((event.clientX - box.left) / box.width);
  read();
  magnify(event);
}

function slide(to) {
  state.split = Math.min(1, Math.max(0, to));
  draw();
}

function flicker() {
  clearInterval(timer);
  timer = 0;
  if (state.mode !== "flicker" || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  timer = setInterval(() => { state.side ^= 1; draw(); }, Number(find("period").value));
}

function zoomed() {
  const zoom = find("zoom").value, whole = document.documentElement;
  const fit = Math.min(1, (stage.clientWidth || data.width) / data.width, 0.76 * whole.clientHeight / data.height);
  const scale = zoom === "fit" ? fit : Number(zoom);
  canvas.style.width = `${data.width * scale}px`;
  canvas.style.height = `${data.height * scale}px`;
}

function chosen() {
  state.left = Number(find("left").value);
  state.right = Number(find("right").value);
  const has = Boolean(bitsOf[state.right]);
  document.querySelector("[name=mode][value=bits]").disabled = !has;
  if (state.mode === "bits" && !has) document.querySelector("[name=mode][value=slider]").checked = true;
  state.mode = document.querySelector("[name=mode]:checked").value;
  document
    .querySelectorAll(".of")
    .forEach((one) => one.classList.toggle("hidden", !one.classList.contains(state.mode)));
  [...find("figures").tBodies[0].rows].forEach((row, number) => {
    row.classList.toggle("chosen", number === state.left || number === state.right);
  });
  flicker();
  draw();
  read();
}

function swap() {
  const left = find("left").value;
  find("left").value = find("right").value;
  find("right").value = left;
  chosen();
}

function choose(name, value) {
  const input = document.querySelector(`[name=${name}][value=${value}]`);
  if (input && !input.disabled) { input.checked = true; chosen(); }
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
  const modes = { s: "slider", f: "flicker", d: "difference", b: "bits" }, step = event.shiftKey ? 0.1 : 0.01;
  if (event.key === "ArrowLeft") slide(state.split - step);
  else if (event.key === "ArrowRight") slide(state.split + step);
  else if (event.key === " " && state.mode === "flicker") { clearInterval(timer); state.side ^= 1; draw(); }
  else if (event.key === " ") swap();
  else if (modes[event.key]) choose("mode", modes[event.key]);
  else if (event.key === "m") { find("magnifier").click(); lens.hidden = true; }
  else if (event.key === "z") { find("zoom").selectedIndex = (find("zoom").selectedIndex + 1) % 4; zoomed(); }
  else if (event.key >= "1" && event.key <= "9" && data.pictures[event.key]) {
    find("right").value = event.key;
    chosen();
  }
  else return;
  event.preventDefault();
}

function cell(row, text, name = "") {
  const one = row.insertCell();
  one.textContent = text;
  one.className = name;
}

function table() {
  const head = find("figures").tHead.insertRow(), body = find("figures").tBodies[0];
  const unit = (one) => (one.unit ? ` (${one.unit})` : "");
  const titles = data.measures.map((one) => `${one.label}${unit(one)} ${one.higher ? "↑" : "↓"}`);
  ["file", "format", "bytes", "bpp", ...titles].forEach((title) => {
    const one = document.createElement("th");
    one.textContent = title;
    head.append(one);
  });
  data.pictures.forEach((picture, number) => {
    const row = body.insertRow();
    cell(row, picture.name + (number ? "" : " (original)"));
    cell(row, picture.format);
    cell(row, picture.bytes.toLocaleString("en"));
    cell(row, picture.bpp.toFixed(3));
    data.measures.forEach((measure) => {
      const of = data.pictures.slice(1).map((other) => other.values[measure.name]).filter((v) => typeof v === "number");
      const value = picture.values[measure.name], best = measure.higher ? Math.max(...of) : Math.min(...of);
      const text = typeof value === "number" ? value.toFixed(Math.abs(value) < 1 ? 4 : 2) : value ?? "";
      cell(row, text, of.length > 1 && value === best ? "best" : "");
    });
  });
}

function lists() {
  data.pictures.forEach((picture, number) => {
    for (const id of ["left", "right"]) find(id).add(new Option(picture.name, number));
  });
  find("left").value = state.left;
  find("right").value = state.right;
  data.notes.forEach((note) => {
    const item = document.createElement("li");
    item.textContent = note;
    find("notes").append(item);
  });
}

async function begin() {
  document.title = `lic compare: ${data.pictures[0].name}`;
  canvas.width = data.width;
  canvas.height = data.height;
  images = await Promise.all(data.pictures.map((picture) => loaded(picture.source)));
  bitsOf = await Promise.all(data.pictures.map((picture) => loaded(picture.bits)));
  find("bits").classList.toggle("hidden", !bitsOf.some(Boolean));
  lists();
  table();
  zoomed();
  chosen();
  for (const id of ["left", "right", "gain", "period"]) find(id).addEventListener("change", chosen);
  document.querySelectorAll("[name=mode]").forEach((one) => one.addEventListener("change", chosen));
  find("swap").addEventListener("click", swap);
  find("zoom").addEventListener("change", zoomed);
  addEventListener("resize", zoomed);
  canvas.addEventListener("pointermove", pointed);
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pointed(event); });
  canvas.addEventListener("pointerleave", () => { lens.hidden = true; });
  addEventListener("keydown", pressed);
  document.body.dataset.ready = "yes";
}

begin();
