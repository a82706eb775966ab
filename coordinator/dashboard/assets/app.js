"use strict";
// Keeps the page as the run is. All texts may be a stranger's: they go in as text, never as markup.

const $ = (id) => document.getElementById(id);
const view = { pipeline: [], curves: { stride: 1, rows: [] } };
const known = { bans: null, end: false };
const FOUND = { same: "the same", differs: "it differs", withheld: "momentum withheld", unknown: "could not tell" };
const STATE = { member: "good", waiting: "", banned: "bad", left: "warn", running: "good", finished: "good", silent: "warn", stopped: "warn" };

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}
const shortId = (peer) => make("span", { class: "id", title: peer }, "…" + peer.slice(-6));
const badge = (state) => make("span", { class: "badge " + (STATE[state] || "") }, state);
const seconds = (value) => (value === null || value === undefined ? "not told" : value.toFixed(value < 10 ? 3 : 1) + " s");
function bytes(value) {
  if (value === undefined || value === null) return "not told";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit++; }
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 && unit ? 1 : 0 }) + " " + units[unit];
}

// columns: [title, class]; rows: [[cell, ...], class]; the first cell of a row is its heading
function fill(table, columns, rows, nothing) {
  const caption = table.querySelector("caption");
  const head = make("thead", {}, make("tr", {}, ...columns.map(([title, style]) => make("th", { scope: "col", class: style || null }, title))));
  const body = make("tbody");
  for (const [cells, style] of rows) {
    body.append(make("tr", { class: style || null }, ...cells.map((cell, i) =>
      make(i ? "td" : "th", { scope: i ? null : "row", class: columns[i][1] || null }, cell))));
  }
  if (!rows.length) body.append(make("tr", {}, make("td", { colspan: columns.length }, nothing)));
  const scroller = table.parentElement, place = [scroller.scrollLeft, scroller.scrollTop];
  table.replaceChildren(caption, head, body);
  [scroller.scrollLeft, scroller.scrollTop] = place;
}

function tell(id, words) {
  // Only a change is written: a screen reader tells what is written.
  if ($(id).textContent !== words) $(id).textContent = words;
}

function showRun() {
  const run = view.run;
  document.title = `${run.experiment || "BTARD"}: step ${run.step ?? "–"}`;
  $("experiment").textContent = run.experiment || "BTARD";
  $("state").textContent = run.state;
  $("state").className = "badge " + (STATE[run.state] || "");
  $("what").textContent = run.task ? `${run.task} ${run.size}, ` + (view.pipeline.length ? `${view.pipeline.length} stages` : `${run.rule}, first roster of ${run.peers}`) : "";
  tell("unvalidated", run.unvalidated ? `From step ${run.unvalidated.step} on ${run.unvalidated.words}.` : "");
  tell("paused", run.paused ? `The run pauses: ${run.paused}.` : "");
  const total = run.total_steps || 1, done = run.step === null ? 0 : run.step + 1;
  $("progress-words").textContent = run.step === null ? run.awaited || "no step yet" : `step ${run.step}; the last one is ${total - 1}`;
  $("progress").value = Math.min(1, done / total);
}

function showNumbers() {
  const run = view.run, rows = view.peers.rows;
  const sum = (name) => rows.reduce((total, row) => total + (row[name] || 0), 0);
  const proven = view.bans.filter((ban) => ban.proven).length;
  const started = run.started, time = run.time;
  const wall = started && time > started ? time - started : null;
  const entries = [
    ["Loss", plain(run.median_loss ?? null), "median of what peers tell"],
    ["Members", String(run.alive), run.reporting === undefined ? "" : `${plain(run.reporting)} told of step ${run.step}`],
    ["Banned", String(view.bans.length), `${proven} with checked evidence`],
    ["Throughput", run.rate === undefined ? "not told" : plain(run.rate) + "/s", "samples, while computing"],
    ["Traffic", bytes(sum("sent")), wall ? `sent by all, ${bytes(sum("sent") / wall)}/s` : "sent by all"],
    ["Held-out loss", plain(view.checkpoints.filter((c) => c.loss !== null).map((c) => c.loss).pop() ?? null), "last checkpoint"],
  ];
  $("numbers").replaceChildren(...entries.map(([name, value, note]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, note)))));
}

