-- SPDX-License-Identifier: MIT
-- admin_page_live: JavaScript of the live page: asks for /debug/vars each second while the page is
-- seen and not paused, and shows what it gets.

return [==[
const state = {paused: false, last: null, actions: false, failing: false};

const labelsText = (labels) => Object.entries(labels || {}).map(([k, v]) => k + "=" + v).join(" ");

// Said aloud by screen readers, so only when something has changed.
const say = (text, bad) => {
  setText($("status"), text);
  $("status").className = bad ? "bad" : "";
};

// A value for each shard; of many, the sum and the largest.
const byShard = (values) => {
  const out = {};
  if (values.length <= 6) values.forEach((v, i) => { out["shard " + (i + 1)] = v; });
  else {
    out.all = values.reduce((a, b) => a + b, 0);
    out.largest = Math.max(...values);
  }
  return out;
};

// A quantile of what was counted between two readings of a histogram.
const quantileSince = (now, before, q) => {
  const had = new Map();
  for (let i = 0; before && i < before.buckets.length; i += 2)
    had.set(before.buckets[i], before.buckets[i + 1]);
  const fresh = [];
  let total = 0;
  for (let i = 0; i < now.buckets.length; i += 2) {
    const n = now.buckets[i + 1] - (had.get(now.buckets[i]) || 0);
    if (n > 0) fresh.push([now.buckets[i], n]);
    total += Math.max(n, 0);
  }
  let seen = 0;
  for (const [bound, n] of fresh) {
    seen += n;
    if (seen >= q * total) return bound;
  }
  return null;
};

const plots = {};
const addPlots = () => {
  const p = $("plots"), add = (key, title, unit) => { plots[key] = new Plot(p, title, unit); };
  add("tasks", "Tasks by state", "");
  plots.labels = new Bars(p, "Tasks by label");
  add("queue", "Run queue", "");
  add("latency", "From ready to running", "s");
  add("turns", "Tasks and turns", "/s");
  add("connections", "Connections", "");
  add("bytes", "Bytes", "B/s");
  add("io", "I/O operations", "/s");
  add("waiting", "Under way", "");
  add("heap", "Heap", "B");
  add("gc", "Steps of the collector", "s");
  plots.waits = new Bars(p, "Waits that have ended, by reason");
};

// Sums of a metric, and what was added to it in a second.
const sum = (vars, name) => {
  const m = vars.metrics[name];
  return m ? m.sum : 0;
};
const shardsOf = (vars, name) => (vars.metrics[name] || {shards: []}).shards;

const rates = (vars, before, names) => {
  const out = {}, seconds = vars.now - before.now;
  for (const [label, name] of Object.entries(names))
    out[label] = Math.max(0, (sum(vars, name) - sum(before, name)) / seconds);
  return out;
};

const ratesByLabel = (vars, before, name) => {
  const out = {}, had = sum(before, name) || {}, seconds = vars.now - before.now;
  for (const [k, v] of Object.entries(sum(vars, name) || {})) {
    const rate = (v - (had[k] || 0)) / seconds;
    if (rate > 0 || plots.io.series.has(k)) out[k] = rate;
  }
  return out;
};

const quantiles = (vars, before, name) => {
  const h = sum(vars, name), old = sum(before, name);
  return {p50: quantileSince(h, old, 0.5), p99: quantileSince(h, old, 0.99)};
};

const showMoving = (vars, before) => {
  const t = vars.now;
  plots.latency.push(t, quantiles(vars, before, "/sched/latencies:seconds"));
  plots.gc.push(t, quantiles(vars, before, "/gc/pause:seconds"));
  plots.turns.push(t, rates(vars, before, {made: "/tasks/created:tasks",
    parks: "/sched/parks:parks", preemptions: "/sched/preemptions:preemptions"}));
  plots.bytes.push(t, ratesByLabel(vars, before, "/io/bytes:bytes"));
  plots.io.push(t, ratesByLabel(vars, before, "/io/operations:operations"));
};

const showPlots = (vars, before) => {
  const t = vars.now;
  plots.tasks.push(t, {waiting: sum(vars, "/tasks/waiting:tasks"),
    runnable: sum(vars, "/tasks/runnable:tasks"), running: sum(vars, "/tasks/running:tasks")});
  plots.queue.push(t, byShard(shardsOf(vars, "/tasks/runnable:tasks")));
  plots.connections.push(t, byShard(shardsOf(vars, "/net/connections:connections")));
  plots.heap.push(t, byShard(shardsOf(vars, "/gc/heap:bytes")));
  plots.waiting.push(t, {operations: sum(vars, "/io/in-flight:operations"),
    timers: sum(vars, "/timers/live:timers"), "helper threads": sum(vars, "/offload/works:jobs")});
  if (before && vars.now > before.now) showMoving(vars, before);
  const sets = vars.metrics["/tasks/labelled:tasks"];
  plots.labels.show(sets.series.map((s) => [labelsText(s.labels) || "none", s.value]),
    sets.series.length ? (sets.more ? sets.more + " more" : "") : "no task has labels");
  const waits = Object.entries(sum(vars, "/tasks/wait:seconds"))
    .map(([k, h]) => [k + ", p99 " + format(h.p99, "s"), h.count])
    .sort((a, b) => b[1] - a[1]).slice(0, 12);
  plots.waits.show(waits, "");
};

const SHARD_COLUMNS = [["/tasks/live:tasks", ""], ["/tasks/runnable:tasks", ""],
  ["/tasks/waiting:tasks", ""], ["/net/connections:connections", ""],
  ["/io/in-flight:operations", ""], ["/timers/live:timers", ""], ["/gc/heap:bytes", "B"],
  ["/sched/stalled:seconds", "s"]];

const showShards = (vars) => {
  const body = $("shards");
  for (let i = 0; i < vars.shards; i++) {
    const row = body.children[i] || body.appendChild(make("tr", {}, make("th",
      {scope: "row", class: "num"}, String(i + 1)),
      ...SHARD_COLUMNS.map(() => make("td", {class: "num"}))));
    SHARD_COLUMNS.forEach(([name, unit], k) => {
      setText(row.children[k + 1], format(shardsOf(vars, name)[i], unit));
    });
  }
};

const showUser = (vars) => {
  const body = $("user");
  const rows = [];
  for (const f of vars.user)
    for (const s of f.series) rows.push([f, s]);
  rows.sort((a, b) => a[0].name < b[0].name ? -1 : a[0].name > b[0].name ? 1 : 0);
  while (body.children.length > Math.min(rows.length, 200)) body.lastChild.remove();
  rows.slice(0, 200).forEach(([f, s], i) => {
    const row = body.children[i] || body.appendChild(make("tr", {}, make("td"), make("td"),
      make("td"), make("td", {class: "num"})));
    const v = s.value;
    setText(row.children[0], f.name);
    setText(row.children[1], labelsText(s.labels));
    setText(row.children[2], f.kind);
    setText(row.children[3], typeof v === "object"
      ? `${format(v.count, "")}, mean ${short(v.count ? v.sum / v.count : 0)}` : format(v, ""));
  });
  $("user-section").hidden = rows.length === 0;
};

const ask = async (path) => {
  const response = await fetch(path, {cache: "no-store"});
  if (!response.ok) throw new Error(await response.text());
  return response.json();
};

const update = async () => {
  let vars;
  try {
    vars = await ask("/debug/vars");
  } catch (error) {
    if (!state.failing) say("no answer: " + error.message, true);
    state.failing = true;
    return;
  }
  state.failing = false;
  state.actions = vars.actions;
  showPlots(vars, state.last);
  showShards(vars);
  showUser(vars);
  state.last = vars;
  if (!state.paused) say(vars.ready ? "ready" : vars.why, !vars.ready);
  setText($("at"), new Date(vars.at * 1000).toLocaleTimeString());
};

// One after the other, however long an answer takes.
const every = (milliseconds, fn) => {
  const next = async () => {
    if (!state.paused && document.visibilityState === "visible") await fn();
    setTimeout(next, milliseconds);
  };
  next();
};

const setPaused = (paused) => {
  state.paused = paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  say(paused ? "paused" : "going on", false);
};
]==]
