"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { lanes, moments, sources } = data;
const ROW = 23, TIME = 96, GUTTER = 34, LANE = lanes.length > 6 ? 96 : 124, TEXT = 720;
const PAUSE_US = 1000000, AROUND = 32, STEP = 60, TEXT_MAX = 104;
const TONES = 10;
const KINDS = {
  message: ["Messages", ["sent", "received", "lost"]],
  log: ["Writes", ["wrote"]],
  event: ["Events", ["event"]],
  input: ["Inputs", ["input"]],
  alive: ["Keep-alive", []],
};
const kindOf = {};
for (const [group, [, kinds]] of Object.entries(KINDS)) for (const kind of kinds) kindOf[kind] = group;
const ALWAYS = new Set(["fault", "violation", "faults_end"]);
const tone = (source) => (source === null ? "var(--plain)" : `var(--t${source % TONES})`);
const SVG = "http://www.w3.org/2000/svg";

// PINGs are hidden until their button is clicked.
const hidden = { sources: new Set(), kinds: new Set(["alive"]) };
const focus = data.focus === null ? 0 : data.focus;
let from = focus, upto = Math.min(moments.length, focus + 1);
let picked = null, words = "";

// The moments at which each message was sent and arrived or was lost.
const ends = new Map();
moments.forEach((moment, index) => {
  if (moment.m === undefined) return;
  const end = ends.get(moment.m) || {};
  if (moment.k === "sent") end.sent = index; else end.got = index;
  ends.set(moment.m, end);
});
const wordsOf = (index) => {
  const moment = moments[index];
  if (moment.x || moment.m === undefined) return moment.x || "";
  const { sent } = ends.get(moment.m);
  return sent === undefined ? "" : moments[sent].x;
};

function el(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}
const laneX = (lane) => TIME + GUTTER + LANE * (lane + 0.5);
const textX = () => TIME + GUTTER + LANE * lanes.length + 26;
const seconds = (us) => (us / 1e6).toFixed(6);
const span = (us) => (us >= 1e7 ? Math.round(us / 1e6) + " s" : (us / 1e6).toFixed(1) + " s");
const cut = (text) => (text.length > TEXT_MAX ? text.slice(0, TEXT_MAX - 1) + "…" : text);

function shown(moment, index) {
  if (ALWAYS.has(moment.k)) return true;
  const alive = moment.m !== undefined && wordsOf(index).startsWith("PING ");
  if (hidden.kinds.has(alive ? "alive" : kindOf[moment.k])) return false;
  if (hidden.sources.has(moment.s === null ? "none" : moment.s)) return false;
  return words === "" || wordsOf(index).toLowerCase().includes(words);
}

// Moves the ends of the drawn range by a number of shown moments.
function widen(before, after) {
  for (; from > 0 && before > 0; from--) if (shown(moments[from - 1], from - 1)) before--;
  for (; upto < moments.length && after > 0; upto++) if (shown(moments[upto], upto)) after--;
}

// Messages that the bus passes on at the time at which it received one share its line.
function sharesRow(before, moment) {
  return before && moment.k === "sent" && before.t === moment.t && before.l === moment.l
    && lanes[moment.l].role === "bus" && (before.k === "received" || before.k === "sent");
}

let rows = [], rowOf = new Map();
function layout() {
  rows = []; rowOf = new Map();
  let before = null, y = 10, time = null;
  for (let index = from; index < upto; index++) {
    const moment = moments[index];
    if (!shown(moment, index)) continue;
    if (rows.length && sharesRow(before, moment)) {
      rowOf.set(index, rows[rows.length - 1]);
      rows[rows.length - 1].members.push(index);
    } else {
      const pause = time !== null && moment.t - time >= PAUSE_US ? moment.t - time : 0;
      if (pause) y += ROW;
      const row = { index, y: y + ROW / 2, members: [index], pause, tick: time !== moment.t };
      rows.push(row); rowOf.set(index, row);
      y += ROW;
    }
    before = moment; time = moment.t;
  }
  return y + 14;
}

function say(index) {
  const moment = moments[index], text = wordsOf(index);
  switch (moment.k) {
    case "sent": return "→ " + lanes[moment.to].name + "  " + text;
    case "received": return text;
    case "violation": return "Broken: " + text;
    case "lost": return "lost (" + moment.w + "): " + text;
    case "wrote": return "log: " + text;
    case "fault": return "Fault: " + text;
    case "faults_end": return "All faults end";
    default: return text;
  }
}