function marks(labels) {
  const found = [], seen = new Set();
  if (view.window.attack !== null) found.push({ step: view.window.attack, kind: "attack", label: labels ? `attack from ${view.window.attack}` : "" });
  for (const ban of view.bans.slice().sort((a, b) => a.step - b.step)) {
    if (seen.has(ban.step)) continue;
    seen.add(ban.step);
    found.push({ step: ban.step, kind: "ban", label: labels && seen.size === 1 ? `first ban, step ${ban.step}` : "" });
  }
  for (const out of view.exclusions) found.push({ step: out.step, kind: "out", label: "" });
  return found;
}

function showCurves() {
  const rows = view.curves.rows, column = (i, from = rows) => from.map((row) => [row[0], row[i]]);
  const last = rows[rows.length - 1];
  const told = rows.filter((row) => row[1] !== null);
  const span = told.length ? `from ${plain(told[0][1])} at step ${told[0][0]} to ${plain(told[told.length - 1][1])} at step ${told[told.length - 1][0]}` : "";
  const each = view.curves.stride > 1 ? ` Each point is the mean of ${view.curves.stride} steps.` : "";
  const words = told.length ? `Loss ${span}: solid the median, dashed the mean of what peers tell.${each}` : "No peer has told a loss yet.";
  drawChart($("loss"), [{ points: column(2), style: "other" }, { points: column(1), style: "main" }], marks(true), { label: `Loss over steps. ${words}` });
  $("loss-words").textContent = words;

  const near = view.window.rows, focus = view.window.focus;
  const title = focus === null ? "Around the first ban" : view.window.attack === focus ? "Around the beginning of the attack" : "Around the first ban";
  let nearWords = "Nobody was banned yet.";
  const before = near.filter((row) => row[0] < focus && row[1] !== null), after = near.filter((row) => row[0] >= focus && row[1] !== null);
  if (focus !== null && before.length && after.length) {
    const worst = after.reduce((a, b) => (b[1] > a[1] ? b : a));
    nearWords = `Each step. Before step ${focus} the loss was ${plain(before[before.length - 1][1])}; after it at most ${plain(worst[1])}, at step ${worst[0]}; last here ${plain(after[after.length - 1][1])}. Red lines: bans.`;
  }
  $("window-title").textContent = title;
  drawChart($("window"), [{ points: column(2, near), style: "other" }, { points: column(1, near), style: "main" }], marks(true), { label: `${title}. ${nearWords}` });
  $("window-words").textContent = nearWords;

  const members = rows.map((row) => row[3]).filter((v) => v !== null);
  const aliveWords = last ? `${plain(last[3])} now, most ${plain(Math.max(...members))}, fewest ${plain(Math.min(...members))}. Dashed: how many told their loss.` : "No roster yet.";
  drawChart($("alive"), [{ points: column(4), style: "other" }, { points: column(3), style: "main" }], marks(false), { zero: true, whole: true, label: `Members of the roster over steps. ${aliveWords}` });
  $("alive-words").textContent = aliveWords;
  const rateWords = last ? `${plain(last[5])} samples/s in step ${last[0]}, summed over peers that tell.` : "No step yet.";
  drawChart($("rate"), [{ points: column(5), style: "main" }], marks(false), { zero: true, label: `Samples per second over steps. ${rateWords}` });
  $("rate-words").textContent = rateWords;
}

function banWords(ban) {
  if (ban.proven) return `Proven: in step ${ban.step} it ${ban.words}; ${ban.basis}.`;
  return ban.proven === null ? `Banned by step ${ban.step}; its evidence is being fetched and checked.` : `Banned by step ${ban.step}; no member has proved it here.`;
}

