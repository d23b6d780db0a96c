// The page: which run is looked at, which part of it, and who draws what changed.

import { Charts } from "./charts.js";
import { Controls } from "./controls.js";
import { ask, el, moment, soon, word } from "./dom.js";
import { Boot, Claims, Compare, Frame, Latency, Profiles, Spans } from "./panels.js";
import { Store } from "./store.js";
import { Timeline } from "./timeline.js";
import { Topology } from "./topology.js";

const $ = (id) => document.getElementById(id);

/** The overview: who is there, what holds, what happens. */
class Overview {
  constructor(root, app) {
    const left = el("div");
    const right = el("div");
    root.append(el("div", { class: "two" }, left, right));
    const below = el("div");
    root.append(below);
    this.parts = [
      new Topology(left, app), new Claims(right, app, true), new Timeline(below, app, true),
    ];
  }

  update(kinds) { for (const part of this.parts) part.update(kinds); }
  tick() { for (const part of this.parts) part.tick?.(); }
  show(node) { this.parts[0].show?.(node); }
}

const TABS = [
  ["overview", "Overview", Overview], ["timeline", "Timeline", Timeline],
  ["claims", "Claims", Claims], ["charts", "Charts", Charts], ["boot", "Boot", Boot],
  ["latency", "Latency", Latency], ["spans", "Spans", Spans], ["profiles", "Profiles", Profiles],
  ["report", "Report", Frame], ["compare", "Compare", Compare],
];

