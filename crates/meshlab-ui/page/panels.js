// Claims with their evidence, boot, latency, spans, profiles, the report, two runs beside each other.

import { looks } from "./charts.js";
import { ask, bytes, el, moment, natural, soon, svg, took, word } from "./dom.js";
import { faultTable } from "./timeline.js";

const RANK = { failed: 0, broken: 0, inconclusive: 1, skipped: 2, open: 3, passed: 4 };
const is = (thing) => thing.verdict?.is ?? "open";

export class Claims {
  constructor(root, app, small = false) {
    this.app = app;
    this.small = small;
    this.root = el("div");
    root.append(this.root);
    this.open = new Set();
  }

  update(kinds) {
    if (["all", "claim", "test", "fault", "hand", "warning", "note", "run"].some((kind) => kinds.has(kind))) {
      this.draw();
    }
  }

  draw() {
    const store = this.app.store;
    const claims = [...store.all("claim")];
    const cards = [...store.all("test")].sort((a, b) => a[0] - b[0]).map(([id, test]) => {
      const own = claims.filter(([, claim]) => String(claim.test) === id && !claim.manual);
      return this.card(id, test, own);
    });
    const hand = claims.filter(([, claim]) => claim.manual);
    if (hand.length) cards.push(this.group("By hand: no verdict rests on these", hand));
    if (this.small) {
      const faults = [...store.all("fault")].sort((a, b) => b[1].planned - a[1].planned).slice(0, 8);
      if (faults.length) cards.push(this.section("Faults", el("span", { class: "dim" },
        `${store.all("fault").size}, the newest first`), faultList(faults, this.app)));
    }
    const said = [...store.all("warning").values()].map((one) => ({ ...one, kind: "warning" }))
      .concat([...store.all("note").values()].map((one) => ({ ...one, kind: "note" })),
        [...store.all("hand").values()].map((one) => ({ ...one, kind: "by hand" })))
      .sort((a, b) => b.at - a.at);
    if (said.length) {
      cards.push(this.section("Said", el("span", { class: "dim" }, String(said.length)),
        el("div", {}, ...said.slice(0, this.small ? 8 : 400).map((one) => el("div", {},
          el("span", { class: "num dim" }, `${moment(one.at)} `),
          one.kind !== "note" ? el("span", { class: "tag hand" }, one.kind) : "", ` ${one.text}`)))));
    }
    this.root.replaceChildren(...cards);
  }

  section(title, note, body) {
    return el("section", { class: "card" }, el("header", {}, el("h2", {}, title), note), body);
  }

  card(id, test, claims) {
    const count = {};
    for (const [, claim] of claims) count[is(claim)] = (count[is(claim)] ?? 0) + 1;
    const tally = Object.entries(count).sort((a, b) => RANK[a[0]] - RANK[b[0]])
      .map(([name, number]) => `${number} ${name}`).join(", ");
    const state = test.verdict ? word(test.verdict)
      : el("span", { class: "v open" }, test.started === null ? "○ not reached" : "○ running");
    return this.section(test.title, el("span", {}, state, el("span", { class: "dim" }, ` ${tally}`)),
      el("div", {}, test.verdict?.because ? el("p", { class: "dim" }, test.verdict.because) : null,
        this.rows(claims)));
  }

  group(title, claims) {
    return this.section(title, el("span", { class: "dim" }, String(claims.length)), this.rows(claims));
  }

  rows(claims) {
    const order = claims.sort((a, b) => (this.small ? RANK[is(a[1])] - RANK[is(b[1])] : 0) || a[0] - b[0]);
    const shown = this.small ? order.slice(0, 12) : order.slice(0, 1000);
    const more = order.length - shown.length;
    return el("div", {}, ...shown.map(([id, claim]) => this.row(id, claim)),
      more > 0 ? el("p", { class: "dim" }, `and ${more} more `,
        this.small ? el("button", { onclick: () => this.app.go({ tab: "claims" }) }, "all claims") : "") : null);
  }

