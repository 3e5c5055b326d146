// The map of items on a canvas: pan, zoom, and whoever was looked at last lit up.

import { ask, changes, get, told } from "./api.js";
import { itemLink, learn } from "./catalogue.js";
import { curlButton } from "./curl.js";
import { byId, count, el, place, whole } from "./dom.js";
import { spotlight } from "./profile.js";
import { search } from "./search.js";

const request = get("map");
const LABELS = 40;
const LOOKED_AT = 500; // for labels, most popular first
const NEAR = 14; // pixels, for a pointer
const IN_VIEW = 12;
const FEW = 12; // of a history, for labels
const TIERS = [0.02, 0.15, 1]; // shares of the items, by popularity

let canvas;
let context;
let places = null; // ids, titles, x, y: the most popular item first
let positions = new Map(); // item id -> position in `places`
let view = { x: 0, y: 0, scale: 1, fitted: 1 }; // centre; CSS pixels for a unit
let size = { width: 0, height: 0 }; // CSS pixels; asking the canvas for every dot would cost more than the dots
let raster = null; // what the dots are written to, all at once
let palette = null;
let pointed = -1;
let frame = 0;
let settled = 0;
const pointers = new Map();

changes.addEventListener("model", () => (places = null));

export function setUp() {
  canvas = el("canvas", {
    tabindex: 0, role: "application", "aria-roledescription": "map",
    "aria-label": "Map of the items. Arrow keys move it, plus and minus zoom, 0 shows everything.",
    onkeydown: pressed, onwheel: wheeled, onpointerdown: down, onpointermove: moved, onpointerup: up,
    onpointercancel: up, onpointerleave: () => point(-1),
  });
  context = canvas.getContext("2d", { alpha: false, willReadFrequently: true }); // drawn by the CPU: no transfers
  const button = (label, text, action) => el("button", { type: "button", class: "quiet", "aria-label": label, onclick: action }, text);
  byId("map-tools").append(
    button("Zoom in", "+", () => zoom(1.6)), button("Zoom out", "−", () => zoom(1 / 1.6)),
    button("Show everything", "All", fit), curlButton(() => request));
  byId("map-canvas").append(canvas);
  search(byId("map-search"), "Find an item on the map", centreOn);
  new ResizeObserver(() => {
    measure();
    draw();
  }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    palette = null;
    draw();
  });
}

export async function show() {
  try {
    measure();
    if (!places) take(await ask(request));
  } catch (error) {
    told(error, ({ message }) => (byId("map-about").textContent = message));
  }
  draw();
}

function take(answer) {
  places = {
    ids: answer.item_ids, titles: answer.titles.map((title, position) => title ?? answer.item_ids[position]),
    x: Float32Array.from(answer.x), y: Float32Array.from(answer.y), widths: [],
  };
  places.ids.forEach((id, position) => learn({ item_id: id, title: answer.titles[position] }));
  positions = new Map(places.ids.map((id, position) => [id, position]));
  const rest = answer.left_out ? ` ${count(answer.left_out, "less popular item")} left out.` : "";
  byId("map-about").textContent = `${whole(places.ids.length)} items; large dots are popular.${rest} Drag, scroll or use the arrow keys; click a dot to go to the item.`;
  fit();
}

function measure() {
  size = { width: canvas.clientWidth, height: canvas.clientHeight };
}

function fit() {
  const range = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const [[left, right], [bottom, top]] = [range(places.x), range(places.y)];
  const scale = Math.min((size.width - 60) / (right - left || 1), (size.height - 40) / (top - bottom || 1));
  view = { x: (left + right) / 2, y: (bottom + top) / 2, scale, fitted: scale };
  draw();
}

function centreOn(id) {
  const position = positions.get(id);
  if (position === undefined) return;
  pointed = position;
  Object.assign(view, { x: places.x[position], y: places.y[position], scale: Math.max(view.scale, view.fitted * 4) });
  draw();
  canvas.focus();
}

const across = (position) => (places.x[position] - view.x) * view.scale + size.width / 2;
const downward = (position) => (view.y - places.y[position]) * view.scale + size.height / 2;

function draw() {
  if (!places || !size.width) return;
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(paint);
  clearTimeout(settled);
  settled = setTimeout(listInView, 250);
}

