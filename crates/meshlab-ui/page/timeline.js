// The run over time: a lane for faults, one for claims, a row for each node. Drag to zoom, wheel to
// zoom, arrows to pan; a click shows what was said at that moment.

import { color, el, moment, natural, soon } from "./dom.js";

const SIGNS = { u: "neighbour up", d: "neighbour down", c: "heard", r: "came back", x: "gone from the directory",
  s: "became", i: "takes for", p: "stood still", v: "path", b: "connected to another mesh" };
const LEFT = 82;
const FOOT = 20;
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300,
  600, 900, 1800, 3600, 7200, 21600, 86400];

/** A stretch of time that is looked at, shared by what shows it. */
export class Span {
  constructor(app) { this.app = app; this.from = null; this.to = null; }

  get() {
    const end = Math.max(1e6, this.app.store.now());
    if (this.from === null) return [0, end];
    return [this.from, this.to];
  }

  set(from, to) {
    const end = Math.max(1e6, this.app.store.now());
    const wide = Math.max(1000, Math.min(to - from, end));
    this.from = Math.max(0, Math.min(from, end - wide));
    this.to = this.from + wide;
    if (wide >= end * 0.999) this.all();
  }

  all() { this.from = null; this.to = null; }

  zoom(by, around = 0.5) {
    const [from, to] = this.get();
    const wide = (to - from) * by;
    const at = from + (to - from) * around;
    this.set(at - wide * around, at + wide * (1 - around));
  }

  pan(by) {
    const [from, to] = this.get();
    if (this.from !== null) this.set(from + (to - from) * by, to + (to - from) * by);
  }

  key(event) {
    if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "ArrowLeft") this.pan(-0.3);
    else if (event.key === "ArrowRight") this.pan(0.3);
    else if (event.key === "f") this.all();
    else return false;
    event.preventDefault();
    return true;
  }
}

/** Lets a canvas be dragged over to zoom: tells where it is pointed at, and of clicks. */
export function zoomable(canvas, span, changed, pointed, clicked) {
  const share = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left - LEFT) / (box.width - LEFT - 4)));
  };
  const drag = { from: null, to: null };
  canvas.addEventListener("pointerdown", (event) => {
    drag.from = share(event);
    drag.to = drag.from;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag.from !== null) { drag.to = share(event); changed(drag); }
    pointed?.(event, share(event));
  });
  canvas.addEventListener("pointerup", (event) => {
    const [a, b] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    drag.from = null;
    const [from, to] = span.get();
    if (b - a > 0.01) span.set(from + (to - from) * a, from + (to - from) * b);
    else clicked?.(event, share(event));
    changed(null);
  });
  canvas.addEventListener("pointerleave", () => pointed?.(null));
  canvas.addEventListener("dblclick", () => { span.all(); changed(null); });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    span.zoom(event.deltaY > 0 ? 1.25 : 0.8, share(event));
    changed(null);
  }, { passive: false });
}

/** A canvas that is sharp, and how wide and high it is. */
export function prepared(canvas, high) {
  const wide = canvas.clientWidth || 600;
  const fine = window.devicePixelRatio || 1;
  canvas.style.height = `${high}px`;
  if (canvas.width !== Math.round(wide * fine) || canvas.height !== Math.round(high * fine)) {
    canvas.width = Math.round(wide * fine);
    canvas.height = Math.round(high * fine);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(fine, 0, 0, fine, 0, 0);
  pen.clearRect(0, 0, wide, high);
  pen.font = "11px ui-sans-serif, system-ui, sans-serif";
  pen.textBaseline = "middle";
  return [pen, wide];
}

/** The axis of time below, and lines at whole steps of it. */
export function axis(pen, from, to, wide, high) {
  const room = wide - LEFT - 4;
  const x = (micros) => LEFT + ((micros - from) / (to - from)) * room;
  const seconds = (to - from) / 1e6;
  const step = (STEPS.find((one) => seconds / one <= Math.max(3, room / 90)) ?? 86400) * 1e6;
  pen.textAlign = "center";
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    pen.strokeStyle = color("soft");
    pen.beginPath();
    pen.moveTo(x(at), 0);
    pen.lineTo(x(at), high - FOOT);
    pen.stroke();
    pen.fillStyle = color("dim");
    pen.fillText(moment(at, step < 1e6), Math.min(x(at), wide - 22), high - FOOT / 2);
  }
  return x;
}

