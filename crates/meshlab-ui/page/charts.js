// Curves of what nodes use, from the record: the least and the greatest of each part of the stretch
// that is looked at. A closer look asks the record again. While a run goes on, what is pushed is
// drawn at the end. What holds until it changes is drawn in steps.

import { THICK, bars_of, beside, corners_of, cut_off, dashes, points_of } from "./curves.js";
import { bytes, color, el, natural, percent, soon } from "./dom.js";
import { Span, axis, hurt, prepared, tell, zoomable } from "./timeline.js";

const LEFT = 82;
const HIGH = 190;
const FOOT = 20;
const NOW_MAX = 600;
/** A stretch has to stand still for so long before its slopes are asked for, in milliseconds. */
const SLOPES_AFTER = 250;

/** Name, title, how a value is written, what a node has now, whether it holds until it changes. */
const MEASURES = [
  ["cpu", "CPU, of a core", percent, (node) => node.cpu, false],
  ["rss", "Memory, resident", bytes, (node) => node.rss, false],
  ["files", "Open files", String, (node) => node.files, true],
  ["connections", "Connections open", String, (node) => node.connections, true],
  ["tasks", "Tasks", String, (node) => node.tasks, true],
  ["threads", "Threads", String, (node) => node.threads, true],
];

/** Colours that differ in lightness too, and dashes that tell them apart without any. */
const COLORS = ["#4477aa", "#ee6677", "#228833", "#b58900", "#3fa7c4", "#aa3377", "#8a8f98", "#cc6633"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

/** Points that are closer than this, in pixels, are drawn as upright bars. */
const DENSE = 4;

export const looks = (place) => ({ color: COLORS[place % COLORS.length],
  dash: DASHES[Math.floor(place / COLORS.length) % DASHES.length] });

export class Charts {
  constructor(root, app) {
    this.app = app;
    this.span = new Span(app);
    this.hidden = new Set();
    this.only = null;
    const grid = el("div", { class: "grid" });
    this.names = el("div", { class: "names" });
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "What nodes use"),
      el("span", { class: "dim" }, "drag to zoom, double click for all; bands are faults"),
      el("button", { onclick: () => { this.hidden.clear(); this.only = null; this.all(); } }, "show all")),
      this.names), grid);
    this.charts = MEASURES.map((measure) => new Chart(grid, this, measure));
  }

  key(event) { if (this.span.key(event)) this.load(); }

  tick() { if (this.span.from === null) this.all(); }

  all() { this.legend(); for (const chart of this.charts) chart.paint(); }

  update(kinds) {
    if (kinds.has("all")) {
      // The record is asked once what it has, and what is pushed comes after it.
      if (this.epoch !== this.app.store.epoch) { this.epoch = this.app.store.epoch; this.load(); }
      this.all();
      return;
    }
    if (kinds.has("node")) for (const chart of this.charts) chart.append();
    if (kinds.has("node") || kinds.has("fault") || kinds.has("run")) this.all();
  }

  /** Asks the record for the stretch that is looked at: once, for all charts. */
  async load() {
    const turn = (this.asked = (this.asked ?? 0) + 1);
    clearTimeout(this.later);
    const [from, to] = this.span.get();
    const parts = Math.min(1200, Math.max(200, Math.round(this.charts[0].canvas.clientWidth || 500)));
    try {
      const began = performance.now();
      const got = await this.app.store.ask("api/series", { measure: MEASURES.map(([name]) => name),
        from: from / 1e6, to: to / 1e6, parts });
      if (turn !== this.asked) return;
      this.took = performance.now() - began;
      for (const chart of this.charts) chart.take(got[chart.measure]);
      requestAnimationFrame(() => { this.drawn = turn; });
      this.later = setTimeout(() => this.slopes(turn, from, to), SLOPES_AFTER);
    } catch (error) {
      for (const chart of this.charts) chart.note.textContent = error.message;
    }
  }

  close() { clearTimeout(this.later); }

  /** How all this grows, once a stretch is looked at for longer than it takes to zoom on. */
  async slopes(turn, from, to) {
    try {
      const got = await this.app.store.ask("api/slopes", { measure: MEASURES.map(([name]) => name),
        from: from / 1e6, to: to / 1e6 });
      if (turn !== this.asked) return;
      for (const chart of this.charts) chart.grows(got[chart.measure] ?? null);
    } catch (error) {
      for (const chart of this.charts) chart.note.textContent = error.message;
    }
  }

  show(node) { this.only = node; this.all(); }

  order() {
    return [...this.app.store.all("node").keys()].sort(natural).concat("harness");
  }

  legend() {
    const order = this.order();
    const text = order.join() + [...this.hidden].join() + this.only;
    if (text === this.written) return;
    this.written = text;
    this.names.replaceChildren(...order.map((name, place) => {
      const look = looks(place);
      const line = el("i");
      line.style.borderColor = look.color;
      line.style.borderTopStyle = look.dash.length ? "dashed" : "solid";
      return el("button", { "aria-pressed": String(this.visible(name)), onclick: () => {
        if (this.hidden.has(name)) this.hidden.delete(name); else this.hidden.add(name);
        this.all();
      } }, line, name);
    }));
  }

  visible(name) { return !this.hidden.has(name) && (!this.only || this.only === name); }
}

