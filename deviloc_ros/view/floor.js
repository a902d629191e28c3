"use strict";
// Pairs of points of a map's plan and of a floor plan. Lengths are metres; `view` is what of a canvas is seen.
const data = JSON.parse(document.getElementById("floor").dataset.plan), pairs = data.pairs, TAP_PX = 6;
const image = new Image(), canvases = {}, COLOURS = ["#b3261e", "#1e7d4f", "#1f6fb2", "#8a4fbf", "#b36b00", "#00838f"];

// The floor plan's frame: x, y of the lower left corner and yaw, as in its YAML file.
function gridFromPixel(x, y) {
  const [ox, oy, yaw] = data.origin, u = x * data.resolution, v = (data.height - y) * data.resolution;
  return [ox + u * Math.cos(yaw) - v * Math.sin(yaw), oy + u * Math.sin(yaw) + v * Math.cos(yaw)];
}
function pixelFromGrid([x, y]) {
  const [ox, oy, yaw] = data.origin, dx = x - ox, dy = y - oy;
  const u = dx * Math.cos(yaw) + dy * Math.sin(yaw), v = dy * Math.cos(yaw) - dx * Math.sin(yaw);
  return [u / data.resolution, data.height - v / data.resolution];
}

// Least squares over the pairs: turn, scale, shift. Null with fewer than two.
function fitPairs(whole) {
  if (whole.length < 2) return data.fit;
  const mean = key => [0, 1].map(i => whole.reduce((sum, pair) => sum + pair[key][i], 0) / whole.length);
  const here = mean("plan"), there = mean("grid");
  let along = 0, across = 0, spread = 0;
  for (const { plan, grid } of whole) {
    const a = [plan[0] - here[0], plan[1] - here[1]], b = [grid[0] - there[0], grid[1] - there[1]];
    along += a[0] * b[0] + a[1] * b[1]; across += a[0] * b[1] - a[1] * b[0]; spread += a[0] * a[0] + a[1] * a[1];
  }
  if (spread < 1e-6) return null;
  const c = along / spread, s = across / spread;
  return { c, s, x: there[0] - c * here[0] + s * here[1], y: there[1] - s * here[0] - c * here[1] };
}
const moved = (fit, [x, y]) => [fit.c * x - fit.s * y + fit.x, fit.s * x + fit.c * y + fit.y];

class Panel {
  constructor(name, box, draw) {
    this.canvas = document.getElementById(name); this.name = name; this.box = box; this.draw = draw; this.fingers = new Map();
    this.reset();
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) this.canvas.addEventListener(kind, e => this.point(e));
    this.canvas.addEventListener("wheel", e => { e.preventDefault(); this.zoom(e.deltaY < 0 ? 1.2 : 1 / 1.2, ...this.at(e)); }, { passive: false });
    this.canvas.addEventListener("keydown", e => {
      const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[e.key];
      if (step) { this.x += step[0]; this.y += step[1]; } else if (e.key === "+") this.zoom(1.5); else if (e.key === "-") this.zoom(1 / 1.5);
      else if (e.key === "0") this.reset(); else return;
      e.preventDefault(); paint();
    });
  }
  get size() { return this.canvas.clientWidth; }
  reset() {
    const [x0, y0, x1, y1] = this.box, size = this.size || 300;
    this.scale = 0.94 * size / Math.max(x1 - x0, y1 - y0, 1e-6);
    this.x = size / 2 - this.scale * (x0 + x1) / 2; this.y = size / 2 - this.scale * (y0 + y1) / 2;
  }
  zoom(factor, x = this.size / 2, y = this.size / 2) {
    this.scale *= factor; this.x = x + (this.x - x) * factor; this.y = y + (this.y - y) * factor; paint();
  }
  at(e) { const box = this.canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; }
  toScreen([x, y]) { return [this.x + this.scale * x, this.y + this.scale * y]; }
  fromScreen([x, y]) { return [(x - this.x) / this.scale, (y - this.y) / this.scale]; }
  point(e) {
    const now = this.at(e), before = this.fingers.get(e.pointerId);
    if (e.type === "pointerdown") {
      this.canvas.setPointerCapture?.(e.pointerId); this.fingers.set(e.pointerId, now);
      this.start = now; this.drags = this.fingers.size > 1;
    } else if (e.type === "pointermove" && before) {
      if (this.fingers.size === 1) {
        this.drags ||= Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) > TAP_PX;
        if (this.drags) { this.x += now[0] - before[0]; this.y += now[1] - before[1]; }
      } else {
        const [other] = [...this.fingers].filter(([id]) => id !== e.pointerId).map(([, place]) => place);
        const length = (a, b) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1);
        this.zoom(length(now, other) / length(before, other), ...other);
      }
      this.fingers.set(e.pointerId, now); paint();
    } else if (before) {
      this.fingers.delete(e.pointerId);
      if (e.type === "pointerup" && !this.drags) mark(this.name, this.fromScreen(now));
    }
  }
}

function mark(name, place) {
  const open = pairs.find(pair => !pair.plan || !pair.grid);
  if (name === "map") { const plan = [place[0], -place[1]]; if (open) open.plan = plan; else pairs.push({ plan }); }
  else { const grid = gridFromPixel(...place); if (open) open.grid = grid; else pairs.push({ grid }); }
  paint();
}
function takeBack() {
  const last = pairs.at(-1);
  if (last && last.plan && last.grid) delete last.grid; else pairs.pop();
  paint();
}