function draw() {
  const height = layout(), width = textX() + TEXT;
  const head = document.getElementById("head"), chart = document.getElementById("chart");
  for (const svg of [head, chart]) { svg.replaceChildren(); svg.setAttribute("width", width); }
  head.setAttribute("height", 46); chart.setAttribute("height", height);
  el(head, "line", { x1: 0, x2: width, y1: 45.5, y2: 45.5, stroke: "var(--line)" });
  el(head, "text", { class: "time", x: TIME, y: 36 }, "seconds");
  lanes.forEach((lane, index) => {
    el(head, "text", { class: "name", x: laneX(index), y: 20 }, lane.name);
    el(head, "text", { class: "role", x: laneX(index), y: 36 }, lane.role);
  });
  const backs = el(chart, "g"), grid = el(chart, "g"), arrows = el(chart, "g"), marks = el(chart, "g");
  lanes.forEach((lane, index) =>
    el(grid, "line", { class: "lane " + lane.role, x1: laneX(index), x2: laneX(index), y1: 0, y2: height }));
  for (const row of rows) drawRow(row, backs, marks, width);
  const drawn = new Set();
  for (const [index] of rowOf) {
    const message = moments[index].m;
    if (message !== undefined && !drawn.has(message)) { drawn.add(message); drawArrow(message, arrows); }
  }
  const range = document.getElementById("range");
  range.textContent = moments.length === 0 ? "nothing happened"
    : `${from + 1} to ${upto} of ${moments.length}`;
  document.getElementById("earlier").disabled = from === 0;
  document.getElementById("later").disabled = upto === moments.length;
  document.getElementById("all").disabled = from === 0 && upto === moments.length;
  document.getElementById("focus").hidden = data.focus === null;
  if (picked !== null) mark(picked);
}

function drawRow(row, backs, marks, width) {
  const { index, y } = row, moment = moments[index];
  if (row.pause) {
    el(marks, "text", { class: "pause", x: textX(), y: y - ROW + 4 }, `${span(row.pause)} later`);
    el(marks, "line", { x1: TIME, x2: textX() - 12, y1: y - ROW, y2: y - ROW, stroke: "var(--line)", "stroke-dasharray": "1 5" });
  }
  const group = el(backs, "g", { class: "row " + moment.k, "data-index": index, style: `--tone:${tone(moment.s)}` });
  el(group, "rect", { class: "back", x: 4, y: y - ROW / 2, width: width - 8, height: ROW, rx: 5 });
  if (row.tick) el(group, "text", { class: "time", x: TIME, y: y + 4 }, seconds(moment.t));
  const last = row.members[row.members.length - 1];
  el(group, "circle", { cx: textX() - 12, cy: y, r: moment.s === null ? 0 : 3.5, fill: tone(moment.s) });
  const fan = row.members.length > 1 ? row.members.slice(1).map((i) => lanes[moments[i].to].name) : null;
  const text = fan ? `${say(index)}  → ${fan.join(", ")}` : say(index);
  const mono = ["sent", "received", "lost"].includes(moment.k);
  el(group, "text", { class: "say" + (mono ? " mono" : ""), x: textX(), y: y + 4 }, cut(text));
  group.addEventListener("click", () => pick(last === index ? index : row.members[0]));
  group.addEventListener("mouseenter", () => light(row, true));
  group.addEventListener("mouseleave", () => light(row, false));
  for (const member of row.members) drawMark(member, y, marks);
}

function drawMark(index, y, marks) {
  const moment = moments[index], x = laneX(moment.l), style = `--tone:${tone(moment.s)}`;
  switch (moment.k) {
    case "sent": el(marks, "circle", { class: "dot hollow", cx: x, cy: y, r: 4, style }); break;
    case "wrote": el(marks, "rect", { class: "box", x: x - 5.5, y: y - 5.5, width: 11, height: 11, rx: 2, style }); break;
    case "event": el(marks, "rect", { class: "box", x: x - 5, y: y - 5, width: 10, height: 10, transform: `rotate(45 ${x} ${y})`, style }); break;
    case "input": el(marks, "circle", { class: "dot", cx: x, cy: y, r: 3.2, style }); break;
    case "fault": el(marks, "path", { class: "bolt", d: `M${x + 2} ${y - 9}l-8 11h5l-2 8 8-11h-5z` }); break;
    case "violation": el(marks, "path", { class: "burst", d: star(x, y) }); break;
    default: break;
  }
}
function star(x, y) {
  let d = "";
  for (let i = 0; i < 16; i++) {
    const r = i % 2 ? 5 : 11, a = (Math.PI * i) / 8;
    d += (i ? "L" : "M") + (x + r * Math.sin(a)).toFixed(1) + " " + (y - r * Math.cos(a)).toFixed(1);
  }
  return d + "z";
}