class Chart {
  constructor(root, charts, [measure, title, write, now, steps]) {
    Object.assign(this, { charts, measure, write, now, steps, data: null, slope: null, late: new Map() });
    this.canvas = el("canvas", { tabindex: 0, role: "img", "aria-label": title });
    this.note = el("span", { class: "dim" });
    this.card = el("section", { class: "card", "data-chart": measure },
      el("header", {}, el("h2", {}, title), this.note), el("div", { class: "plot" }, this.canvas));
    root.append(this.card);
    this.paint = soon(() => this.draw());
    zoomable(this.canvas, charts.span, (drag) => {
      this.drag = drag;
      if (drag) this.paint(); else charts.load();
    }, (event, share) => this.pointed(event, share));
  }

  /** The slope over the nodes, with its interval. */
  grows(slope) {
    this.slope = slope;
    this.note.textContent = slope ? `${slope.certain ? "▲ for sure " : "slope "}${slope.text}` : "";
    this.note.title = slope ? "mean over the nodes after their warm-up, each node one observation; " +
      "the statistics of expect.trends" : "";
    this.paint();
  }

  take(data) {
    this.data = { ...data, curves: points_of(data) };
    this.slope = null;
    this.late.clear();
    this.note.textContent = "";
    this.paint();
  }

  /** What was pushed since the record was asked. */
  append() {
    for (const [id, node] of this.charts.app.store.all("node")) {
      const value = this.now(node);
      if (value === null || value === undefined || node.at === null) continue;
      const at = node.at / 1e6;
      if (!this.late.has(id)) this.late.set(id, []);
      const points = this.late.get(id);
      if (this.data && at > this.data.to - this.data.step && at !== points.at(-1)?.[0]) {
        points.push([at, value, value]);
        // Enough is late for the record to be asked again: once, not again and again.
        if (points.length > NOW_MAX && this.charts.span.from === null) { this.charts.load(); return; }
      }
    }
  }

  curves() {
    const order = this.charts.order();
    const all = [];
    order.forEach((name, place) => {
      if (!this.charts.visible(name)) return;
      const points = [...(this.data?.curves[name] ?? []), ...(this.late.get(name) ?? [])];
      if (points.length) all.push({ name, place, points });
    });
    return all;
  }

