// The side: what is known of a node, what it said at a moment, and what can be done to it by hand.

import { ask, el, moment, natural } from "./dom.js";
import { facts } from "./topology.js";

const AROUND = 2e6;
const quoted = (text) => JSON.stringify(text);

export class Controls {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.node = null;
    this.faults = null;
    // Whether somebody said that they want to act while the tests run.
    this.interferes = false;
  }

  open(node, at) {
    this.node = node;
    this.at = at;
    this.root.hidden = !node;
    if (!node) { this.root.replaceChildren(); return; }
    this.facts = el("dl", { class: "facts" });
    this.acts = el("div");
    this.said = el("p", { class: "said mono", role: "status" });
    this.then = el("div");
    this.root.replaceChildren(el("header", {}, el("h2", {}, node, " ",
      el("button", { title: "close (Esc)", "aria-label": "close", onclick: () => this.app.select(null) }, "×"))),
    this.facts, this.acts, this.said, this.then);
    this.drawn = null;
    this.update(new Set(["all"]));
    if (at !== null) this.moment();
  }

  update(kinds) {
    const store = this.app.store;
    if (!this.node || !store?.get("run")) return;
    const node = store.get(`node/${this.node}`);
    if (!node) return;
    if (kinds.has("all") || kinds.has("node")) {
      this.facts.replaceChildren(...facts(this.node, node, store.get("run")).flatMap(([name, value]) =>
        [el("dt", {}, name), el("dd", { class: "num" }, value ?? "–")]));
    }
    const mode = `${store.steer} ${store.all("hand").size > 0} ${Boolean(store.get("run").kept)}`;
    if (this.drawn !== mode) { this.drawn = mode; this.controls(); }
  }

  /** The node as Lua names it at the prompt: its place among those of its mesh. */
  lua(id = this.node) {
    const store = this.app.store;
    const mesh = store.get(`node/${id}`).mesh;
    if (store.get(`node/${id}`).role === "relay") return `meshes[${quoted(mesh)}]:relay()`;
    const own = [...store.all("node")].filter(([, node]) => node.mesh === mesh && node.role !== "relay").map(([one]) => one).sort(natural);
    return `meshes[${quoted(mesh)}]:node(${own.indexOf(id) + 1})`;
  }

  async controls() {
    const store = this.app.store;
    const run = store.get("run");
    const saved = store.all("hand").size ? el("button", { id: "save", onclick: () => this.save() }, "Save as scenario") : null;
    if (!store.steer) {
      this.acts.replaceChildren(el("h3", {}, "By hand"), el("p", { class: "dim" },
        run.elsewhere ? "Another process runs it: the page of `meshlab run --ui` there has its controls."
          : run.live ? "The tests are over, and the mesh was not kept: --keep leaves it up after them."
          : "Nothing can be done to a run that is over."), el("div", { class: "acts" }, saved));
      return;
    }
    const tests = !run.kept;
    if (tests && !this.interferes && !store.all("hand").size) {
      this.acts.replaceChildren(el("h3", {}, "By hand"), el("p", { class: "dim" },
        "The scenario has the mesh. What you do to it now is an event of the run, marked as by hand, " +
        "and the run can no longer pass: it would prove nothing about the program alone."),
      el("div", { class: "acts" }, el("button", { "data-act": "interfere",
        onclick: () => { this.interferes = true; this.controls(); } }, "Act all the same")));
      return;
    }
    this.faults ??= await ask("api/faults");
    const polite = [["drain", "drain()"], ["update", "update()"], ["resume", "resume()"]].map(([name, call]) =>
      el("button", { "data-act": name, onclick: () => this.act(`${this.lua()}:${call}`) }, name));
    polite.push(el("button", { "data-act": "kill", title: "another node orders it to shut down",
      onclick: () => this.kill() }, "kill by message"));
    const choice = el("select", { name: "fault", "aria-label": "fault", onchange: () => this.form(choice.value) },
      el("option", { value: "" }, "inject a fault …"), ...this.faults.map((fault) =>
        el("option", { value: fault.name, title: fault.summary }, fault.name)));
    this.fields = el("form", { class: "form", onsubmit: (event) => { event.preventDefault(); this.inject(); } });
    this.acts.replaceChildren(el("h3", {}, tests ? "By hand, while tests run: this run cannot pass"
      : "By hand: marked as such, decides nothing"),
      el("div", { class: "acts" }, ...polite, saved), choice, this.fields);
    this.choice = choice;
  }

  form(name) {
    const fault = this.faults.find((one) => one.name === name);
    if (!fault) { this.fields.replaceChildren(); return; }
    const fields = fault.options.map((option) => {
      const hint = option.default ?? "";
      const input = option.choices.length
        ? el("select", { name: option.name }, ...(option.needed ? [] : [el("option", { value: "" }, hint || "–")]),
          ...option.choices.map((choice) => el("option", { value: choice }, choice)))
        : el("input", { name: option.name, placeholder: hint.replaceAll("\"", "") || option.kind, required: option.needed });
      if (option.name === "hold") { input.value = "5s"; input.required = true; }
      return el("label", {}, option.name, input, el("small", {}, option.text));
    });
    const others = [...this.app.store.all("node").keys()].sort(natural).filter((id) => id !== this.node);
    const second = fault.sides > 1 ? [el("label", {}, "against", el("select", { name: "-against" },
      ...others.map((id) => el("option", { value: id }, id))))] : [];
    this.fields.replaceChildren(el("p", { class: "dim" }, fault.summary), ...second, ...fields,
      el("button", { "data-act": "inject" }, `fault.${name}`));
  }

  inject() {
    const fault = this.faults.find((one) => one.name === this.choice.value);
    const options = [];
    for (const option of fault.options) {
      const value = this.fields.elements[option.name].value.trim();
      if (!value) continue;
      const plain = option.kind === "From" ? this.app.store.get(`node/${value}`) && this.lua(value)
        : /^(integer|number|boolean)$/.test(option.kind) && /^[\w.-]+$/.test(value) ? value : quoted(value);
      options.push(`${option.name} = ${plain || quoted(value)}`);
    }
    const node = this.app.store.get(`node/${this.node}`);
    const whom = { Node: this.lua(), From: `{ ${this.lua()} }`, Mesh: `meshes[${quoted(node.mesh)}]` };
    const targets = fault.targets.map((kind, place) => place === 0 ? whom[kind] ?? this.lua()
      : kind === "From" ? `{ ${this.lua(this.fields.elements["-against"].value)} }`
        : this.lua(this.fields.elements["-against"].value));
    this.act(`fault.${fault.name}(${[...targets, ...(options.length ? [`{ ${options.join(", ")} }`] : [])].join(", ")})`);
  }

  kill() {
    const store = this.app.store;
    const mesh = store.get(`node/${this.node}`).mesh;
    const other = [...store.all("node")].sort((a, b) => natural(a[0], b[0]))
      .find(([id, node]) => id !== this.node && node.alive && node.mesh === mesh);
    if (!other) { this.said.textContent = "no other node is there to order it"; return; }
    this.act(`operator.grant(${this.lua(other[0])}, { may = { "shutdown" }, mesh = ${quoted(mesh)} }) ` +
      `local order = ${this.lua(other[0])}:shutdown(${this.lua()}) print(order.accepted, order.reason)`);
  }

  async act(text) {
    this.said.textContent = `› ${text}\n…`;
    try {
      const answer = await fetch("api/act", { method: "POST", body: JSON.stringify({ text }) });
      const body = await answer.text();
      const got = answer.ok ? JSON.parse(body) : { done: false, said: body };
      this.said.textContent = `› ${text}\n${got.done ? "done" : "not done"}${got.said ? `: ${got.said}` : ""}`;
      this.said.className = `said mono ${got.done ? "passed" : "failed"}`;
    } catch { this.said.textContent = "meshlab does not answer any more"; }
  }

  async save() {
    try {
      const got = await this.app.store.ask("api/saved");
      const link = el("a", { download: "by-hand.lua", href: URL.createObjectURL(new Blob([got.source],
        { type: "text/x-lua" })) }, "by-hand.lua");
      this.then.replaceChildren(el("h3", {}, "Scenario ", link), got.wrong
        ? el("p", { class: "failed" }, `meshlab check: ${got.wrong}`) : el("p", { class: "passed" }, "✓ meshlab check accepts it"),
      el("pre", { class: "lines", id: "saved" }, got.source));
      link.click();
    } catch (error) { this.said.textContent = error.message; }
  }

  /** What was said around a moment: spans and log lines. */
  async moment() {
    const question = { node: this.node, since: Math.max(0, Math.round(this.at - AROUND)), until: Math.round(this.at + AROUND) };
    this.then.replaceChildren(el("h3", {}, `Around ${moment(this.at)}, ± 2 s`), el("p", { class: "dim" }, "reading …"));
    const [spans, log] = await Promise.all(["api/spans", "api/log"].map((path) =>
      this.app.store.ask(path, question).catch((error) => ({ lines: [], error: error.message }))));
    const captures = [...this.app.store.all("fault").values()].filter((fault) => fault.capture &&
      fault.planned < this.at + AROUND && (fault.undone ?? fault.over ?? Infinity) > this.at - AROUND);
    this.then.replaceChildren(el("h3", {}, `Around ${moment(this.at)}, ± 2 s`),
      ...captures.map((fault) => el("p", {}, el("a", { download: "", href:
        `file?run=${encodeURIComponent(this.app.store.run)}&path=${encodeURIComponent(fault.capture)}` },
      `packets of ${fault.name} (pcapng)`))),
      el("h3", {}, `Spans ${spans.lines.length}${spans.more ? "+" : ""}`),
      el("pre", { class: "lines mono" }, spans.error ?? spans.lines.map(([, line]) => line).join("\n")),
      el("h3", {}, `Log ${log.lines.length}`), el("pre", { class: "lines mono" }, log.error ?? log.lines.join("\n")));
  }
}