function dots(context, panel, points, colour, px) {
  context.fillStyle = colour;
  for (const point of points) { const [x, y] = panel.toScreen(point); context.fillRect(x - px / 2, y - px / 2, px, px); }
}
function crosses(context, panel, places) {
  context.font = "bold 14px sans-serif"; context.lineWidth = 2;
  places.forEach((place, number) => {
    if (!place) return;
    const [x, y] = panel.toScreen(place);
    context.strokeStyle = context.fillStyle = COLOURS[number % COLOURS.length];
    context.beginPath(); context.moveTo(x - 8, y); context.lineTo(x + 8, y); context.moveTo(x, y - 8); context.lineTo(x, y + 8); context.stroke();
    context.fillText(number + 1, x + 6, y - 6);
  });
}
const flip = ([x, y]) => [x, -y], inMetres = list => list.map(([x, y]) => [x / 1000, y / 1000]);
const upright = inMetres(data.upright), other = inMetres(data.other), cameras = data.cameras;

function drawMap(context, panel) {
  dots(context, panel, other.map(flip), "#c5cdd6", 2);
  dots(context, panel, upright.map(flip), "#37424e", 2);
  context.strokeStyle = context.fillStyle = "#1f6fb2"; context.lineWidth = 1.5;
  for (const [x, y, dx, dy] of cameras) {
    const [sx, sy] = panel.toScreen([x, -y]);
    context.beginPath(); context.moveTo(sx, sy); context.lineTo(sx + 12 * dx, sy - 12 * dy); context.stroke();
    context.beginPath(); context.arc(sx, sy, 2.5, 0, 7); context.fill();
  }
  crosses(context, panel, pairs.map(pair => pair.plan && flip(pair.plan)));
}
function drawGrid(context, panel, fit) {
  context.imageSmoothingEnabled = panel.scale < 1;
  const [x, y] = panel.toScreen([0, 0]);
  context.drawImage(image, x, y, panel.scale * data.width, panel.scale * data.height);
  if (fit) dots(context, panel, upright.map(point => pixelFromGrid(moved(fit, point))), "rgba(179, 38, 30, .75)", 2.5);
  crosses(context, panel, pairs.map(pair => pair.grid && pixelFromGrid(pair.grid)));
}

function paint() {
  const whole = pairs.filter(pair => pair.plan && pair.grid), fit = fitPairs(whole);
  for (const panel of Object.values(canvases)) {
    const ratio = devicePixelRatio || 1, size = panel.size;
    panel.canvas.width = panel.canvas.height = Math.round(size * ratio);
    const context = panel.canvas.getContext("2d");
    context.scale(ratio, ratio); context.fillStyle = "#fff"; context.fillRect(0, 0, size, size);
    panel.draw(context, panel, fit);
  }
  const off = whole.map(pair => { const [x, y] = moved(fit || { c: 1, s: 0, x: 0, y: 0 }, pair.plan); return Math.hypot(x - pair.grid[0], y - pair.grid[1]); });
  const words = place => place ? place.map(value => value.toFixed(2)).join(", ") : "tap it";
  const rows = pairs.map((pair, number) => {
    const row = document.createElement("tr"), at = whole.indexOf(pair);
    for (const text of [number + 1, words(pair.plan), words(pair.grid), at >= 0 && whole.length > 2 ? `${off[at].toFixed(3)} m` : ""]) {
      row.appendChild(document.createElement("td")).textContent = text;
    }
    row.firstChild.className = "number";
    return row;
  });
  document.getElementById("pairs").replaceChildren(...rows);
  const text = JSON.stringify({ map_id: data.map_id, plan_from_map: data.plan_from_map, pairs: whole });
  document.getElementById("text").value = text;
  document.getElementById("save").href = `data:application/json,${encodeURIComponent(text)}`;
  if (whole.length > 1 && fit) {
    const rms = Math.sqrt(off.reduce((sum, value) => sum + value * value, 0) / off.length), scale = Math.hypot(fit.c, fit.s);
    document.getElementById("verdict").textContent = `${whole.length} pairs, off by ${rms.toFixed(3)} m (root mean square), scale ${scale.toFixed(4)}`;
  }
}

function boxOf(points) {
  const xs = points.map(p => p[0]), ys = points.map(p => p[1]), at = (list, share) => list.slice().sort((a, b) => a - b)[Math.floor(share * (list.length - 1))];
  return [at(xs, 0.01), at(ys, 0.01), at(xs, 0.99), at(ys, 0.99)];
}
image.onload = () => {
  canvases.map = new Panel("map", boxOf([...upright.map(flip), ...cameras.map(([x, y]) => [x, -y])]), drawMap);
  canvases.grid = new Panel("grid", [0, 0, data.width, data.height], drawGrid);
  paint();
};
image.src = data.image;
document.getElementById("undo").onclick = takeBack;
for (const button of document.querySelectorAll("[data-zoom]")) {
  const [name, factor] = button.dataset.zoom.split(",");
  button.onclick = () => { if (+factor) canvases[name].zoom(+factor); else { canvases[name].reset(); paint(); } };
}
addEventListener("resize", () => { for (const panel of Object.values(canvases)) panel.reset(); paint(); });