  draw() {
    const store = this.charts.app.store;
    if (!store?.get("run")) return;
    const [from, to] = this.charts.span.get();
    const [pen, wide] = prepared(this.canvas, HIGH);
    this.wide = wide;
    const x = axis(pen, from, to, wide, HIGH);
    const curves = this.curves();
    const limit = store.get("run").ceilings[this.measure === "files" ? "open_files" : this.measure];
    let most = 0;
    for (const { points } of curves) {
      for (const [at, , high] of points) if (at * 1e6 >= from && at * 1e6 <= to) most = Math.max(most, high);
    }
    if (limit && most > limit * 0.3) most = Math.max(most, limit * 1.05);
    most = (most || 1) * 1.08;
    const y = (value) => HIGH - FOOT - (value / most) * (HIGH - FOOT - 8);
    this.scale(pen, y, most, wide);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, wide - LEFT, HIGH - FOOT);
    pen.clip();
    this.bands(pen, x);
    for (const { name, place, points } of curves) {
      if (this.steps) this.stairs(pen, x, y, place, this.lives(name, points));
      else this.curve(pen, x, y, place, beside(points, from / 1e6, to / 1e6));
    }
    this.trend(pen, x, y, to);
    if (limit) {
      pen.strokeStyle = color("bad");
      pen.setLineDash([5, 4]);
      pen.beginPath();
      pen.moveTo(LEFT, y(limit));
      pen.lineTo(wide, y(limit));
      pen.stroke();
      pen.setLineDash([]);
    }
    if (this.drag) {
      pen.fillStyle = color("shade");
      const room = wide - LEFT - 4;
      pen.fillRect(LEFT + this.drag.from * room, 0, (this.drag.to - this.drag.from) * room, HIGH);
    }
    pen.restore();
    this.geometry = { x, y, from, to };
    Object.assign(this.canvas.dataset, { curves: curves.length, slope: this.slope ? "drawn" : "" });
    if (!curves.length && !this.note.textContent) {
      pen.fillStyle = color("dim");
      pen.textAlign = "center";
      pen.fillText(this.data ? "nothing was recorded in this stretch" : "reading …", wide / 2, HIGH / 2);
    }
  }

  scale(pen, y, most, wide) {
    pen.textAlign = "right";
    const plain = this.write === String;
    // What is counted is whole: a line stands where its number is.
    const values = [0, 0.5, 0.93].map((share) => (plain ? Math.floor(most * share) : most * share));
    for (const value of new Set(values)) {
      pen.strokeStyle = color("soft");
      pen.beginPath();
      pen.moveTo(LEFT, y(value));
      pen.lineTo(wide, y(value));
      pen.stroke();
      pen.fillStyle = color("dim");
      pen.fillText(this.write(value), LEFT - 6, y(value));
    }
  }

  bands(pen, x) {
    const store = this.charts.app.store;
    const now = store.now();
    pen.fillStyle = color("fault");
    pen.globalAlpha = 0.12;
    for (const fault of store.all("fault").values()) {
      const [start, end] = hurt(fault, now);
      pen.fillRect(x(start), 0, Math.max(2, x(end) - x(start)), HIGH);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = color("soft");
    for (const [start, end] of store.get("run").gaps) pen.fillRect(x(start), 0, x(end) - x(start), HIGH);
  }

  begin(pen, place) {
    const look = looks(place);
    pen.strokeStyle = look.color;
    pen.setLineDash(look.dash);
    pen.lineWidth = 1.3;
    pen.globalAlpha = 0.9;
    pen.beginPath();
  }

  finish(pen) {
    pen.stroke();
    pen.setLineDash([]);
    pen.lineWidth = 1;
    pen.globalAlpha = 1;
  }

  /** The points of each process of a node, and when it ended: nothing holds beyond that. */
  lives(name, points) {
    const store = this.charts.app.store;
    const now = store.now() / 1e6;
    const lives = (store.get(`node/${name}`)?.lives ?? []).map(([spawned, exited]) =>
      ({ from: spawned / 1e6, until: exited === null ? now : exited / 1e6, points: [] }));
    if (!lives.length) return [{ from: 0, until: now, points }];
    const slack = this.data?.step ?? 1;
    for (const point of points) {
      const life = lives.findLast((one) => one.from <= point[0] + slack) ?? lives[0];
      life.points.push(point);
    }
    return lives.filter((life) => life.points.length);
  }

  /**
   * What holds until it changes: level lines, and upright ones where it does. They are bars, which a
   * browser paints several times as fast as a long path with dashes.
   */
  stairs(pen, x, y, place, lives) {
    const { color: ink, dash } = looks(place);
    pen.fillStyle = ink;
    for (const corners of lives.map((life) => corners_of(life))) {
      let before = null;
      for (const [at, value] of corners) {
        const here = [x(at * 1e6), y(value)];
        if (before?.[1] === here[1]) {
          // Nothing is worked out for what is outside the picture.
          for (const [from, to] of dashes(dash, Math.max(before[0], LEFT), Math.min(here[0], this.wide))) {
            pen.fillRect(from, here[1] - THICK / 2, to - from, THICK);
          }
        } else if (before) {
          const top = Math.min(before[1], here[1]) - THICK / 2;
          pen.fillRect(here[0] - THICK / 2, top, THICK, Math.abs(before[1] - here[1]) + THICK);
        }
        before = here;
      }
    }
  }

  /** The slope over all nodes through the middle of what it was worked out of, and its interval. */
  trend(pen, x, y, to) {
    if (!this.slope || this.charts.only) return;
    const { from, at, value, mean, low, high } = this.slope;
    const end = to / 1e6;
    const on = (slope, when) => y(value + slope * (when - at));
    const X = (when) => x(when * 1e6);
    pen.fillStyle = color("ink");
    pen.globalAlpha = 0.1;
    pen.beginPath();
    pen.moveTo(X(from), on(low, from));
    pen.lineTo(X(at), y(value));
    pen.lineTo(X(end), on(low, end));
    pen.lineTo(X(end), on(high, end));
    pen.lineTo(X(at), y(value));
    pen.lineTo(X(from), on(high, from));
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = color("ink");
    pen.setLineDash([10, 3, 2, 3]);
    pen.lineWidth = 1.6;
    pen.beginPath();
    pen.moveTo(X(from), on(mean, from));
    pen.lineTo(X(end), on(mean, end));
    this.finish(pen);
  }

  curve(pen, x, y, place, points) {
    if (!points.length) return;
    const step = this.data?.step ?? 1;
    // A hole in the data is no line.
    const hole = Math.max(Math.max(step, 1) * 8e6, 130e6);
    const wide = x(points.at(-1)[0] * 1e6) - x(points[0][0] * 1e6);
    if (wide < points.length * DENSE && points.length > 1) this.dense(pen, x, y, place, points, hole);
    else this.line(pen, x, y, place, points, hole);
  }

  line(pen, x, y, place, points, hole) {
    const line = [];
    let before = null;
    for (const [at, low, high] of points) {
      const micros = at * 1e6;
      const where = x(micros);
      line.push({ x: where, y: y(low), begins: before === null || micros - before > hole });
      if (high !== low) line.push({ x: where, y: y(high), begins: false });
      before = micros;
    }
    this.begin(pen, place);
    for (const corner of cut_off(line, LEFT, this.wide)) {
      if (corner.begins) pen.moveTo(corner.x, corner.y); else pen.lineTo(corner.x, corner.y);
    }
    this.finish(pen);
  }

  dense(pen, x, y, place, points, hole) {
    const { color: ink, dash } = looks(place);
    pen.fillStyle = ink;
    const parts = points.map(([at, least, most]) => [at * 1e6, x(at * 1e6), y(least), y(most)]);
    for (const bar of bars_of(parts, dash, hole)) pen.fillRect(...bar);
  }

  pointed(event, share) {
    if (!event || !this.geometry) return tell(null);
    const { from, to, y } = this.geometry;
    const at = (from + (to - from) * share) / 1e6;
    const top = event.clientY - this.canvas.getBoundingClientRect().top;
    const near = [];
    for (const { name, points } of this.curves()) {
      let best = null;
      for (const point of points) {
        if (this.steps && best && point[0] > at) break;
        if (!best || this.steps || Math.abs(point[0] - at) < Math.abs(best[0] - at)) best = point;
      }
      if (best) near.push([Math.abs(y(best[2]) - top), name, best]);
    }
    near.sort((a, b) => a[0] - b[0]);
    const write = (value) => (this.write === String ? String(Math.round(value)) : this.write(value));
    const lines = near.slice(0, 5).map(([, name, [, low, high]]) =>
      `${name}  ${write(low)}${high !== low ? ` to ${write(high)}` : ""}`);
    tell(event, [`${at.toFixed(1)} s`, ...lines].join("\n"));
  }
}