  row(id, claim) {
    const key = `claim/${id}`;
    const details = el("details", { class: "row", "data-claim": id, "data-verdict": is(claim),
      open: this.open.has(key),
      ontoggle: (event) => { if (event.target.open) this.open.add(key); else this.open.delete(key); } });
    const progress = !claim.verdict && claim.progress
      ? el("span", { class: "num" }, `${claim.progress[0]} of ${claim.progress[1]}`) : null;
    details.append(el("summary", {}, word(claim.verdict), el("span", { class: "t" },
      el("code", {}, claim.call), ` ${claim.text}`), progress,
      claim.after_hand ? el("span", { class: "tag hand", title: "judged after somebody acted by hand in its test" },
        "after an act") : null,
      el("span", { class: "num dim" }, claim.verdict ? took(claim.took) : moment(claim.started))));
    const inner = el("div", { class: "in" });
    if (claim.verdict?.because) inner.append(el("p", {}, claim.verdict.because));
    inner.append(el("p", { class: "dim" }, `asked at ${moment(claim.started)} by ${claim.source ?? "the run"} `,
      el("button", { onclick: () => this.app.go({ tab: "spans",
        since: String(Math.max(0, claim.started - 1e6)), until: String(claim.started + claim.took + 1e6) }) },
      "spans of that time")));
    if (claim.by_node.length) {
      inner.append(el("p", { class: "num" }, claim.by_node.map(([node, have, need]) =>
        `${node} ${have}${need ? ` of ${need}` : ""}`).join(" · ")));
    }
    inner.append(...claim.notes.map((note) => el("p", {}, note)));
    details.append(inner);
    return details;
  }
}

function faultList(faults, app) {
  return el("div", {}, ...faults.map(([id, fault]) => el("details", { class: "row", "data-fault": id,
    "data-verdict": is(fault) }, el("summary", {}, word(fault.verdict),
    el("span", { class: "t" }, el("code", {}, fault.name), ` ${fault.targets.slice(0, 4).join(", ")} ${fault.told}`),
    fault.manual ? el("span", { class: "tag hand" }, "by hand") : null,
    el("span", { class: "num dim" }, moment(fault.planned))), el("div", { class: "in" },
    ...[fault.verdict?.because, fault.witness && `acted: ${fault.witness}`,
      `noticed by ${fault.noticed.map(([, by]) => by).join(", ") || "nobody so far"}`,
      fault.how && `undone: ${fault.how}`].filter(Boolean).map((text) => el("p", {}, text)),
    el("button", { onclick: () => app.select(fault.targets[0], fault.acted ?? fault.planned) }, "that moment")))));
}

