// Shows one event of many: the newest, or the one that the slider stands at. space.js draws the scene.
const MAX_EVENTS = 600; // a page that is left open must not fill the memory
const PATH = "#1e7d4f", ELLIPSOID = "#b05a00", AXES = ["#c0392b", "#1e7d4f", "#1f6fb2"];
const element = id => document.getElementById(id);
const figure = document.querySelector("figure[data-scene]");
const mapScene = JSON.parse(figure.dataset.scene);
const events = JSON.parse(element("view").dataset.events);
const slider = element("when");
const redraw = figure.redraw;
const isLive = element("view").className === "live";
let follows = true; // the newest, until the slider is moved back

function centred(xyz) {
  return xyz.map((value, index) => value - mapScene.middle[index % 3]);
}

function partsAt(index) {
  const way = events.slice(0, index + 1).filter(event => event.position).flatMap(event => event.position);
  const parts = [...mapScene.parts];
  if (way.length) parts.push({ name: "the way", color: PATH, size: 3, line: false, xyz: centred(way) });
  const event = events[index];
  if (event && event.position) {
    event.axes.forEach((xyz, axis) =>
      parts.push({ name: "xyz"[axis], color: AXES[axis], size: 1, line: true, xyz: centred(xyz) }));
    event.ellipsoid.forEach((xyz, circle) =>
      parts.push({ name: circle ? "" : "3 sigma", color: ELLIPSOID, size: 1, line: true, xyz: centred(xyz) }));
  }
  return parts;
}

function fact(name, value) {
  const row = document.createElement("tr");
  for (const text of [name, value]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    row.append(cell);
  }
  return row;
}

function show(index) {
  const event = events[index];
  slider.max = Math.max(events.length - 1, 0);
  slider.value = index;
  element("number").textContent = event ? `${index + 1} of ${events.length}` : "none yet";
  redraw(partsAt(index));
  element("choice").hidden = !event;
  if (!event) {
    if (!isLive) element("verdict").textContent = "the map alone";
    return;
  }
  const given = event.status === "accepted";
  element("verdict").textContent = `${event.state ? event.state + ": " : ""}${event.sentence || event.status}`;
  element("verdict").className = `verdict ${given ? "good" : "bad"}`;
  if (event.picture) {
    element("picture").src = event.picture;
    element("pair").hidden = false;
  }
  element("facts").replaceChildren(
    fact("stamp", `${event.time_ns.slice(0, -9) || "0"}.${event.time_ns.slice(-9).padStart(9, "0")} s`),
    fact("status", event.status),
    fact("position", event.position ? event.position.map(mm => (mm / 1000).toFixed(3)).join(", ") + " m" : "none"),
    fact("standard deviation", event.std || "none"),
    fact("inliers", String(event.inliers)),
    fact("references", event.references.join(", ") || "none"),
    fact("time", `${event.latency_ms} ms`));
}

// A node tells pose, status and picture apart: what has the same stamp is one event.
function take(event) {
  const last = events.findLastIndex(other => other.time_ns === event.time_ns);
  if (last >= 0) Object.assign(events[last], event);
  else events.push({ status: "", sentence: "", inliers: 0, references: [], latency_ms: 0, ...event });
  while (events.length > MAX_EVENTS) events.shift();
  show(follows ? events.length - 1 : Math.min(Number(slider.value), events.length - 1));
}

slider.addEventListener("input", () => {
  follows = Number(slider.value) === events.length - 1;
  show(Number(slider.value));
});
show(events.length - 1);
if (isLive) {
  const source = new EventSource("events");
  source.onmessage = message => take(JSON.parse(message.data));
  source.onerror = () => { element("verdict").textContent += " (no longer connected)"; };
}