function showBans() {
  const bans = view.bans.slice().sort((a, b) => b.step - a.step);
  const items = bans.map((ban) => make("li", { class: ban.proven ? null : "unproven" },
    make("p", {}, make("strong", {}, `Step ${ban.step}`), " ", badge("banned")),
    make("p", {}, banWords(ban)),
    make("p", { class: "id" }, ban.peer),
    ban.evidence ? make("p", {}, make("a", { href: `evidence/${ban.evidence}`, download: ban.evidence }, `Evidence against …${ban.peer.slice(-6)}`)) : null));
  if (!items.length) items.push(make("li", { class: "none" }, "Nobody is banned."));
  $("ban-list").replaceChildren(...items);
  const fresh = known.bans === null ? [] : view.bans.filter((ban) => !known.bans.has(ban.peer + ban.proven));
  known.bans = new Set(view.bans.map((ban) => ban.peer + ban.proven));
  if (fresh.length) $("news").textContent = fresh.map((ban) => `…${ban.peer.slice(-6)}: ${banWords(ban)}`).join(" ");
  const rows = view.exclusions.slice().reverse().map((out) => [[shortId(out.peer), String(out.step), out.reason], ""]);
  fill($("exclusions"), [["peer"], ["step", "number"], ["why", "wide"]], rows, "Nobody was left out.");
}

function showStages() {
  const names = view.peers.stages, rows = view.peers.rows.filter((row) => row.stages && row.stages.length === names.length && row.state === "member");
  $("stages-legend").replaceChildren(...names.map((name, i) => make("li", {}, make("i", { class: "s" + i }), name)));
  const total = (row) => row.stages.reduce((a, b) => a + (b || 0), 0), most = Math.max(1e-9, ...rows.map(total));
  const slow = rows.slice().sort((a, b) => (b.stages[0] || 0) - (a.stages[0] || 0))[0];
  $("stages-words").textContent = slow ? `Slowest to compute: …${slow.id.slice(-6)}, ${seconds(slow.stages[0])} of ${seconds(total(slow))} in step ${slow.step}. The others wait for it in scatter.` : "No peer has told yet.";
  fill($("stages"), [["peer"], ["step", "number spare"], ["computes", "number"], ["in all", "number spare"], ["stages", "bar"]], rows.map((row) => {
    const stack = make("div", { class: "stack", "aria-hidden": "true" }, ...row.stages.map((value, i) => {
      const piece = make("i", { class: "s" + i, title: `${names[i]} ${seconds(value)}` });
      piece.style.width = `${(100 * (value || 0)) / most}%`;
      return piece;
    }));
    const words = make("span", { class: "sr" }, names.map((name, i) => `${name} ${seconds(row.stages[i])}`).join(", "));
    return [[shortId(row.id), String(row.step), seconds(row.stages[0]), seconds(total(row)), make("div", {}, stack, words)], ""];
  }), "No peer has told yet.");
}

function showPipeline() {
  const rows = view.pipeline, most = Math.max(1e-9, ...rows.map((row) => row.seconds || 0));
  const several = rows.some((row) => row.replica);
  $("pipeline").hidden = !rows.length;
  $("line").replaceChildren(...rows.map((row) => {
    const bar = make("i", { class: "s0", "aria-hidden": "true" });
    bar.style.width = `${(100 * (row.seconds || 0)) / most}%`;
    const passed = row.passed_by ? `, passed by in ${plain(row.passed_by)} steps` : "";
    const checks = row.checks === null ? "" : `${plain(row.checks)} checks, ${plain(row.alarms || 0)} alarms${passed}`;
    return make("li", { class: row.alarms ? "bad" : null },
      make("p", {}, make("strong", {}, several ? `Pipeline ${row.replica}, stage ${row.stage}` : `Stage ${row.stage}`), ` ${row.blocks === 1 ? "1 block" : `${row.blocks} blocks`}`),
      make("p", {}, row.peer ? shortId(row.peer) : "no peer", row.step === null ? "" : `, step ${row.step}`),
      make("p", {}, seconds(row.seconds), make("span", { class: "stack" }, bar)),
      make("p", {}, `${bytes(row.sent_bytes)} sent, ${bytes(row.received_bytes)} received`),
      make("p", { class: "note" }, checks));
  }));
}