function paint() {
  const ratio = Math.min(devicePixelRatio, 2);
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
  if (canvas.width !== width || canvas.height !== height || !raster) {
    Object.assign(canvas, { width, height });
    raster = context.createImageData(width, height);
  }
  palette ??= colours();
  dots(new Uint32Array(raster.data.buffer), width, height, ratio);
  context.putImageData(raster, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  lights();
}

// Written pixel by pixel: fifty thousand dots take a few milliseconds, whatever draws the page.
function dots(pixels, width, height, ratio) {
  pixels.fill(palette.card);
  const { x, y } = places;
  const scale = view.scale * ratio;
  const [left, top] = [width / 2 - view.x * scale, height / 2 + view.y * scale];
  const dot = ratio * Math.min(2.6, Math.sqrt(view.scale / view.fitted));
  const ends = TIERS.map((share) => Math.ceil(share * x.length));
  for (let tier = TIERS.length - 1; tier >= 0; tier--) {
    const spans = disc(Math.round(dot * [2.4, 1.5, 1][tier]));
    const colour = palette.dots[tier];
    for (let item = ends[tier] - 1, first = tier ? ends[tier - 1] : 0; item >= first; item--) {
      const [column, row] = [Math.round(left + x[item] * scale), Math.round(top - y[item] * scale)];
      if (column < 8 || row < 8 || column >= width - 8 || row >= height - 8) continue;
      for (const [dy, reach] of spans) {
        const start = (row + dy) * width + column;
        for (let at = start - reach; at <= start + reach; at++) pixels[at] = colour;
      }
    }
  }
}

// Rows of a disc: offset and half-width. At most 7 pixels across each way.
function disc(radius) {
  const r = Math.min(radius, 7);
  return Array.from({ length: 2 * r + 1 }, (_, row) => [row - r, Math.floor(Math.sqrt(r * r + r * 0.8 - (row - r) ** 2)) || 0]);
}

function lights() {
  const had = known(spotlight.history);
  const recommended = known(spotlight.recommended);
  for (const position of had) ring(position, palette.had, false);
  for (const position of recommended) ring(position, palette.accent, true);
  const taken = [];
  context.font = "600 13px system-ui, sans-serif";
  const few = had.length <= FEW ? had : [];
  for (const position of [pointed, ...recommended, ...few]) if (position >= 0) label(position, taken, palette.ink);
  context.font = "12px system-ui, sans-serif";
  for (let position = 0, looked = 0; position < places.ids.length && looked < LOOKED_AT && taken.length < LABELS; position++) {
    const [x, y] = [across(position), downward(position)];
    if (x < 0 || y < 0 || x > size.width || y > size.height) continue;
    looked++;
    label(position, taken, palette.soft);
  }
}

const known = (ids) => ids.map((id) => positions.get(id)).filter((position) => position !== undefined);

function ring(position, colour, filled) {
  context.beginPath();
  context.arc(across(position), downward(position), 6, 0, 7);
  context.fillStyle = filled ? colour : palette.background;
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.fill();
  context.stroke();
}

function label(position, taken, colour) {
  const full = places.titles[position];
  const text = full.length > 30 ? `${full.slice(0, 29)}…` : full;
  const width = (places.widths[position] ??= context.measureText(text).width * 1.08);
  const [x, y] = [across(position) + 8, downward(position)];
  const box = [x, y - 8, x + width, y + 8];
  if (box[2] > size.width || box[0] < 0 || box[1] < 0 || box[3] > size.height) return;
  if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) return;
  taken.push(box);
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.textBaseline = "middle";
  context.strokeStyle = palette.background;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const packed = (name) => {
    const [red, green, blue] = value(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian, as all browsers' machines are
  };
  return {
    card: packed("--card"), dots: ["--dot0", "--dot1", "--dot2"].map(packed), background: value("--card"),
    accent: value("--accent"), had: value("--c1"), ink: value("--ink"), soft: value("--soft"),
  };
}

/** The same as links, for those who cannot see or point: the most popular items in view. */
function listInView() {
  const found = [];
  for (let position = 0; position < places.ids.length && found.length < IN_VIEW; position++) {
    const [x, y] = [across(position), downward(position)];
    if (x >= 0 && y >= 0 && x <= size.width && y <= size.height) found.push(position);
  }
  byId("map-in-view").replaceChildren(...found.map((position) => itemLink(places.ids[position])));
}

function zoom(factor, x = size.width / 2, y = size.height / 2) {
  const scale = Math.min(Math.max(view.scale * factor, view.fitted / 2), view.fitted * 400);
  const [dx, dy] = [x - size.width / 2, y - size.height / 2];
  view.x += dx / view.scale - dx / scale; // what is under the pointer stays there
  view.y -= dy / view.scale - dy / scale;
  view.scale = scale;
  draw();
}

function pan(dx, dy) {
  view.x -= dx / view.scale;
  view.y += dy / view.scale;
  draw();
}

function pressed(event) {
  const actions = {
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
    "+": () => zoom(1.6), "=": () => zoom(1.6), "-": () => zoom(1 / 1.6), 0: fit,
  };
  if (!places || !actions[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  actions[event.key]();
}

function wheeled(event) {
  if (!places) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), event.offsetX, event.offsetY);
}

function down(event) {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, travelled: 0 });
}

function moved(event) {
  if (!places) return;
  const mine = pointers.get(event.pointerId);
  if (!mine) return point(nearest(event.offsetX, event.offsetY));
  const [dx, dy] = [event.offsetX - mine.x, event.offsetY - mine.y];
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const distance = (x, y) => Math.hypot(x - other.x, y - other.y) || 1;
    zoom(distance(event.offsetX, event.offsetY) / distance(mine.x, mine.y), other.x, other.y);
  } else {
    pan(dx, dy);
  }
  Object.assign(mine, { x: event.offsetX, y: event.offsetY, travelled: mine.travelled + Math.abs(dx) + Math.abs(dy) });
}

function up(event) {
  const mine = pointers.get(event.pointerId);
  pointers.delete(event.pointerId);
  if (!places || !mine || mine.travelled > 5 || event.type !== "pointerup") return;
  const position = nearest(event.offsetX, event.offsetY);
  if (position >= 0) location.hash = place("item", places.ids[position]);
}

function point(position) {
  if (position === pointed || !places) return;
  pointed = position;
  canvas.style.cursor = position >= 0 ? "pointer" : "grab";
  draw();
}

// The nearest dot; the more popular of equals.
function nearest(x, y) {
  let [best, found] = [NEAR ** 2, -1];
  for (let position = 0; position < places.ids.length; position++) {
    const distance = (across(position) - x) ** 2 + (downward(position) - y) ** 2;
    if (distance < best) [best, found] = [distance, position];
  }
  return found;
}
