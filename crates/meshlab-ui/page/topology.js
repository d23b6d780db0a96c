// Who is there and who is connected to whom: meshes as groups, nodes by state, faults where they act.

import { bytes, el, natural, percent, soon, svg, took } from "./dom.js";

/** Shape and letter of each state: colour says the same again. */
const STATES = {
  Joining: ["diamond", "J"], Alive: ["circle", ""], Degraded: ["triangle", "!"],
  Updating: ["square", "U"], Draining: ["square", "D"], Leaving: ["square", "L"],
  Dead: ["cross", "✗"], Ended: ["dot", "–"],
};

const path = {
  circle: (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  diamond: (r) => `M0 ${-r * 1.15}L${r * 1.15} 0L0 ${r * 1.15}L${-r * 1.15} 0Z`,
  triangle: (r) => `M0 ${-r * 1.2}L${r * 1.1} ${r * 0.8}L${-r * 1.1} ${r * 0.8}Z`,
  square: (r) => `M${-r * 0.88} ${-r * 0.88}h${r * 1.76}v${r * 1.76}h${-r * 1.76}Z`,
  cross: (r) => `M${-r} ${-r * 0.42}L${-r * 0.42} ${-r}H${r * 0.42}L${r} ${-r * 0.42}V${r * 0.42}` +
    `L${r * 0.42} ${r}H${-r * 0.42}L${-r} ${r * 0.42}Z`,
  dot: (r) => `M${-r * 0.6} 0a${r * 0.6} ${r * 0.6} 0 1 0 ${r * 1.2} 0a${r * 0.6} ${r * 0.6} 0 1 0 ` +
    `${-r * 1.2} 0Z`,
};

/** Whether a fault acts now. */
export function acts(fault) {
  return fault.acted !== null && fault.undone === null && fault.verdict === null;
}

export class Topology {
  constructor(root, app) {
    this.app = app;
    this.svg = svg("svg", { class: "topo", role: "group", "aria-label": "topology" });
    this.count = el("span", { class: "dim", id: "edges" });
    this.key = el("div", { class: "key" });
    root.append(el("section", { class: "card" }, el("header", {}, el("h2", {}, "Topology"),
      this.count), this.svg, this.key));
    this.key.append(...[["○", "alive (a number: so many take it for dead)"], ["◇", "joining"], ["△ !", "degraded"],
      ["□ U D L", "updating, draining, leaving"], ["✗", "dead"], ["─", "connection, by both"],
      ["┄", "by one"], ["╌", "relayed, or fault where it acts"]].map(([sign, text]) =>
      el("span", {}, el("b", {}, sign), ` ${text}`)));
    this.paint = soon(() => this.draw());
  }

  update(kinds) {
    if (["all", "node", "fault", "run"].some((kind) => kinds.has(kind))) this.paint();
  }

  show() { this.paint(); }

  /** Where each node stands: on a ring for each mesh, as people count them. */
  layout(nodes) {
    const meshes = new Map();
    for (const [id, node] of nodes) {
      if (!meshes.has(node.mesh)) meshes.set(node.mesh, []);
      meshes.get(node.mesh).push(id);
    }
    const groups = [];
    for (const [mesh, ids] of [...meshes].sort((a, b) => natural(a[0], b[0]))) {
      ids.sort(natural);
      const r = ids.length > 60 ? 7 : ids.length > 24 ? 10 : 13;
      const gap = ids.length > 60 ? 21 : ids.length > 24 ? 40 : 62;
      groups.push({ mesh, ids, r, ring: Math.max(70, (ids.length * gap) / (2 * Math.PI)) });
    }
    const places = new Map();
    let [x, y, high, wide] = [0, 0, 0, 0];
    const columns = Math.ceil(Math.sqrt(groups.length));
    groups.forEach((group, place) => {
      const size = 2 * group.ring + 110;
      if (place && place % columns === 0) { x = 0; y += high + 14; high = 0; }
      Object.assign(group, { x, y, size });
      group.ids.forEach((id, turn) => {
        const angle = (turn / group.ids.length) * 2 * Math.PI - Math.PI / 2;
        places.set(id, { x: x + size / 2 + group.ring * Math.cos(angle),
          y: y + size / 2 + 6 + group.ring * Math.sin(angle), r: group.r, angle });
      });
      x += size + 14;
      wide = Math.max(wide, x - 14);
      high = Math.max(high, size);
    });
    return { groups, places, wide: Math.max(wide, 100), high: y + high };
  }

  draw() {
    const store = this.app.store;
    if (!store) return;
    const nodes = [...store.all("node")];
    if (!nodes.length) {
      this.svg.setAttribute("viewBox", "0 0 400 90");
      this.svg.replaceChildren(svg("text", { x: 200, y: 48, "text-anchor": "middle", class: "dim" },
        "no node has been started yet"));
      return;
    }
    const { groups, places, wide, high } = this.layout(nodes);
    this.svg.setAttribute("viewBox", `0 0 ${wide} ${high + 4}`);
    // A small mesh stays small.
    this.svg.style.maxWidth = `${Math.round(wide * 1.5)}px`;
    const parts = groups.map((group) => svg("g", {}, svg("rect", { class: "mesh", x: group.x + 1,
      y: group.y + 1, width: group.size - 2, height: group.size - 2, rx: 12 }),
      svg("text", { x: group.x + 14, y: group.y + 21, "font-weight": 600 },
        `${group.mesh}`, svg("tspan", { class: "dim", dx: 8 }, this.live(group.ids)))));
    parts.push(...this.edges(nodes, places), ...this.faults(places));
    for (const [id, node] of nodes) parts.push(this.node(id, node, places.get(id)));
    this.svg.replaceChildren(...parts);
  }

  live(ids) {
    const alive = ids.filter((id) => this.app.store.get(`node/${id}`)?.alive).length;
    return `${alive} of ${ids.length} run`;
  }

  edges(nodes, places) {
    const edges = new Map();
    const note = (from, to, what) => {
      if (!places.has(to) || !places.has(from)) return;
      const pair = [from, to].sort(natural);
      const key = pair.join("\n");
      const edge = edges.get(key) ?? { pair, ends: 0, relay: false, across: false };
      if (what === "relay") edge.relay = true; else edge.ends += 1;
      if (what === "across") edge.across = true;
      edges.set(key, edge);
    };
    for (const [id, node] of nodes) {
      if (!node.alive) continue;
      node.neighbors.forEach((peer) => note(id, peer, "view"));
      node.across.forEach((peer) => note(id, peer, "across"));
    }
    for (const [id, node] of nodes) {
      if (node.alive) node.relayed.forEach((peer) => note(id, peer, "relay"));
    }
    const drawn = [...edges.values()].filter((edge) => edge.ends || edge.relay);
    this.count.textContent = `${drawn.length} connections`;
    this.count.dataset.count = drawn.length;
    const chosen = this.app.selected;
    return drawn.map((edge) => {
      const [a, b] = edge.pair.map((id) => places.get(id));
      const kind = [edge.ends < 2 && !edge.across ? "one" : "", edge.relay ? "relay" : "",
        edge.across ? "across" : "", edge.pair.includes(chosen) ? "hot" : ""].join(" ");
      // Curved a little towards the middle, so that neighbours on the ring stay apart.
      const [mx, my] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
      const bend = 0.1;
      return svg("path", { class: `edge ${kind}`, fill: "none", "data-edge": edge.pair.join(" "),
        d: `M${a.x} ${a.y}Q${mx - (b.y - a.y) * bend} ${my + (b.x - a.x) * bend} ${b.x} ${b.y}` },
        svg("title", {}, `${edge.pair.join(" and ")}${edge.relay ? ", by the relay" : ""}` +
          `${edge.ends < 2 && !edge.across ? ", as one of them says" : ""}`));
    });
  }

  faults(places) {
    const parts = [];
    for (const [id, fault] of this.app.store.all("fault")) {
      if (!acts(fault)) continue;
      const split = fault.targets.length - fault.against;
      const near = fault.targets.slice(0, split);
      const far = fault.targets.slice(split);
      for (const from of near) {
        for (const to of far) {
          const [a, b] = [places.get(from), places.get(to)];
          if (a && b) parts.push(svg("path", { class: "hurt", d: `M${a.x} ${a.y}L${b.x} ${b.y}` }));
        }
      }
      for (const target of fault.targets) {
        const at = places.get(target);
        if (!at) continue;
        parts.push(svg("g", { "data-fault": id }, svg("title", {}, `${fault.name} ${fault.told}`),
          svg("circle", { class: "ring", cx: at.x, cy: at.y, r: at.r + 7 }),
          svg("text", { class: "what", x: at.x, y: at.y - at.r - 10 }, `↯ ${fault.name}`)));
      }
    }
    return parts;
  }

  node(id, node, at) {
    const [shape, glyph] = STATES[node.state] ?? ["circle", "?"];
    const limits = this.app.store.get("run").ceilings;
    const chosen = this.app.selected === id;
    const label = [`${id} ${node.state}`, node.role && `role ${node.role}`,
      `${node.neighbors.length} connections, knows ${node.knows}`,
      `CPU ${percent(node.cpu)}, RSS ${bytes(node.rss)}`,
      node.buried_by ? `taken for dead by ${node.buried_by}` : ""].filter(Boolean).join("\n");
    const group = svg("g", { class: `node ${node.state}${chosen ? " sel" : ""}`, tabindex: 0,
      role: "button", "aria-label": label.replaceAll("\n", ", "), "data-node": id,
      "data-state": node.state, transform: `translate(${at.x} ${at.y})`,
      onclick: () => this.app.select(id),
      onkeydown: (event) => { if (event.key === "Enter") this.app.select(id); } },
      svg("title", {}, label), svg("path", { class: "shape", d: path[shape](at.r) }),
      svg("text", { class: "glyph", y: 3.2 }, glyph || (node.buried_by ? String(node.buried_by) : "")));
    const small = at.r < 10;
    if (!small || chosen) {
      group.append(svg("text", { class: "name", y: at.r + 13 }, id.replace(/^node-/, small ? "" : "node-")));
    }
    if (!small && node.alive) {
      // Against the ceiling where there is one, else against the most that any node uses.
      group.append(this.gauge(-at.r - 4, at.r, node.cpu, limits.cpu ?? this.most("cpu"), limits.cpu),
        this.gauge(at.r + 1.5, at.r, node.rss, limits.rss ?? this.most("rss"), limits.rss));
    }
    return group;
  }

  most(what) {
    let most = 0;
    for (const node of this.app.store.all("node").values()) most = Math.max(most, node[what] ?? 0);
    return most * 1.25;
  }

  gauge(x, r, value, limit, strict) {
    const share = limit && value ? Math.min(1, value / limit) : 0;
    const high = 2 * r;
    const kind = !strict ? "" : share >= 1 ? "over" : share >= 0.8 ? "near" : "";
    return svg("g", {}, svg("rect", { class: "gauge", x, y: -r, width: 2.6, height: high, rx: 1 }),
      svg("rect", { class: `fill ${kind}`, x, y: r - high * share, width: 2.6, height: high * share,
        rx: 1 }));
  }
}

/** Facts of a node, for its side. */
export function facts(id, node, run) {
  const life = node.lives.at(-1) ?? [];
  const of = (value, limit, write) => limit ? `${write(value)} of ${write(limit)}` : write(value);
  const number = (value) => value === null || value === undefined ? "–" : String(Math.round(value));
  return [
    ["state", `${node.state}${node.buried_by ? `, dead to ${node.buried_by}` : ""}`],
    ["name", node.name], ["role", node.role], ["mesh", node.mesh], ["address", node.address],
    ["key", node.key], ["process", `${node.pid ?? "–"}, start ${node.lives.length}`],
    ["ready after", took(life[4])],
    ["CPU", of(node.cpu, run.ceilings.cpu, percent)], ["RSS", of(node.rss, run.ceilings.rss, bytes)],
    ["files, threads", `${number(node.files)}, ${number(node.threads)}`],
    ["connections open", number(node.connections)], ["tasks", number(node.tasks)],
    ["active view", node.neighbors.join(" ") || "–"], ["directory", `${node.knows} nodes`],
    ["lost spans", String(node.lost)],
  ];
}
