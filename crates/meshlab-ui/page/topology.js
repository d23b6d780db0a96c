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
  hexagon: (r) => `M${-r * 1.1} 0L${-r * 0.55} ${-r}H${r * 0.55}L${r * 1.1} 0L${r * 0.55} ${r}H${-r * 0.55}Z`,
  dot: (r) => `M${-r * 0.6} 0a${r * 0.6} ${r * 0.6} 0 1 0 ${r * 1.2} 0a${r * 0.6} ${r * 0.6} 0 1 0 ` +
    `${-r * 1.2} 0Z`,
};

/** From so many nodes on a mesh stands on several rings, and its names are numbers. */
const DENSE = 60;
/** Between two nodes of a dense mesh, and between two of its rings. */
const APART = 37;
const RINGS = 41;

const isRelay = (node) => node.role === "relay";

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
      ["┄", "by one"], ["⬡ R", "relay; ╌ data that goes through it"], ["↯", "fault where it acts"],
      ["?", "whom the chosen node does not know"]].map(([sign, text]) =>
      el("span", {}, el("b", {}, sign), ` ${text}`)));
    this.paint = soon(() => this.draw());
  }

  update(kinds) {
    if (["all", "node", "fault", "run"].some((kind) => kinds.has(kind))) this.paint();
  }

  show() { this.paint(); }

  /** Where each node stands: on rings for each mesh, as people count them; relays in the middle. */
  layout(nodes) {
    const meshes = new Map();
    for (const [id, node] of nodes) {
      if (!meshes.has(node.mesh)) meshes.set(node.mesh, { ids: [], relays: [] });
      meshes.get(node.mesh)[isRelay(node) ? "relays" : "ids"].push(id);
    }
    const groups = [...meshes].sort((a, b) => natural(a[0], b[0])).map(([mesh, { ids, relays }]) => {
      ids.sort(natural);
      relays.sort(natural);
      const dense = ids.length > DENSE;
      const gap = ids.length > 24 ? 40 : 62;
      const rings = dense ? denseRings(ids.length)
        : [{ radius: Math.max(70, (ids.length * gap) / (2 * Math.PI)), count: ids.length }];
      return { mesh, ids, relays, rings, dense, r: ids.length > 24 ? 10 : 13, ring: rings.at(-1).radius };
    });
    const places = new Map();
    let [x, y, high, wide] = [0, 0, 0, 0];
    const columns = Math.ceil(Math.sqrt(groups.length));
    groups.forEach((group, place) => {
      const size = 2 * group.ring + 110;
      if (place && place % columns === 0) { x = 0; y += high + 14; high = 0; }
      Object.assign(group, { x, y, size });
      const [middle, center] = [x + size / 2, y + size / 2 + 6];
      let next = 0;
      for (const { radius, count } of group.rings) {
        group.ids.slice(next, next + count).forEach((id, turn) => {
          const angle = (turn / count) * 2 * Math.PI - Math.PI / 2;
          places.set(id, { x: middle + radius * Math.cos(angle), y: center + radius * Math.sin(angle),
            r: group.r, dense: group.dense });
        });
        next += count;
      }
      group.relays.forEach((id, turn) => places.set(id, { y: center, r: group.r, dense: group.dense,
        x: middle + (turn - (group.relays.length - 1) / 2) * 44 }));
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
    const chosen = store.get(`node/${this.app.selected}`);
    const unknown = new Set(chosen?.missing ?? []);
    const faults = this.faults(places);
    parts.push(...this.edges(nodes, places), ...this.relayed(nodes, places), ...faults.lines);
    for (const [id, node] of nodes) parts.push(this.node(id, node, places.get(id), unknown.has(id)));
    // Above all else: what a fault is called is not to be under a node.
    parts.push(...faults.names);
    this.svg.replaceChildren(...parts);
    this.drawn = (this.drawn ?? 0) + 1;
  }

  /** Data that goes through a relay, as the last `path.changed` of either end says: by way of it. */
  relayed(nodes, places) {
    const relays = nodes.filter(([, node]) => isRelay(node));
    const pairs = new Map();
    for (const [id, node] of nodes) {
      if (!node.alive) continue;
      for (const peer of node.relayed) {
        if (this.app.store.get(`node/${peer}`)?.alive) pairs.set([id, peer].sort(natural).join(" "), node.mesh);
      }
    }
    return [...pairs].map(([pair, mesh]) => {
      const [from, to] = pair.split(" ");
      const [a, b] = [places.get(from), places.get(to)];
      const relay = (relays.find(([, one]) => one.mesh === mesh && one.alive)
        ?? relays.find(([, one]) => one.alive))?.[0];
      const r = places.get(relay);
      return svg("path", { class: "edge relay", fill: "none", "data-relay": pair,
        d: r ? `M${a.x} ${a.y}L${r.x} ${r.y}L${b.x} ${b.y}` : `M${a.x} ${a.y}L${b.x} ${b.y}` },
      svg("title", {}, `${from} and ${to}, through ${relay ?? "a relay"}`));
    });
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
      const edge = edges.get(key) ?? { pair, ends: 0, across: false };
      edge.ends += 1;
      if (what === "across") edge.across = true;
      edges.set(key, edge);
    };
    for (const [id, node] of nodes) {
      if (!node.alive) continue;
      node.neighbors.forEach((peer) => note(id, peer, "view"));
      node.across.forEach((peer) => note(id, peer, "across"));
    }
    const drawn = [...edges.values()];
    const hurt = [...this.app.store.all("fault").values()].filter(acts);
    this.count.textContent = [`${drawn.length} connections`, ...hurt.slice(0, 6).map((fault) =>
      `↯ ${fault.name} on ${fault.targets.length}`), hurt.length > 6 ? "…" : ""].filter(Boolean).join(" · ");
    this.count.dataset.count = drawn.length;
    const chosen = this.app.selected;
    return drawn.map((edge) => {
      const [a, b] = edge.pair.map((id) => places.get(id));
      const kind = [a.dense ? "dense" : "", edge.ends < 2 && !edge.across ? "one" : "",
        edge.across ? "across" : "", edge.pair.includes(chosen) ? "hot" : ""].join(" ");
      // Curved a little towards the middle, so that neighbours on the ring stay apart.
      const [mx, my] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
      const bend = 0.1;
      return svg("path", { class: `edge ${kind}`, fill: "none", "data-edge": edge.pair.join(" "),
        d: `M${a.x} ${a.y}Q${mx - (b.y - a.y) * bend} ${my + (b.x - a.x) * bend} ${b.x} ${b.y}` },
        svg("title", {}, edge.pair.join(" and ") +
          `${edge.ends < 2 && !edge.across ? ", as one of them says" : ""}`));
    });
  }

  faults(places) {
    const [lines, names] = [[], []];
    const labels = new Map();
    for (const [id, fault] of this.app.store.all("fault")) {
      if (!acts(fault)) continue;
      const split = fault.targets.length - fault.against;
      const near = fault.targets.slice(0, split);
      const far = fault.targets.slice(split);
      for (const from of near) {
        for (const to of far) {
          const [a, b] = [places.get(from), places.get(to)];
          if (a && b) lines.push(svg("path", { class: "hurt", d: `M${a.x} ${a.y}L${b.x} ${b.y}` }));
        }
      }
      fault.targets.forEach((target) => {
        const at = places.get(target);
        if (!at) return;
        // Two faults of one node stand above each other. In a dense mesh a name would stand upon
        // others: there the line above says which act.
        const above = labels.get(target) ?? 0;
        labels.set(target, above + 1);
        const text = at.dense ? "↯" : `↯ ${fault.name}`;
        names.push(svg("g", { class: "acts-here", "data-fault": id },
          svg("circle", { class: "ring", cx: at.x, cy: at.y, r: at.r + 7 + 3 * above }),
          svg("text", { class: "what", x: at.x, y: at.y - at.r - 10 - 11 * above }, text)));
      });
    }
    return { lines, names };
  }

  node(id, node, at, unknown) {
    const [shape, glyph] = isRelay(node) && node.alive ? ["hexagon", "R"]
      : STATES[node.state] ?? ["circle", "?"];
    const limits = this.app.store.get("run").ceilings;
    const chosen = this.app.selected === id;
    const hurt = [...this.app.store.all("fault").values()].filter((fault) => acts(fault) &&
      fault.targets.includes(id)).map((fault) => `↯ ${fault.name} ${fault.told}`);
    const label = [`${id} ${node.state}`, ...hurt, node.role && `role ${node.role}`,
      isRelay(node) ? "" : `${node.neighbors.length} connections, knows ${node.knows}`,
      node.missing.length ? `does not know ${node.missing.join(" ")}` : "",
      `CPU ${percent(node.cpu)}, RSS ${bytes(node.rss)}`,
      node.buried_by ? `taken for dead by ${node.buried_by}` : ""].filter(Boolean).join("\n");
    const group = svg("g", { class: `node ${isRelay(node) && node.alive ? "Relay" : node.state}${chosen ? " sel" : ""}`, tabindex: 0,
      role: "button", "aria-label": label.replaceAll("\n", ", "), "data-node": id,
      "data-state": node.state, transform: `translate(${at.x} ${at.y})`,
      onclick: () => this.app.select(id),
      onkeydown: (event) => { if (event.key === "Enter") this.app.select(id); } },
      svg("title", {}, label), svg("path", { class: "shape", d: path[shape](at.r) }),
      svg("text", { class: "glyph", y: 3.2 }, glyph || (node.buried_by ? String(node.buried_by) : "")));
    const name = at.dense && !chosen ? id.replace(/^node-/, "") : id;
    group.append(svg("text", { class: at.dense ? "name few" : "name", y: at.r + (at.dense ? 9 : 13) }, name));
    if (unknown) group.append(svg("text", { class: "unknown", x: at.r + 3, y: -at.r + 3 }, "?"));
    if (node.alive) {
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

/** Rings for so many nodes, from the inside: none that is not needed, the outermost evenly filled. */
export function denseRings(count) {
  const rings = [];
  for (let radius = 60; count > 0; radius += RINGS) {
    const holds = Math.min(count, Math.floor((2 * Math.PI * radius) / APART));
    rings.push({ radius, count: holds });
    count -= holds;
  }
  return rings;
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
    ["does not know", node.missing.join(" ") || null],
    ["through a relay", node.relayed.join(" ") || null],
    ["lost spans", String(node.lost)],
  ].filter(([, value]) => value !== null);
}
