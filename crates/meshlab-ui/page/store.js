// What is known of the run: things by their keys, as the server sends them. It pushes; nothing here
// asks again and again. A page that is hidden lets go, and takes up where it was when it is seen.

import { ask } from "./dom.js";

const LAGS_MAX = 50000;

/** When the newest of a thing happened, in microseconds of the run; `null` where it has no moment. */
function moment_of(kind, value) {
  if (kind === "claim") return value.verdict ? value.started + value.took : value.started;
  if (kind === "note" || kind === "warning" || kind === "hand") return value.at;
  if (kind === "mark") return value[0];
  if (kind !== "fault") return null;
  return Math.max(value.planned, value.acted ?? 0, value.undone ?? 0, value.over ?? 0,
    ...value.noticed.map(([at]) => at), ...value.healed.map(([at]) => at));
}

export class Store {
  constructor(run, told) {
    this.run = run;
    this.told = told;
    this.epoch = 0;
    this.at = 0;
    this.things = new Map();
    this.kinds = new Map();
    this.steer = false;
    this.state = "connecting";
    this.note = "";
    this.wait = 250;
    this.closed = false;
    this.lags = [];
    this.moments = new Map();
    this.messages = 0;
    this.seen = () => { if (document.hidden) this.drop("asleep"); else this.open(); };
    document.addEventListener("visibilitychange", this.seen);
    this.open();
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.seen);
    this.drop("closed");
  }

  drop(state) {
    this.state = state;
    clearTimeout(this.retry);
    if (this.socket) { this.socket.onclose = null; this.socket.close(); this.socket = null; }
  }

  open() {
    if (this.closed || this.socket || document.hidden) return;
    const at = new URL("live", document.baseURI);
    at.protocol = "ws:";
    at.hash = "";
    const socket = new WebSocket(at);
    this.socket = socket;
    socket.onopen = () => {
      this.wait = 250;
      socket.send(JSON.stringify({ run: this.run, epoch: this.epoch, at: this.at }));
    };
    socket.onmessage = (message) => this.take(JSON.parse(message.data));
    socket.onclose = () => {
      this.socket = null;
      if (this.closed || this.state === "gone") return;
      this.state = this.get("run")?.over ? "over" : "cut";
      this.told(new Set());
      if (this.state === "over") return;
      // The one timer of the page: to come back after the connection was cut.
      this.retry = setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(this.wait * 2, 15000);
    };
  }

  take(message) {
    if (message.gone) {
      this.state = "gone";
      this.note = message.gone;
      this.told(new Set());
      return;
    }
    this.messages += 1;
    if (message.whole) { this.things.clear(); this.kinds.clear(); this.moments.clear(); }
    this.epoch = message.epoch;
    this.at = message.at;
    this.steer = message.steer;
    this.state = "live";
    this.note = message.behind
      ? `this page was ${(message.behind.ms / 1000).toFixed(1)} s behind: ${message.behind.skipped} ` +
        "changes were skipped, what it shows is the newest"
      : "";
    const kinds = new Set(message.whole ? ["all"] : []);
    for (const [key, value] of Object.entries(message.set)) {
      const kind = key.slice(0, key.indexOf("/") >>> 0);
      kinds.add(kind);
      if (!this.kinds.has(kind)) this.kinds.set(kind, new Map());
      const id = key.slice(kind.length + 1);
      if (value === null) { this.things.delete(key); this.kinds.get(kind).delete(id); continue; }
      this.things.set(key, value);
      this.kinds.get(kind).set(id, value);
      if (!message.whole) this.lag(key, kind, value);
    }
    this.told(kinds);
  }

  /**
   * How long something took from the run's record to the picture, in milliseconds: each moment of
   * each thing once, until the frame after the one in which it was taken in has been drawn.
   */
  lag(key, kind, value) {
    const run = this.get("run");
    const happened = moment_of(kind, value);
    if (happened === null || !run?.live || this.moments.get(key) === happened) return;
    const first = !this.moments.has(key);
    this.moments.set(key, happened);
    // A claim that is asked again how far it is says nothing of when.
    if (kind === "claim" && !first && !value.verdict) return;
    const at = run.started_unix_ms + happened / 1000;
    const seen = () => { if (this.lags.length < LAGS_MAX) this.lags.push(Date.now() - at); };
    // Some parts draw in the next frame; a task comes after all that is drawn in one.
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(seen)));
  }

  get(key) { return this.things.get(key); }

  /** All of a kind: `[id, value]`. */
  all(kind) { return this.kinds.get(kind) ?? new Map(); }

  ask(path, question = {}) { return ask(path, { run: this.run, ...question }); }

  /** How far the run is, in microseconds. */
  now() {
    const run = this.get("run");
    if (!run) return 0;
    if (run.over) return run.last;
    return Math.max(run.last, (Date.now() - run.started_unix_ms) * 1000);
  }
}