class App {
  constructor() {
    this.where = {};
    this.store = null;
    this.view = null;
    this.selected = null;
    this.pending = new Set();
    this.draw = soon(() => this.update());
    this.controls = new Controls($("side"), this);
    this.theme(localStorage.getItem("theme"));
    $("theme").addEventListener("click", () => this.toggle());
    $("keys").addEventListener("click", () => this.help());
    window.addEventListener("hashchange", () => this.route());
    document.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.theme(localStorage.getItem("theme")));
    window.addEventListener("resize", soon(() => this.view?.update(new Set(["all"]))));
    this.route();
  }

  theme(chosen) {
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    this.view?.update(new Set(["all"]));
  }

  toggle() {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", next);
    this.theme(next);
  }

  go(change) {
    const where = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of Object.entries(change)) {
      if (value === null) where.delete(name); else where.set(name, value);
    }
    location.hash = where.toString().replaceAll("%2F", "/");
  }

  route() {
    const where = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const before = this.where;
    this.where = where;
    if (where.run !== before.run) {
      this.store?.close();
      this.store = null;
      this.select(null);
      if (where.run) this.store = new Store(where.run, (kinds) => this.told(kinds));
    }
    if (!where.run) return this.list();
    this.tabs();
    const tab = TABS.find(([id]) => id === (where.tab ?? "overview")) ?? TABS[0];
    if (where.run !== before.run || this.tab !== tab[0]) {
      this.tab = tab[0];
      $("main").replaceChildren();
      this.view?.close?.();
      this.view = new tab[2]($("main"), this);
      this.told(new Set(["all"]));
    } else {
      this.view?.routed?.(where);
    }
  }

  told(kinds) {
    for (const kind of kinds) this.pending.add(kind);
    this.draw();
  }

  update() {
    const kinds = this.pending;
    this.pending = new Set();
    this.head();
    if (!this.store) return;
    if (this.store.get("run")) this.view?.update(kinds);
    this.controls.update(kinds);
    if (kinds.has("claim") || kinds.has("all") || kinds.has("fault")) this.tabs();
  }

  head() {
    const store = this.store;
    const run = store?.get("run");
    document.title = run ? `${run.verdict?.is ?? "running"} – ${run.scenario}` : "meshlab";
    const test = [...(store?.all("test").values() ?? [])].find((one) => one.started !== null &&
      one.finished === null);
    $("title").replaceChildren(...(run ? [
      el("b", {}, run.scenario), el("span", { class: "dim" }, ` ${run.name.split("/")[1]} `),
      run.live && test ? el("span", { class: "hide-s" }, ` · ${test.title}`) : "",
      run.kept ? el("span", { class: "tag hand" }, "kept, by hand") : "",
      run.hands ? el("span", {}, " ", el("span", { class: "tag hand", id: "hands", title: run.hands }, run.hands)) : "",
    ] : store ? [el("span", { class: "dim" }, store.run)] : []));
    $("verdict").replaceChildren(...(run ? [run.over ? word(run.verdict)
      : el("span", { class: "v open" }, run.kept ? "○ kept" : "○ running")] : []));
    $("verdict").title = run?.verdict?.because ?? "";
    const states = { live: run?.live ? "live" : "recorded", over: "the run is over: meshlab ui shows it",
      cut: "not connected: comes back by itself", gone: "gone", asleep: "asleep", connecting: "…" };
    const link = $("link");
    link.textContent = store ? states[store.state] ?? store.state : "";
    link.className = store?.state === "live" && !run?.live ? "recorded" : store?.state ?? "";
    link.hidden = !store;
    $("clock").textContent = run ? moment(store.now(), false) : "";
    const alerts = [...(store?.all("alert") ?? [])].map(([id, alert]) =>
      el("div", { class: /^(limit|lost)/.test(id) ? "bad" : "" }, el("b", {}, "▲ alert "),
        el("span", { class: "num" }, moment(alert.at)), ` ${alert.text}`));
    const gaps = (run?.gaps ?? []).map(([from, to]) => el("div", {}, el("b", {}, "▲ gap "),
      `nothing is known between ${moment(from)} and ${moment(to)}: no harness ran`));
    const note = store?.note ? [el("div", { class: store.state === "gone" ? "bad" : "" },
      store.note)] : [];
    const problems = [...(store?.all("problem").values() ?? [])].map((problem) =>
      el("div", { class: "bad" }, el("b", {}, "! problem "), problem.text.split("\n")[0]));
    $("alerts").replaceChildren(...note, ...gaps, ...problems, ...alerts.slice(0, 8),
      ...(alerts.length > 8 ? [el("div", {}, `${alerts.length - 8} more alerts`)] : []));
  }

  tabs() {
    const counts = { claims: this.store?.all("claim").size, timeline: this.store?.all("fault").size,
      latency: this.store?.all("traffic").size, profiles: this.store?.all("profile").size };
    const tabs = TABS.map(([id, title]) => el("button", {
      role: "tab", "aria-selected": String(this.tab === id), "data-tab": id,
      onclick: () => this.go({ tab: id }),
    }, title, counts[id] ? el("span", { class: "count" }, String(counts[id])) : null));
    $("tabs").replaceChildren(...tabs);
  }

  /** Shows a node, or the moment of a node: what is known, and what can be done. */
  select(node, at = null) {
    this.selected = node;
    this.controls.open(node, at);
    this.view?.show?.(node);
  }

  async list() {
    this.tab = null;
    this.view = null;
    $("tabs").replaceChildren();
    this.head();
    $("main").replaceChildren(el("p", { class: "empty" }, "reading results/ …"));
    let all;
    try { all = await ask("api/runs"); } catch (error) {
      $("main").replaceChildren(el("p", { class: "empty" }, error.message));
      return;
    }
    if (this.where.run) return;
    const rows = all.runs.map((run) => el("tr", { class: "go", onclick: () =>
      this.go({ run: run.name }) },
      el("td", {}, run.live ? el("span", { class: "v open" }, "● live")
        : run.verdict ? word(run.verdict) : el("span", { class: "v broken" }, "! no end")),
      el("td", {}, el("a", { href: `#run=${run.name}` }, run.scenario)),
      el("td", { class: "num hide-s" }, run.name.split("/")[1]),
      el("td", { class: "num" }, new Date(run.started_unix_ms).toISOString().slice(0, 16)
        .replace("T", " ")),
      el("td", { class: "dim hide-s" }, run.verdict?.because ?? "")));
    $("main").replaceChildren(el("section", { class: "card" },
      el("header", {}, el("h2", {}, "Runs"),
        el("span", { class: "dim" }, `${all.all} in results/, the newest first`)),
      rows.length ? el("div", { class: "scroll" }, el("table", { id: "runs" }, el("tr", {},
        ...["verdict", "scenario", "run", "started (UTC)", "because"].map((name, place) =>
          el("th", { class: place === 2 || place === 4 ? "hide-s" : null }, name))), ...rows))
        : el("p", { class: "empty" }, "There is no run yet: meshlab run SCENARIO makes one.")));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const number = "1234567890".indexOf(event.key);
    if (number >= 0 && TABS[number] && this.store) this.go({ tab: TABS[number][0] });
    else if (event.key === "t") this.toggle();
    else if (event.key === "?") this.help();
    else if (event.key === "g") location.hash = "";
    else if (event.key === "Escape") this.select(null);
    else if (event.key === "j" || event.key === "k") this.step(event.key === "j" ? 1 : -1);
    else this.view?.key?.(event);
  }

  /** The next node, or the one before. */
  step(by) {
    const ids = [...(this.store?.all("node").keys() ?? [])].sort(
      new Intl.Collator("en", { numeric: true }).compare);
    if (!ids.length) return;
    const place = ids.indexOf(this.selected);
    this.select(ids[(place + by + ids.length + (place < 0 && by < 0 ? 1 : 0)) % ids.length]);
  }

  help() {
    const keys = [["1 … 9, 0", "the parts of the page"], ["j, k", "next node, node before"],
      ["Esc", "close the node"], ["+, −", "zoom in, out (timeline, charts)"],
      ["←, →", "earlier, later"], ["f", "the whole run"], ["t", "light or dark"],
      ["g", "all runs"]];
    $("help").replaceChildren(el("h2", {}, "Keys"), el("table", {}, ...keys.map(([key, what]) =>
      el("tr", {}, el("td", {}, el("kbd", {}, key)), el("td", {}, what)))),
      el("p", { class: "dim" }, "Drag over a chart or the timeline to zoom, double click for all."),
      el("button", { onclick: () => $("help").close() }, "Close"));
    $("help").showModal();
  }
}

window.meshlab = new App();
// The clock and the end of the timeline move while a run goes on and somebody looks.
setInterval(() => {
  const app = window.meshlab;
  if (document.hidden || !app.store?.get("run")?.live) return;
  app.head();
  app.view?.tick?.();
}, 1000);
