// Where the lines of charts go, in pixels: nothing here draws.

/** A line is so thick, in pixels. */
export const THICK = 1.3;

/** The stretches of a line with these dashes that are drawn between two places, in pixels. */
export function dashes(dash, from, to) {
  if (to <= from) return [];
  const round = dash.reduce((sum, part) => sum + part, 0);
  if (!round) return [[from, to]];
  const drawn = [];
  for (let at = Math.floor(from / round) * round, part = 0; at < to; part = (part + 1) % dash.length) {
    const end = at + dash[part];
    if (part % 2 === 0 && end > from) drawn.push([Math.max(at, from), Math.min(end, to)]);
    at = end;
  }
  return drawn;
}

/** The corners of a line that is level until the value changes: `[at, value]`, never slanted. */
export function corners_of({ until, points }) {
  const corners = [];
  let held = null;
  for (const [at, low, high, last = high] of points) {
    if (held !== null) corners.push([at, held]);
    if (low !== high) corners.push([at, low], [at, high]);
    corners.push([at, last]);
    held = last;
  }
  if (held !== null && until > points.at(-1)[0]) corners.push([until, held]);
  return corners;
}

/**
 * The points of each curve, `[at, least, greatest]` and where a value holds the last too. They come
 * as one row of numbers for each: the place of a part of the stretch, and its values.
 */
export function points_of({ from, step, each, curves }) {
  const one = (row) => {
    const points = new Array(row.length / each);
    for (let part = 0; part < points.length; part += 1) {
      const point = row.slice(part * each, (part + 1) * each);
      point[0] = Math.round((from + point[0] * step) * 1e3) / 1e3;
      points[part] = point;
    }
    return points;
  };
  return Object.fromEntries(Object.entries(curves).map(([name, row]) => [name, one(row)]));
}

/** The points from one time to another, in seconds, and the one on either side of them. */
export function beside(points, from, to) {
  const first = points.findIndex(([at]) => at >= from);
  if (first < 0) return points.slice(-1);
  const after = points.findIndex(([at]) => at > to);
  return points.slice(Math.max(0, first - 1), after < 0 ? points.length : after + 1);
}

/**
 * A line, `{ x, y, begins }` each, cut off where the picture ends: of a dashed one a browser works out
 * all dashes, however far outside they are.
 */
export function cut_off(line, left, right) {
  const between = (a, b, x) => ({ x, y: a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x), begins: a.begins });
  while (line.length > 1 && (line[1].x <= left || (line[0].x < left && line[1].begins))) line.shift();
  if (line.length > 1 && line[0].x < left) line[0] = between(line[0], line[1], left);
  while (line.length > 1 && (line.at(-2).x >= right || (line.at(-1).x > right && line.at(-1).begins))) line.pop();
  if (line.length) line[0] = { ...line[0], begins: true };
  const [before, last] = line.slice(-2);
  if (last && last.x > right) line[line.length - 1] = { ...between(before, last, right), begins: false };
  return line;
}

/**
 * Upright bars `[left, top, wide, high]` for parts `[micros, x, y of the least, y of the greatest]`:
 * each begins where the one before it ends, and reaches up or down to it, so that a line without
 * dashes has no gap but a hole of the data.
 */
export function bars_of(parts, dash, hole) {
  const bars = [];
  let before = null;
  for (const [micros, where, low, high] of parts) {
    const joined = before !== null && micros - before.micros <= hole;
    const top = (joined ? Math.min(high, before.low) : high) - THICK / 2;
    const foot = (joined ? Math.max(low, before.high) : low) + THICK / 2;
    const left = joined ? Math.min(where, before.where + THICK) : where;
    for (const [from, to] of dashes(dash, left, where + THICK)) bars.push([from, top, to - from, foot - top]);
    before = { micros, where, low, high };
  }
  return bars;
}
