"use strict";
// Replaces the picture of each figure that has a scene by one that can be turned. Without scripts the picture stays.
const HINT = " Drag to turn, wheel or two fingers to zoom; arrow keys, + and −, 0 for the first view.";
const START = { azimuth: -60, elevation: 30, zoom: 1 };

// Returns a function that shows other parts in the same view.
function turnable(figure) {
  const scene = JSON.parse(figure.dataset.scene);
  const picture = figure.querySelector("img");
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const fingers = new Map();
  let view = { ...START };
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.alt + HINT);
  picture.replaceWith(canvas);
  figure.querySelector("figcaption").append(HINT);

  function draw() {
    const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * scale;
    canvas.height = height * scale;
    context.scale(scale, scale);
    context.font = "13px sans-serif";
    const [azimuth, elevation] = [view.azimuth, view.elevation].map(degrees => degrees * Math.PI / 180);
    const unit = view.zoom * 0.45 * Math.min(width, height) / scene.radius;
    const project = (x, y, z) => {
      const across = Math.cos(azimuth) * y - Math.sin(azimuth) * x, away = Math.cos(azimuth) * x + Math.sin(azimuth) * y;
      return [width / 2 + unit * across, height / 2 - unit * (Math.cos(elevation) * z - Math.sin(elevation) * away)];
    };
    for (const { color, size, line, xyz } of scene.parts) {
      context.fillStyle = context.strokeStyle = color;
      context.beginPath();
      for (let i = 0; i < xyz.length; i += 3) {
        const [u, v] = project(xyz[i], xyz[i + 1], xyz[i + 2]);
        if (line) context.lineTo(u, v);
        else context.fillRect(u - size / 2, v - size / 2, size, size);
      }
      if (line) context.stroke();
    }
    context.strokeStyle = context.fillStyle = "#5b6875";
    for (const [number, name] of ["x", "y", "z"].entries()) {
      const end = [0, 0, 0];
      end[number] = scene.axis;
      context.beginPath();
      context.moveTo(...project(0, 0, 0));
      context.lineTo(...project(...end));
      context.stroke();
      context.fillText(name, ...project(...end));
    }
    context.fillText("axes: " + scene.axis / 1000 + " m", 6, height - 8);
    scene.parts.filter(part => part.name).forEach(({ color, name }, row) => {
      context.fillStyle = color;
      context.fillRect(6, 8 + 18 * row, 10, 10);
      context.fillStyle = "#1d2733";
      context.fillText(name, 22, 18 + 18 * row);
    });
  }

  function change(azimuth, elevation, zoom) {
    view.azimuth += azimuth;
    view.elevation = Math.max(-90, Math.min(90, view.elevation + elevation));
    view.zoom = Math.max(0.2, Math.min(20, view.zoom * zoom));
    draw();
  }
  const gap = () => {
    const [a, b] = fingers.values();
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const apart = fingers.size === 2 && gap();
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (apart) change(0, 0, gap() / apart);
    else change((before.x - event.clientX) / 2, (event.clientY - before.y) / 2, 1);
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, event => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", event => {
    if (document.activeElement !== canvas) return; // who scrolls by does not want to stop here
    event.preventDefault();
    change(0, 0, Math.exp(-event.deltaY / 500));
  }, { passive: false });
  const keys = {
    ArrowLeft: [5, 0, 1], ArrowRight: [-5, 0, 1], ArrowUp: [0, -5, 1], ArrowDown: [0, 5, 1],
    "+": [0, 0, 1.2], "=": [0, 0, 1.2], "-": [0, 0, 1 / 1.2],
  };
  canvas.addEventListener("keydown", event => {
    if (event.key === "0") view = { ...START };
    else if (!keys[event.key]) return;
    event.preventDefault();
    change(...(keys[event.key] || [0, 0, 1]));
  });
  draw();
  new ResizeObserver(draw).observe(canvas);
  return parts => { scene.parts = parts; draw(); };
}

document.querySelectorAll("figure[data-scene]").forEach(figure => { figure.redraw = turnable(figure); });