function drawArrow(message, arrows) {
  const { sent, got } = ends.get(message);
  const start = sent === undefined ? null : moments[sent], end = got === undefined ? null : moments[got];
  const any = end || start;
  const a = start && rowOf.get(sent), b = end && rowOf.get(got);
  if (!a && !b) return;
  const x1 = laneX(start ? start.l : any.l), x2 = laneX(start ? start.to : any.l);
  // The other end may lie outside the drawn range: then only a piece of the arrow is drawn.
  let y1 = a ? a.y : b.y - ROW * 0.8, y2 = b ? b.y : a.y + ROW * 0.8, to = x2, fromX = x1;
  if (!b) to = x1 + (x2 - x1) * 0.35;
  if (!a) fromX = x2 - (x2 - x1) * 0.35;
  const lost = end && end.k === "lost";
  if (lost) { to = x1 + (x2 - x1) * 0.72; }
  const style = `--tone:${tone(any.s === null && start ? start.s : any.s)}`;
  const dx = to - fromX, dy = y2 - y1, length = Math.hypot(dx, dy) || 1;
  const gap = 5, ux = dx / length, uy = dy / length;
  const kind = (start && start.mk) || "command";
  const path = el(arrows, "path", {
    class: `arrow ${kind}${lost ? " lost" : ""}`, style, "data-message": message,
    d: `M${fromX + ux * gap} ${y1 + uy * gap}L${to - ux * (lost || !b ? 0 : 9)} ${y2 - uy * (lost || !b ? 0 : 9)}`,
  });
  el(path, "title", {}, start ? start.x : "");
  if (lost) {
    el(arrows, "path", { class: "cross", d: `M${to - 5} ${y2 - 5}l10 10m0 -10l-10 10` });
  } else if (b) {
    const tx = x2 - ux * 4, ty = y2 - uy * 4;
    el(arrows, "path", {
      class: "tip", style,
      d: `M${tx} ${ty}L${tx - ux * 10 - uy * 4.5} ${ty - uy * 10 + ux * 4.5}L${tx - ux * 10 + uy * 4.5} ${ty - uy * 10 - ux * 4.5}z`,
    });
  }
}

function light(row, on) {
  for (const member of row.members) {
    const message = moments[member].m;
    if (message === undefined) continue;
    document.querySelectorAll(`.arrow[data-message="${message}"]`).forEach((path) => path.classList.toggle("lit", on));
    const { sent, got } = ends.get(message);
    for (const end of [sent, got]) {
      const other = rowOf.get(end);
      if (other && other !== row) group(other).classList.toggle("near", on);
    }
  }
}
const group = (row) => document.querySelector(`.row[data-index="${row.index}"]`);

function mark(index) {
  document.querySelectorAll(".row.picked").forEach((row) => row.classList.remove("picked"));
  const row = rowOf.get(index);
  if (row) group(row).classList.add("picked");
}

function pick(index) {
  picked = index;
  mark(index);
  const moment = moments[index], panel = document.getElementById("details");
  panel.replaceChildren();
  const add = (name, text, parent) => {
    const node = document.createElement(name);
    node.textContent = text;
    (parent || panel).appendChild(node);
    return node;
  };
  const titles = { sent: "Sent", received: "Received", lost: "Lost on the way", wrote: "Written to the log", event: "Told to the application", input: "Happened to the instance", fault: "Fault", violation: "Promise broken", faults_end: "All faults end" };
  add("h3", titles[moment.k] || moment.k);
  const list = add("dl", "");
  const fact = (name, text) => { add("dt", name, list); add("dd", text, list); };
  fact("Time", seconds(moment.t) + " s");
  fact("On", lanes[moment.l].name);
  if (moment.s !== null) fact("Source", sources[moment.s]);
  const text = wordsOf(index);
  if (text) fact("Text", text);
  if (moment.w) fact("Why", moment.w);
  if (moment.m !== undefined) {
    const { sent, got } = ends.get(moment.m);
    if (sent !== undefined) fact("From", lanes[moments[sent].l].name + " at " + seconds(moments[sent].t) + " s");
    if (got !== undefined) fact(moments[got].k === "lost" ? "Lost before" : "To", lanes[moments[got].l].name + " at " + seconds(moments[got].t) + " s");
    if (sent !== undefined && got === undefined) fact("To", lanes[moments[sent].to].name + ", still on its way at the end");
    const other = index === sent ? got : sent;
    if (other !== undefined) {
      const button = add("button", "Show the other end");
      button.type = "button";
      button.addEventListener("click", () => go(other));
    }
  }
  fact("Number", `${index + 1} of ${moments.length}`);
}

