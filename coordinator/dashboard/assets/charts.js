"use strict";
// Curves as SVG: a few hundred points, axes, and lines where something happened. Nothing is ever put in as markup.

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function niceSteps(low, high, count) {
  const raw = (high - low) / Math.max(1, count) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) ticks.push(Number(v.toPrecision(12)));
  return ticks;
}

function powers(low, high) {
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    for (const f of high / low > 1000 ? [1] : [1, 3]) {
      const v = f * 10 ** e;
      if (v >= low && v <= high) ticks.push(Number(v.toPrecision(2)));
    }
  }
  return ticks;
}

function plain(value) {
  if (value === null || value === undefined) return "not told";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumFractionDigits: size < 1 ? 4 : size < 100 ? 3 : 0 });
}

// lines: [{points: [[x, y], ...], style}], marks: [{step, kind, label}]; options: {zero, whole, label}
function drawChart(box, lines, marks, options) {
  const width = Math.max(200, box.clientWidth), height = Math.max(80, box.clientHeight);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label });
  const all = lines.flatMap((line) => line.points.filter((p) => p[1] !== null));
  if (all.length === 0) {
    svg.append(shape("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "empty" }, "nothing yet"));
    box.replaceChildren(svg);
    return;
  }
  const steps = all.map((p) => p[0]), values = all.map((p) => p[1]);
  const x0 = Math.min(...steps), x1 = Math.max(...steps, x0 + 1);
  let y0 = Math.min(...values), y1 = Math.max(...values);
  const logarithmic = !options.zero && y0 > 0 && y1 / y0 > 30;
  if (options.zero) y0 = 0;
  if (y0 === y1) { y1 += Math.abs(y1) * 0.1 || 1; if (!options.zero) y0 -= Math.abs(y0) * 0.1 || 1; }
  if (!logarithmic) { const pad = (y1 - y0) * 0.06; y1 += pad; if (!options.zero) y0 -= pad; }
  const scale = (v) => (logarithmic ? Math.log(v) : v);
  const count = Math.max(2, Math.floor(height / 36));
  let ticks = logarithmic ? powers(y0, y1) : niceSteps(y0, y1, count);
  if (options.whole) ticks = ticks.filter(Number.isInteger);
  if (ticks.length === 0) ticks = [y0, y1];
  const left = 10 + 7 * Math.max(...ticks.map((t) => plain(t).length)), right = 12, top = 20, bottom = 34;
  const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
  const py = (v) => top + (1 - (scale(v) - scale(y0)) / (scale(y1) - scale(y0))) * (height - top - bottom);
  for (const tick of ticks) {
    svg.append(shape("line", { x1: left, x2: width - right, y1: py(tick), y2: py(tick), class: "grid" }));
    svg.append(shape("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, plain(tick)));
  }
  for (const tick of niceSteps(x0, x1, Math.max(2, Math.floor(width / 90))).filter(Number.isInteger)) {
    svg.append(shape("text", { x: px(tick), y: height - bottom + 16, "text-anchor": "middle" }, String(tick)));
  }
  svg.append(shape("text", { x: width - right, y: height - 3, "text-anchor": "end" }, logarithmic ? "step (loss on a logarithmic scale)" : "step"));
  let labelled = -Infinity, row = 0;
  for (const mark of marks.filter((m) => m.step >= x0 && m.step <= x1).sort((a, b) => a.step - b.step)) {
    const x = px(mark.step);
    svg.append(shape("line", { x1: x, x2: x, y1: top, y2: height - bottom, class: mark.kind }));
    if (!mark.label) continue;
    row = x - labelled < 110 ? row + 1 : 0;
    labelled = x;
    const end = x > width - 110;
    svg.append(shape("text", { x, y: top - 6 + 14 * row, dx: row ? (end ? -5 : 5) : 0, "text-anchor": end ? "end" : "start", class: mark.kind }, mark.label));
  }
  for (const line of lines) {
    let path = "", pen = false;
    for (const [x, y] of line.points) {
      if (y === null || (logarithmic && y <= 0)) { pen = false; continue; }
      path += `${pen ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`;
      pen = true;
    }
    if (path) svg.append(shape("path", { d: path, class: line.style }));
  }
  const last = lines[lines.length - 1].points.filter((p) => p[1] !== null).pop();
  if (last && (!logarithmic || last[1] > 0)) svg.append(shape("circle", { cx: px(last[0]), cy: py(last[1]), r: 3, class: "dot" }));
  box.replaceChildren(svg);
}