function showRoster() {
  const order = { member: 0, waiting: 1, left: 2, unknown: 3, banned: 4 };
  const rows = view.peers.rows.slice().sort((a, b) => order[a.state] - order[b.state] || (a.id < b.id ? -1 : 1));
  fill($("roster"), [["peer"], ["state"], ["since step", "number"], ["last step", "number"], ["loss", "number"], ["samples/s", "number"], ["sent", "number"], ["received", "number"], ["version"], ["numerics", "number"]],
    rows.map((row) => [[shortId(row.id), badge(row.state), row.since === undefined ? "–" : String(row.since), row.step === undefined ? "–" : String(row.step), row.loss === undefined ? "–" : plain(row.loss), row.rate === undefined ? "–" : plain(row.rate), row.sent === undefined ? "–" : bytes(row.sent), row.received === undefined ? "–" : bytes(row.received), row.version || "–", row.machine === null ? "–" : String(row.machine + 1)], ""]),
    "Nobody is here yet.");
  $("machines").replaceChildren(...view.peers.machines.map((machine, i) =>
    make("li", {}, `${machine} (${view.peers.rows.filter((row) => row.machine === i).length} peers)`)));
}

function showVerdicts() {
  const found = view.verdicts.found, all = Object.values(found).reduce((a, b) => a + b, 0);
  $("verdict-words").textContent = all ? `${all} vectors recomputed: ${Object.entries(found).map(([name, count]) => `${count} ${FOUND[name] || name}`).join(", ")}. A validator's word alone bans nobody: a court of all members repeats its work.` : "Nobody has validated yet.";
  fill($("verdicts"), [["validator"], ["step", "number"], ["validated"], ["found"]],
    view.verdicts.rows.slice().sort((a, b) => b.step - a.step).map((row) => [[shortId(row.validator), String(row.step), shortId(row.peer), FOUND[row.found] || row.found], row.found === "differs" ? "bad" : ""]), "Nobody has validated yet.");
}

function showCheckpoints() {
  fill($("checkpoints"), [["step", "number"], ["held-out loss", "number"], ["digest", "wide"]],
    view.checkpoints.slice().reverse().map((c) => [[String(c.step), c.missed ? "missed" : plain(c.loss), c.missed ? c.missed : make("span", { class: "id" }, c.digest)], c.missed ? "bad" : ""]), "None yet.");
}

function show(changed) {
  const any = (...names) => names.some((name) => name in changed);
  if (any("run", "pipeline")) showRun();
  if (any("run", "peers", "bans", "checkpoints")) showNumbers();
  if (any("curves", "window", "bans", "exclusions")) showCurves();
  if (any("bans", "exclusions")) showBans();
  if (any("peers")) { showStages(); showRoster(); }
  if (any("pipeline")) showPipeline();
  if (any("verdicts")) showVerdicts();
  if (any("checkpoints")) showCheckpoints();
}

function take(changed, anew) {
  const { curves, ...sections } = changed;
  Object.assign(view, sections);
  if (curves) {
    if (anew || curves.from === 0) view.curves = { stride: curves.stride, rows: curves.rows };
    else view.curves.rows.splice(curves.from, Infinity, ...curves.rows);
  }
  known.end = ["finished", "stopped"].includes(view.run.state);
  show(changed);
}

function listen() {
  const source = new EventSource("events");
  source.addEventListener("all", (event) => { $("link").textContent = ""; take(JSON.parse(event.data), true); document.body.dataset.ready = "yes"; });
  source.addEventListener("update", (event) => take(JSON.parse(event.data), false));
  source.onerror = () => {
    $("link").textContent = known.end ? "The coordinator has ended; this is how the run was left. btard replay shows it again." : "No connection to the coordinator; trying again.";
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => view.run && showCurves(), 150); });
listen();
