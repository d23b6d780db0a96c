// Draws each chart of the page anew, so that it can be looked at closely: drag to zoom, double
// click for all of it, move to read values. Without it the pictures of the page stay as they are.
"use strict";
for (const box of document.querySelectorAll(".zoom")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const series = data.series.map((one) => {
    const at = [], low = [], high = [];
    let place = 0, least = 0;
    for (let i = 0; i + 2 < one.d.length; i += 3) {
      place += one.d[i];
      least += one.d[i + 1];
      at.push((place + 0.5) * data.step);
      low.push(least * data.unit);
      high.push((least + one.d[i + 2]) * data.unit);
    }
    return { name: one.name, color: one.color, at, low, high, shown: true };
  });
  const picture = box.querySelector("svg");
  const canvas = document.createElement("canvas");
  const told = document.createElement("p");
  told.className = "dim";
  const keys = document.createElement("p");
  picture.replaceWith(canvas);
  box.append(keys, told);
  const pen = canvas.getContext("2d");
  const wide = 1200, tall = 320, left = 60, right = 10, top = 10, foot = 30;
  const sharp = window.devicePixelRatio || 1;
  canvas.width = wide * sharp;
  canvas.height = tall * sharp;
  canvas.style.width = "100%";
  canvas.style.maxWidth = wide + "px";
  let from = 0, to = data.end, drag = null, cursor = null;
  const x = (at) => left + ((at - from) / (to - from)) * (wide - left - right);
  const time = (px) => from + ((px - left) / (wide - left - right)) * (to - from);
  const clamp = (at) => Math.min(data.end, Math.max(0, at));
  const gapBetween = (a, b) => data.gaps.some(([f, t]) => a <= (f + t) / 2 && b >= (f + t) / 2);
  const clock = (s) => {
    const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    const two = (n) => String(n).padStart(2, "0");
    return (d ? d + "d " : "") + two(h) + ":" + two(m) + ":" + two(Math.floor(s) % 60);
  };
  // First place at or after a time.
  const first = (at, time) => {
    let a = 0, b = at.length;
    while (a < b) {
      const half = (a + b) >> 1;
      if (at[half] < time) a = half + 1; else b = half;
    }
    return a;
  };
  // Least and greatest of each column of pixels, so that no peak is lost at any zoom.
  const columns = (one) => {
    const found = [];
    const end = Math.min(one.at.length, first(one.at, to) + 1);
    for (let i = Math.max(0, first(one.at, from) - 1); i < end; i++) {
      const px = Math.round(x(one.at[i]));
      const last = found[found.length - 1];
      if (last && last.px === px) {
        last.low = Math.min(last.low, one.low[i]);
        last.high = Math.max(last.high, one.high[i]);
        last.at = one.at[i];
      } else {
        found.push({ px, at: one.at[i], low: one.low[i], high: one.high[i] });
      }
    }
    return found;
  };
  const steps = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 604800];
  const draw = () => {
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, wide, tall);
    const shown = series.filter((one) => one.shown).map((one) => [one, columns(one)]);
    let most = 0;
    for (const [, all] of shown) for (const c of all) most = Math.max(most, c.high);
    most = (most || 1) * 1.1;
    const y = (v) => top + (1 - v / most) * (tall - top - foot);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, wide - left - right, tall - top - foot);
    pen.clip();
    pen.fillStyle = "rgba(207,34,46,.15)";
    for (const [f, t] of data.faults) pen.fillRect(x(f), top, Math.max(1, x(t) - x(f)), tall);
    pen.fillStyle = "rgba(89,99,110,.35)";
    for (const [f, t] of data.gaps) pen.fillRect(x(f), top, Math.max(2, x(t) - x(f)), tall);
    for (const [one, all] of shown) {
      pen.strokeStyle = one.color;
      pen.beginPath();
      let before = null;
      for (const c of all) {
        if (before && !gapBetween(before.at, c.at)) pen.lineTo(c.px, y(c.low));
        else pen.moveTo(c.px, y(c.low));
        pen.lineTo(c.px, y(c.high));
        before = c;
      }
      pen.stroke();
    }
    if (drag) {
      pen.fillStyle = "rgba(9,105,218,.2)";
      pen.fillRect(Math.min(drag.a, drag.b), top, Math.abs(drag.b - drag.a), tall);
    }
    if (cursor !== null) {
      pen.fillStyle = "#59636e";
      pen.fillRect(cursor, top, 1, tall);
    }
    pen.restore();
    pen.fillStyle = "#1b1f24";
    pen.font = "12px system-ui,sans-serif";
    pen.textAlign = "right";
    for (let i = 0; i <= 4; i++) {
      const v = (most * i) / 4;
      pen.fillText(v >= 100 ? v.toFixed(0) : v.toPrecision(3), left - 6, y(v) + 4);
    }
    pen.textAlign = "center";
    const step = steps.find((s) => (to - from) / s <= 10) || 604800;
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      pen.fillText(clock(at), Math.min(wide - 30, x(at)), tall - 10);
      pen.fillRect(x(at), tall - foot, 1, 4);
    }
    told.textContent = clock(from) + " to " + clock(to) +
      " - drag to zoom, double click for all of it, move to read";
  };
  const place = (event) => {
    const area = canvas.getBoundingClientRect();
    const px = ((event.clientX - area.left) / area.width) * wide;
    return Math.min(wide - right, Math.max(left, px));
  };
  canvas.addEventListener("mousedown", (event) => {
    drag = { a: place(event), b: place(event) };
  });
  canvas.addEventListener("mousemove", (event) => {
    cursor = place(event);
    if (drag) drag.b = cursor;
    draw();
    const at = time(cursor);
    const near = series.filter((one) => one.shown && one.at.length).map((one) => {
      const i = Math.min(one.at.length - 1, first(one.at, at));
      const some = (v) => Number(v.toPrecision(5));
      return one.name + " " + some(one.low[i]) +
        (one.high[i] > one.low[i] ? " to " + some(one.high[i]) : "");
    });
    told.textContent = clock(at) + ": " + near.join(", ");
  });
  window.addEventListener("mouseup", () => {
    if (drag && Math.abs(drag.b - drag.a) > 4) {
      const [a, b] = [time(drag.a), time(drag.b)].sort((a, b) => a - b);
      from = clamp(a);
      to = Math.max(clamp(b), from + data.step);
    }
    drag = null;
    draw();
  });
  canvas.addEventListener("dblclick", () => {
    from = 0;
    to = data.end;
    draw();
  });
  for (const one of series) {
    const key = document.createElement("button");
    key.className = "key";
    key.textContent = one.name;
    key.style.borderColor = one.color;
    key.addEventListener("click", () => {
      one.shown = !one.shown;
      key.style.opacity = one.shown ? "1" : ".4";
      draw();
    });
    keys.append(key);
  }
  // A page that is opened with #zoom=FROM-TO, in seconds, begins there.
  const wanted = /^#zoom=([0-9.]+)-([0-9.]+)$/.exec(location.hash);
  if (wanted && Number(wanted[2]) > Number(wanted[1])) {
    from = clamp(Number(wanted[1]));
    to = Math.max(clamp(Number(wanted[2])), from + data.step);
  }
  draw();
}