/** How each node came up, step by step, by its own clock. */
export class Boot {
  constructor(root, app) {
    this.app = app;
    this.body = el("div");
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Boot"),
      el("span", { class: "dim" }, "from the start of the program, by each node's own clock")), this.body));
    this.paint = soon(() => this.draw());
  }

  update(kinds) { if (kinds.has("all") || kinds.has("node")) this.paint(); }

  draw() {
    const nodes = [...this.app.store.all("node")].sort((a, b) => natural(a[0], b[0]))
      .filter(([, node]) => Object.keys(node.boot).length);
    if (!nodes.length) { this.body.replaceChildren(el("p", { class: "empty" }, "No node told of its boot yet.")); return; }
    const names = [...new Set(nodes.flatMap(([, node]) => Object.keys(node.boot)))];
    const start = (node) => Math.min(...Object.values(node.boot).map(([at]) => at));
    // What came long after a node was ready, such as a seed dialed again, is no part of its boot.
    const ready = (node) => (node.boot["node.ready"] ? node.boot["node.ready"][0] - start(node) + node.boot["node.ready"][1] : 0);
    const most = Math.max(1e6, ...nodes.map(([, node]) => ready(node))) * 1.4;
    const wide = Math.max(340, this.body.clientWidth || 900);
    const room = wide - 160;
    const row = 22;
    const high = nodes.length * row + 24;
    const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}`, class: "hist", role: "img", "aria-label": "boot" });
    nodes.forEach(([id, node], place) => {
      const y = place * row + 4;
      drawn.append(svg("text", { x: 0, y: y + 12 }, id));
      names.forEach((name, number) => {
        const step = node.boot[name];
        if (!step || step[0] - start(node) > most) return;
        const x = 90 + ((step[0] - start(node)) / most) * room;
        const bar = svg("rect", { x, y: y + (name === "node.ready" ? 13 : 3), height: name === "node.ready" ? 3 : 9,
          width: Math.max(1.5, (step[1] / most) * room), fill: looks(number).color });
        bar.append(svg("title", {}, `${id} ${name}: ${took(step[1] / 1000)}, from ${took((step[0] - start(node)) / 1000)}`));
        drawn.append(bar);
      });
      const life = node.lives.at(-1)?.[4];
      if (life !== null && life !== undefined) drawn.append(svg("text", { x: wide, y: y + 12, class: "dim", "text-anchor": "end" }, took(life)));
    });
    drawn.append(svg("text", { x: 90, y: high - 4, class: "dim" }, "0"),
      svg("text", { x: 90 + room, y: high - 4, "text-anchor": "end", class: "dim" }, took(most / 1000)));
    this.body.replaceChildren(drawn, el("div", { class: "key" }, ...names.map((name, number) => {
      const line = el("b", {}, "■ ");
      line.style.color = looks(number).color;
      return el("span", {}, line, name);
    })));
  }
}

/** Round trips: calm and under fault apart. */
export class Latency {
  constructor(root, app) {
    this.app = app;
    this.body = el("div");
    root.append(this.body);
  }

  update(kinds) {
    if (!kinds.has("all") && !kinds.has("traffic")) return;
    const all = [...this.app.store.all("traffic")].sort((a, b) => a[1].at - b[1].at);
    if (!all.length) {
      this.body.replaceChildren(el("section", { class: "card" }, el("p", { class: "empty" },
        "No workload was driven to its end yet: traffic.bi_streams, requests or bulk.")));
      return;
    }
    const rows = all.map(([id, one]) => el("tr", { "data-traffic": id }, el("td", { class: "num" }, moment(one.at)),
      el("td", {}, `${one.from} → ${one.to}`), el("td", {}, `${one.kind} × ${one.streams}, ${one.size}`),
      el("td", {}, one.hurt ? "↯ under fault" : "calm"), ...["p50", "p90", "p99", "max"].map((name) =>
        el("td", { class: "n" }, took(one[name]))), el("td", { class: "n" }, String(one.count)),
      el("td", { class: "n" }, String(one.errors))));
    this.body.replaceChildren(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Round trips"),
      el("span", { class: "dim" }, "share of round trips that took at most so long")),
    this.curves(all), el("div", { class: "key" }, ...[["──", "calm"], ["┄┄", "under fault"]].map(([sign, text]) =>
      el("span", {}, el("b", {}, sign), ` ${text}`)))), el("section", { class: "card" }, el("div", { class: "scroll" }, el("table", {}, el("tr", {},
      ...["at", "who", "what", "", "p50", "p90", "p99", "max", "count", "errors"].map((name, place) =>
        el("th", { class: place > 3 ? "n" : null }, name))), ...rows))));
  }

  curves(all) {
    const most = Math.max(...all.map(([, one]) => one.max ?? 0), 10);
    const least = Math.max(1, Math.min(...all.flatMap(([, one]) => (one.curve ?? []).slice(0, 1).map(([at]) => at)), most / 2));
    const x = (micros) => 50 + (Math.log(Math.max(micros, least) / least) / Math.log(most / least)) * 830;
    // By nines: what is rare has room.
    const y = (share) => 200 - Math.min(1, -Math.log10(Math.max(1e-4, 1 - Math.min(share > 1 ? share / 100 : share, 1))) / 4) * 180;
    const drawn = svg("svg", { viewBox: "0 0 900 230", class: "hist", role: "img", "aria-label": "latency" });
    for (const [share, text] of [[0, "0"], [0.5, "50 %"], [0.9, "90 %"], [0.99, "99 %"], [0.999, "99.9 %"]]) {
      drawn.append(svg("line", { x1: 50, x2: 880, y1: y(share), y2: y(share), stroke: "currentColor", "stroke-opacity": 0.12 }),
        svg("text", { x: 44, y: y(share) + 4, "text-anchor": "end", class: "dim" }, text));
    }
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const value = least * (most / least) ** part;
      drawn.append(svg("text", { x: x(value), y: 222, "text-anchor": "middle", class: "dim" }, took(value)));
    }
    for (const [, one] of all) {
      if (!one.curve) continue;
      const points = one.curve.map(([at, share]) => `${x(at).toFixed(1)},${y(share).toFixed(1)}`);
      drawn.append(svg("polyline", { points: points.join(" "), fill: "none", "stroke-width": 1.6,
        stroke: one.hurt ? "var(--fault)" : "var(--calm)", "stroke-dasharray": one.hurt ? "5 3" : null },
      svg("title", {}, `${one.from} → ${one.to} ${one.kind}${one.hurt ? ", under fault" : ", calm"}`)));
    }
    return drawn;
  }
}

/** Spans, by the words of `meshlab spans`, and the log of a node. */
export class Spans {
  constructor(root, app) {
    this.app = app;
    const field = (name, hint, wide) => el("input", { name, placeholder: hint, "aria-label": hint,
      class: wide ? "wide" : null, list: name === "name" ? "span-names" : null });
    this.form = el("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); this.find(); } },
      field("name", "name: peer.connected"), field("node", "node-1"),
      field("where", "state=Dead other=value", true), field("since", "since: 90 (s)"), field("until", "until: 95 (s)"),
      el("button", {}, "Find"), el("datalist", { id: "span-names" }));
    this.lines = el("pre", { class: "lines", id: "spans" });
    this.note = el("span", { class: "dim" });
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Spans"), this.note), this.form, this.lines));
    this.routed(app.where);
    this.names();
  }

  update() {}

  async names() {
    try {
      const names = await this.app.store.ask("api/names");
      this.form.querySelector("datalist").replaceChildren(...Object.entries(names).map(([name, count]) =>
        el("option", { value: name }, String(count))));
    } catch (error) { this.note.textContent = error.message; }
  }

  routed(where) {
    const fields = this.form.elements;
    for (const name of ["name", "node", "where"]) fields[name].value = where[name] ?? "";
    for (const name of ["since", "until"]) fields[name].value = where[name] ? (where[name] / 1e6).toFixed(3) : "";
    this.find();
  }

  async find() {
    const fields = this.form.elements;
    const micros = (name) => {
      const seconds = Number.parseFloat(fields[name].value);
      return Number.isFinite(seconds) ? Math.round(seconds * 1e6) : null;
    };
    try {
      const got = await this.app.store.ask("api/spans", { name: fields.name.value.trim() || null,
        node: fields.node.value.trim() || null, since: micros("since"), until: micros("until"),
        where: fields.where.value.split(/\s+/).filter((pair) => pair.includes("=")) });
      this.lines.textContent = got.lines.map(([, line]) => line).join("\n");
      this.note.textContent = got.lines.length ? `${got.lines.length}${got.more ? ", and more: narrow it" : ""}`
        : "no such span";
    } catch (error) { this.note.textContent = error.message; }
  }
}

/** Flamegraphs in place, and what heaps held by subsystem. */
export class Profiles {
  constructor(root, app) {
    this.app = app;
    this.body = el("div");
    this.held = el("div");
    this.frame = el("iframe", { title: "profile", sandbox: "allow-scripts", hidden: true });
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Profiles")), this.body),
      this.frame, this.held);
  }

  update(kinds) {
    if (!kinds.has("all") && !kinds.has("profile") && !kinds.has("heap")) return;
    const profiles = [...this.app.store.all("profile").values()];
    const heaps = [...this.app.store.all("heap").values()];
    const flames = [...profiles.map((one) => [`${one.kind} of ${one.node ?? "all nodes"}`, one.file]),
      ...heaps.map((one) => [`heap of ${one.node}, look ${one.number}`, one.flame])];
    this.body.replaceChildren(flames.length ? el("div", { class: "acts" }, ...flames.map(([text, file]) =>
      el("button", { "aria-pressed": String(file === this.file), onclick: (event) => this.open(file, event.target) }, text)))
      : el("p", { class: "empty" }, "No profile was drawn: meshlab run --profile cpu,heap,spans takes them."));
    this.held.replaceChildren(...(heaps.length ? [this.buckets(heaps)] : []));
  }

  open(file, button) {
    this.file = file;
    for (const one of this.body.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === button));
    this.frame.src = `file?run=${encodeURIComponent(this.app.store.run)}&path=${encodeURIComponent(file)}`;
    this.frame.hidden = false;
  }

  buckets(heaps) {
    const names = [...new Set(heaps.flatMap((heap) => heap.buckets.map(([name]) => name)))];
    const amount = (rows, name) => rows?.find(([one]) => one === name)?.[1] ?? 0;
    const signed = (value) => `${value < 0 ? "−" : "+"}${bytes(Math.abs(value))}`;
    const row = (heap) => [el("tr", { "data-heap": heap.node }, el("td", {}, heap.node), el("td", { class: "num" }, moment(heap.at)),
      el("td", { class: "n" }, bytes(heap.bytes)), ...names.map((name) => el("td", { class: "n" }, bytes(amount(heap.buckets, name))))),
    heap.gained ? el("tr", { class: "dim" }, el("td", {}, "gained since the first look"), el("td"), el("td"),
      ...names.map((name) => el("td", { class: "n" }, signed(amount(heap.gained, name))))) : null].filter(Boolean);
    return el("section", { class: "card" }, el("header", {}, el("h2", {}, "What heaps held"),
      el("span", { class: "dim" }, "allocated and not freed, by subsystem")),
    el("div", { class: "scroll" }, el("table", {}, el("tr", {}, ...["node", "at", "all", ...names].map((name, place) =>
      el("th", { class: place > 1 ? "n" : null }, name))), ...heaps.flatMap(row))),
    ...heaps.map((heap) => el("details", { class: "row" }, el("summary", {}, `${heap.node}, look ${heap.number}: allocation sites`),
      el("table", {}, ...heap.sites.map(([size, part, site]) => el("tr", {}, el("td", { class: "n" }, bytes(size)),
        el("td", {}, part), el("td", {}, el("code", {}, site ?? ""))))))));
  }
}

/** The report as it would be written now, by the code that writes it. */
export class Frame {
  constructor(root, app) {
    const run = encodeURIComponent(app.store.run);
    root.append(el("iframe", { src: `report?run=${run}`, title: "report", sandbox: "allow-scripts allow-popups" }));
  }

  update() {}
}

export class Compare {
  constructor(root, app) {
    this.app = app;
    this.choice = el("select", { "aria-label": "the other run", onchange: () => this.show() },
      el("option", { value: "" }, "with which run?"));
    this.note = el("span", { class: "dim" });
    this.frame = el("iframe", { title: "comparison", sandbox: "allow-scripts", hidden: true });
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Compare"), this.choice, this.note),
      el("p", { class: "dim" }, "This run is the one before, the chosen one the one after, as in meshlab compare.")), this.frame);
    this.load();
  }

  update() {}

  async load() {
    try {
      const { runs } = await ask("api/runs");
      const own = this.app.store.run;
      const same = (run) => run.name.split("/")[0] === own.split("/")[0];
      runs.filter((run) => run.name !== own).sort((a, b) => same(b) - same(a)).forEach((run) =>
        this.choice.append(el("option", { value: run.name }, `${run.name} ${run.verdict?.is ?? ""}`)));
    } catch (error) { this.note.textContent = error.message; }
  }

  async show() {
    this.frame.hidden = true;
    if (!this.choice.value) return;
    const query = new URLSearchParams({ run: this.app.store.run, against: this.choice.value });
    const answer = await fetch(`compare?${query}`);
    if (!answer.ok) { this.note.textContent = await answer.text(); return; }
    this.note.textContent = "";
    this.frame.src = `compare?${query}`;
    this.frame.hidden = false;
  }
}

export { faultTable };