function go(index) {
  if (index < from) from = Math.max(0, index - 5);
  if (index >= upto) upto = Math.min(moments.length, index + 6);
  draw();
  pick(index);
  const row = rowOf.get(index);
  if (row) group(row).scrollIntoView({ block: "center" });
}

function chips() {
  const count = new Map();
  moments.forEach((moment) => {
    const key = moment.s === null ? "none" : moment.s;
    count.set(key, (count.get(key) || 0) + 1);
  });
  const chip = (parent, label, color, number, set, key) => {
    const button = document.createElement("button");
    button.type = "button"; button.className = "chip";
    button.style.setProperty("--tone", color);
    button.setAttribute("aria-pressed", String(!set.has(key)));
    if (color !== "none") button.appendChild(document.createElement("i"));
    button.appendChild(document.createTextNode(label));
    if (number !== null) {
      const b = document.createElement("b");
      b.textContent = number;
      button.appendChild(b);
    }
    button.addEventListener("click", (event) => {
      if (event.altKey || event.shiftKey) {
        // Hides all others.
        set.clear();
        parent.querySelectorAll("button").forEach((other) => { if (other !== button) set.add(other.key); });
      } else if (!set.delete(key)) set.add(key);
      parent.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(!set.has(b.key))));
      draw();
    });
    button.title = "Click: show or hide. Shift-click: only this.";
    button.key = key;
    parent.appendChild(button);
  };
  const where = document.getElementById("sources");
  sources.forEach((name, index) => chip(where, name, tone(index), count.get(index) || 0, hidden.sources, index));
  if (count.has("none")) chip(where, "no source", "var(--plain)", count.get("none"), hidden.sources, "none");
  for (const [key, [label]] of Object.entries(KINDS)) {
    chip(document.getElementById("kinds"), label, "none", null, hidden.kinds, key);
  }
}

document.getElementById("earlier").addEventListener("click", () => { widen(STEP, 0); draw(); });
document.getElementById("later").addEventListener("click", () => { widen(0, STEP); draw(); });
document.getElementById("all").addEventListener("click", () => { from = 0; upto = moments.length; draw(); });
document.getElementById("focus").addEventListener("click", () => go(focus));
document.getElementById("search").addEventListener("input", (event) => { words = event.target.value.toLowerCase(); draw(); });
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || !["ArrowDown", "ArrowUp"].includes(event.key) || rows.length === 0) return;
  const at = picked === null ? -1 : rows.findIndex((row) => row.members.includes(picked));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)))];
  event.preventDefault();
  pick(next.index);
  group(next).scrollIntoView({ block: "nearest" });
});

// The legend: the meaning of each mark, drawn with the mark itself.
function legend() {
  const list = document.getElementById("legend");
  const entry = (text, paint) => {
    const item = document.createElement("span"), svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("width", 34); svg.setAttribute("height", 18);
    paint(svg);
    item.append(svg, text);
    list.appendChild(item);
  };
  const style = "--tone:var(--plain)";
  const line = (kind) => (svg) => {
    el(svg, "path", { class: "arrow " + kind, style, d: "M2 9H24" });
    el(svg, "path", { class: "tip", style, d: "M32 9l-9 -4v8z" });
  };
  entry("command", line("command"));
  entry("fetch and its page", line("fetch"));
  entry("lost", (svg) => {
    el(svg, "path", { class: "arrow lost", style, d: "M2 9H26" });
    el(svg, "path", { class: "cross", d: "M21 4l10 10m0 -10l-10 10" });
  });
  entry("written to the log", (svg) => el(svg, "rect", { class: "box", x: 12, y: 3.5, width: 11, height: 11, rx: 2, style }));
  entry("told to the application", (svg) => el(svg, "rect", { class: "box", x: 12, y: 4, width: 10, height: 10, transform: "rotate(45 17 9)", style }));
  entry("happened to the instance", (svg) => el(svg, "circle", { class: "dot", cx: 17, cy: 9, r: 3.5, style }));
  entry("fault", (svg) => el(svg, "path", { class: "bolt", d: "M19 0l-8 11h5l-2 8 8-11h-5z" }));
  entry("broken promise", (svg) => el(svg, "path", { class: "burst", d: star(17, 9) }));
}

chips();
legend();
widen(data.focus === null ? 0 : AROUND, data.focus === null ? 2 * AROUND : AROUND);
draw();
if (data.focus !== null) pick(focus);