let tip;
export function tell(event, text) {
  tip ??= document.body.appendChild(el("div", { class: "tip", hidden: true }));
  tip.hidden = !event || !text;
  if (tip.hidden) return;
  tip.textContent = text;
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - 350)}px`;
  tip.style.top = `${event.clientY + 16}px`;
}

/** When a fault hurt: from its plan until it was taken back. */
export function hurt(fault, now) {
  const end = fault.undone ?? (fault.verdict ? fault.acted ?? fault.over ?? fault.planned : now);
  return [fault.planned, Math.max(end, fault.planned)];
}

export class Timeline {
  constructor(root, app, small = false) {
    this.app = app;
    this.small = small;
    this.span = new Span(app);
    this.canvas = el("canvas", { tabindex: 0, role: "img", "aria-label":
      "timeline: faults, claims and a row for each node" });
    this.note = el("span", { class: "dim" });
    this.list = el("div");
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Timeline"), this.note,
      el("button", { onclick: () => { this.span.zoom(0.5); this.changed(); }, title: "zoom in" }, "+"),
      el("button", { onclick: () => { this.span.zoom(2); this.changed(); }, title: "zoom out" }, "−"),
      el("button", { onclick: () => { this.span.all(); this.changed(); }, title: "the whole run" }, "all")),
      el("div", { class: "plot" }, this.canvas),
      el("div", { class: "key" }, ...[["╵", "above: found or heard"], ["╷", "below: lost or taken for dead"],
        ["┃", "through: became a state"], ["✓ ✗ ?", "claims as judged"], ["▒", "fault: from plan to undo"]].map(
        ([sign, text]) => el("span", {}, el("b", {}, sign), ` ${text}`)))), this.list);
    this.paint = soon(() => this.draw());
    this.fetched = null;
    zoomable(this.canvas, this.span, (drag) => this.changed(drag),
      (event, at) => this.pointed(event, at), (event, at) => this.clicked(event, at));
    this.faultRows = [];
  }

  key(event) { if (this.span.key(event)) this.changed(); }

  tick() { if (this.span.from === null) this.paint(); }

  update(kinds) {
    if (["all", "node", "fault", "claim", "mark", "run"].some((kind) => kinds.has(kind))) this.paint();
    if (!this.small && (kinds.has("all") || kinds.has("fault"))) this.faults();
  }

  changed(drag) {
    this.drag = drag;
    this.paint();
    if (!drag) this.fetch();
  }

  /** Of a run whose marks are too many to be held, those of a stretch are asked for. */
  async fetch() {
    const run = this.app.store.get("run");
    if (!run?.marks_left_out || this.span.from === null) { this.fetched = null; return; }
    const [from, to] = this.span.get();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.asking = true;
    try {
      const got = await this.app.store.ask("api/marks", { since: from, until: to });
      if (turn !== this.turn) return;
      this.fetched = { from, to, marks: got.marks, more: got.more };
    } catch (error) { this.note.textContent = error.message; }
    if (turn === this.turn) this.asking = false;
    this.paint();
  }

  marks(from, to) {
    const fetched = this.fetched;
    if (fetched && fetched.from <= from && fetched.to >= to) return fetched.marks;
    return this.app.store.all("mark").values();
  }

  rows() {
    return [...this.app.store.all("node").keys()].sort(natural);
  }

  draw() {
    const store = this.app.store;
    if (!store?.get("run")) return;
    const [from, to] = this.span.get();
    const rows = this.rows();
    const faults = this.lanes([...store.all("fault")], from, to);
    const lane = 14;
    const row = rows.length > 60 ? 9 : rows.length > 30 || this.small ? 14 : 20;
    const head = 8 + faults.count * lane;
    const claims = head + 18;
    const high = claims + rows.length * row + FOOT;
    const [pen, wide] = prepared(this.canvas, high);
    const x = axis(pen, from, to, wide, high);
    this.geometry = { head, claims, row, rows, lane, faults, wide };
    const clip = () => { pen.save(); pen.beginPath(); pen.rect(LEFT, 0, wide - LEFT, high); pen.clip(); };
    clip();
    this.bands(pen, x, high);
    this.nodes(pen, x, rows, claims, row);
    this.faultBars(pen, x, faults, lane);
    this.claimSigns(pen, x, head);
    if (this.drag) {
      const room = wide - LEFT - 4;
      pen.fillStyle = color("shade");
      pen.fillRect(LEFT + this.drag.from * room, 0, (this.drag.to - this.drag.from) * room, high - FOOT);
    }
    pen.restore();
    this.labels(pen, rows, head, claims, row, faults);
    const left = store.get("run").marks_left_out;
    this.note.textContent = left && !this.fetched ? `${left} marks appear when you zoom in`
      : this.fetched?.more ? "more than is shown: zoom in further" : "";
    Object.assign(this.canvas.dataset, { faults: store.all("fault").size, claims: store.all("claim").size,
      rows: rows.length, marks: store.all("mark").size });
  }

  bands(pen, x, high) {
    for (const [from, to] of this.app.store.get("run").gaps) {
      pen.fillStyle = color("soft");
      pen.fillRect(x(from), 0, Math.max(2, x(to) - x(from)), high - FOOT);
    }
    for (const step of this.app.store.all("step").values()) {
      pen.strokeStyle = color("line");
      pen.setLineDash([2, 3]);
      pen.beginPath();
      pen.moveTo(x(step.started), 0);
      pen.lineTo(x(step.started), high - FOOT);
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  lanes(faults, from, to) {
    const now = this.app.store.now();
    const shown = [];
    const ends = [];
    const gap = (to - from) / 300;
    for (const [id, fault] of faults.sort((a, b) => a[1].planned - b[1].planned)) {
      const [start, end] = hurt(fault, now);
      if (end < from || start > to) continue;
      let place = ends.findIndex((one) => one + gap < start);
      if (place < 0) place = ends.length < 12 ? ends.length : 11;
      ends[place] = Math.max(ends[place] ?? 0, end);
      shown.push({ id, fault, start, end, place });
    }
    return { shown, count: Math.max(1, ends.length) };
  }

  faultBars(pen, x, { shown, count }, lane) {
    pen.textAlign = "left";
    for (const { fault, start, end, place } of shown) {
      const y = 5 + place * lane;
      const [a, b] = [x(start), Math.max(x(end), x(start) + 3)];
      pen.fillStyle = color("fault");
      pen.globalAlpha = fault.acted === null ? 0.35 : 0.85;
      pen.fillRect(a, y + 3, b - a, 5);
      pen.globalAlpha = 1;
      for (const [at] of fault.noticed) {
        pen.fillStyle = color("card");
        pen.strokeStyle = color("ink");
        pen.beginPath();
        pen.arc(x(at), y + 5.5, 2.2, 0, 7);
        pen.fill();
        pen.stroke();
      }
      if (count <= 3 || shown.length < 25) {
        pen.fillStyle = color("ink");
        const sign = { passed: "✓ ", failed: "✗ ", broken: "! ", inconclusive: "? ", skipped: "– " };
        pen.fillText((sign[fault.verdict?.is] ?? "") + fault.name, b + 5, y + 5.5);
      }
    }
  }

  claimSigns(pen, x, y) {
    pen.textAlign = "center";
    for (const claim of this.app.store.all("claim").values()) {
      const is = claim.verdict?.is ?? "open";
      const at = x(claim.verdict ? claim.started + claim.took : this.app.store.now());
      pen.fillStyle = color({ passed: "good", failed: "bad", broken: "bad", open: "dim" }[is] ?? "warn");
      pen.font = "bold 11px ui-monospace, monospace";
      pen.fillText({ passed: "✓", failed: "✗", broken: "!", skipped: "–", open: "○" }[is] ?? "?", at, y + 9);
    }
    pen.font = "11px ui-sans-serif, system-ui, sans-serif";
  }

  nodes(pen, x, rows, top, row) {
    const store = this.app.store;
    const now = store.now();
    const place = new Map(rows.map((id, number) => [id, top + number * row]));
    for (const fault of store.all("fault").values()) {
      const [start, end] = hurt(fault, now);
      pen.fillStyle = color("fault");
      pen.globalAlpha = 0.14;
      for (const target of fault.targets) {
        if (place.has(target)) pen.fillRect(x(start), place.get(target), Math.max(2, x(end) - x(start)), row);
      }
      pen.globalAlpha = 1;
    }
    for (const id of rows) {
      const y = place.get(id);
      for (const [spawned, exited, asked] of store.get(`node/${id}`).lives) {
        pen.fillStyle = color("calm");
        pen.globalAlpha = 0.42;
        const end = exited ?? now;
        pen.fillRect(x(spawned), y + row * 0.36, Math.max(1.5, x(end) - x(spawned)), Math.max(2, row * 0.28));
        pen.globalAlpha = 1;
        if (exited !== null && !asked) {
          pen.fillStyle = color("bad");
          pen.textAlign = "left";
          pen.fillText("✗", x(exited) + 2, y + row / 2);
        }
      }
    }
    const tall = Math.max(2.5, row * 0.3);
    for (const [at, node, sign] of this.marks(...this.span.get())) {
      const y = place.get(node);
      const where = x(at);
      if (y === undefined || where < LEFT - 3 || where > LEFT + 10000) continue;
      if ("ucrb".includes(sign)) {
        pen.fillStyle = color("good");
        pen.fillRect(where - 0.6, y + 1, 1.2, tall);
      } else if ("dxi".includes(sign)) {
        pen.fillStyle = color("bad");
        pen.fillRect(where - 0.6, y + row - 1 - tall, 1.2, tall);
      } else if (sign === "s") {
        pen.fillStyle = color("ink");
        pen.fillRect(where - 0.8, y + 1, 1.6, row - 2);
      } else {
        pen.fillStyle = color("dim");
        pen.fillRect(where - 0.5, y + row * 0.36, 1, Math.max(2, row * 0.28));
      }
    }
  }

  labels(pen, rows, head, claims, row, faults) {
    pen.textAlign = "left";
    pen.fillStyle = color("dim");
    pen.fillText(`faults ${faults.shown.length || ""}`, 2, 10);
    pen.fillText("claims", 2, head + 9);
    const every = row < 10 ? 10 : 1;
    rows.forEach((id, number) => {
      if (number % every) return;
      const state = this.app.store.get(`node/${id}`).state;
      pen.fillStyle = this.app.selected === id ? color("accent")
        : state === "Dead" ? color("bad") : color("ink");
      const text = id.length > 12 ? `${id.slice(0, 11)}…` : id;
      pen.fillText(state === "Dead" ? `✗ ${text}` : text, 2, claims + number * row + row / 2);
    });
  }

  pointed(event, share) {
    if (!event || !this.geometry) return tell(null);
    const { head, claims, row, rows, lane, faults } = this.geometry;
    const y = event.clientY - this.canvas.getBoundingClientRect().top;
    const [from, to] = this.span.get();
    const at = from + (to - from) * share;
    const near = (to - from) / 150;
    const lines = [moment(at)];
    if (y < head) {
      for (const { fault, start, end, place } of faults.shown) {
        if (at < start - near || at > end + near || Math.floor((y - 5) / lane) !== place) continue;
        lines.push(`${fault.name} ${fault.told} on ${fault.targets.join(", ")}: ` +
          `${fault.verdict?.is ?? "going on"}; noticed by ${fault.noticed.length}`);
      }
    } else if (y < claims) {
      for (const claim of this.app.store.all("claim").values()) {
        const judged = claim.verdict ? claim.started + claim.took : this.app.store.now();
        if (Math.abs(judged - at) < near) lines.push(`${claim.verdict?.is ?? "open"}: ${claim.text}`);
      }
    } else {
      const id = rows[Math.floor((y - claims) / row)];
      if (!id) return tell(null);
      lines[0] += ` ${id}`;
      for (const [when, node, sign, peer, state] of this.marks(from, to)) {
        if (node === id && Math.abs(when - at) < near && lines.length < 12) {
          lines.push(`${moment(when)} ${SIGNS[sign]} ${[peer, state].filter(Boolean).join(" ")}`);
        }
      }
    }
    tell(event, lines.slice(0, 12).join("\n"));
  }

  clicked(event, share) {
    if (!this.geometry) return;
    const { claims, row, rows } = this.geometry;
    const y = event.clientY - this.canvas.getBoundingClientRect().top;
    const [from, to] = this.span.get();
    const id = rows[Math.floor((y - claims) / row)];
    if (id) this.app.select(id, from + (to - from) * share);
  }

  /** The same as text. */
  faults() {
    const faults = [...this.app.store.all("fault")].sort((a, b) => a[1].planned - b[1].planned);
    this.list.replaceChildren(el("section", { class: "card" },
      el("header", {}, el("h2", {}, "Faults"), el("span", { class: "dim" }, String(faults.length))),
      faults.length ? faultTable(faults.slice(-500), this.app)
        : el("p", { class: "empty" }, "No fault was injected.")));
  }
}

export function faultTable(faults, app) {
  return el("div", { class: "scroll" }, el("table", { class: "faults" }, el("tr", {},
    ...["at", "fault", "on", "verdict", "acted", "noticed", "undone", "healed"].map((name) =>
      el("th", {}, name))),
    ...faults.map(([id, fault]) => {
      const after = (at) => (at === null || at === undefined ? "–"
        : `+${((at - fault.planned) / 1000).toFixed(0)} ms`);
      const last = (list) => (list.length ? `${list.length}, ${after(Math.max(...list.map((one) => one[0])))}` : "–");
      const is = fault.verdict?.is ?? "open";
      return el("tr", { class: "go", "data-fault": id, "data-verdict": is,
        onclick: () => app.select(fault.targets[0], fault.acted ?? fault.planned) },
      el("td", { class: "num" }, moment(fault.planned)),
      el("td", {}, `${fault.name} `, el("span", { class: "dim" }, fault.told),
        fault.manual ? el("span", { class: "tag hand" }, "by hand") : null),
      el("td", {}, fault.targets.slice(0, 6).join(", ") + (fault.targets.length > 6 ? " …" : "")),
      el("td", { title: fault.verdict?.because }, el("span", { class: `v ${is}` },
        `${{ passed: "✓", failed: "✗", broken: "!", skipped: "–", open: "○" }[is] ?? "?"} ${is}`)),
      el("td", { class: "num", title: fault.witness }, after(fault.acted)),
      el("td", { class: "num" }, last(fault.noticed)),
      el("td", { class: "num", title: fault.how }, after(fault.undone)),
      el("td", { class: "num" }, last(fault.healed)));
    })));
}
