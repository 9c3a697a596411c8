-- SPDX-License-Identifier: MIT
-- admin_page_tasks: JavaScript of the live page: the table of tasks, its search and order, and the
-- buttons of profile, trace and leaks. Rows are kept from one answer to the next, so that what is
-- open stays open and what has the focus keeps it.

return [==[
const table = {list: [], total: 0, rows: new Map(), open: new Set(), sort: "since", down: true};

const keyOf = (t) => t.shard + "/" + t.id;
const doingOf = (t) => t.reason || (t.preempted ? "preempted" : t.state);
const nameOf = (t) => [t.name, labelsText(t.labels)].filter(Boolean).join(" ");
const forOf = (t) => t.since !== undefined ? t.since : t.unparked;

const frameText = (f) => `${f.name}${f.new ? " (not started)" : ""}`
  + (f.file && f.line > 0 ? `  ${f.file}:${f.line}` : "");

const textOf = (t) => {
  if (!t.text) t.text = [keyOf(t), nameOf(t), t.state, doingOf(t), t.object, t.site,
    ...t.stack.map(frameText)].join("\n").toLowerCase();
  return t.text;
};

const SORTS = {id: (t) => t.shard * 1e12 + t.id, name: nameOf, state: doingOf,
  since: (t) => forOf(t) || 0, object: (t) => t.object || "", site: (t) => t.site || ""};

const wantedTasks = () => {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = $("state").value, by = SORTS[table.sort], sign = table.down ? -1 : 1;
  return table.list
    .filter((t) => (!wanted || t.state === wanted) && words.every((w) => textOf(t).includes(w)))
    .sort((a, b) => {
      const x = by(a), y = by(b);
      return x < y ? -sign : x > y ? sign : a.id - b.id;
    });
};

const cancelTask = async (t) => {
  const response = await fetch(`/debug/tasks/cancel?shard=${t.shard}&id=${t.id}`,
    {method: "POST"});
  say(`task ${keyOf(t)}: ${(await response.text()).trim()}`, !response.ok);
  await updateTasks();
};

const fillDetails = (cell, t) => {
  const pre = make("pre");
  const lines = [];
  if (t.daemon) lines.push("daemon");
  if (t.priority) lines.push(t.priority);
  if (t.others) lines.push(`${t.others} more wait for the same`);
  if (t.lost) lines.push("nothing will ever wake it");
  lines.push((t.created ? "created at " : "defined at ") + t.site);
  pre.append(lines.join("\n") + "\n");
  for (const f of t.stack)
    pre.append(make("span", f.library ? {class: "library"} : {}, "  " + frameText(f) + "\n"));
  cell.replaceChildren(pre);
  if (state.actions) {
    const button = make("button", {type: "button"}, "Cancel this task");
    button.addEventListener("click", () => cancelTask(t));
    cell.append(button);
  }
};

const setOpen = (row, open) => {
  row.button.setAttribute("aria-expanded", String(open));
  row.details.hidden = !open;
  if (open) {
    table.open.add(row.key);
    fillDetails(row.details.firstChild, row.task);
  } else table.open.delete(row.key);
};

const newRow = (key) => {
  const button = make("button", {type: "button", class: "row", "aria-expanded": "false",
    "aria-controls": "d" + key}, key);
  const main = make("tr", {}, make("td", {}, button), make("td"), make("td"),
    make("td", {class: "num"}), make("td"), make("td"));
  const details = make("tr", {id: "d" + key}, make("td", {colspan: "6"}));
  details.hidden = true;
  const row = {key, button, main, details};
  button.addEventListener("click", () => setOpen(row, details.hidden));
  return row;
};

const fillRow = (row, t) => {
  const same = row.task && row.task.stack.map(frameText).join() === t.stack.map(frameText).join();
  row.task = t;
  [nameOf(t), doingOf(t), format(forOf(t), "s"), t.object || "", t.site || ""].forEach(
    (text, i) => setText(row.main.children[i + 1], text));
  if (!row.details.hidden && !same) fillDetails(row.details.firstChild, t);
};

const showTasks = () => {
  const body = $("tasks"), list = wantedTasks(), shown = list.slice(0, 500), rows = new Map();
  const focused = document.activeElement;
  let at = body.firstChild;
  for (const t of shown) {
    const key = keyOf(t), row = table.rows.get(key) || newRow(key);
    rows.set(key, row);
    fillRow(row, t);
    if (row.main === at) at = row.details.nextSibling;
    else body.insertBefore(row.main, at), body.insertBefore(row.details, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  table.rows = rows;
  if (focused !== document.activeElement && body.contains(focused))
    focused.focus({preventScroll: true});
  const total = table.total > table.list.length
    ? `${table.total}, of which the ${table.list.length} that wait longest are here` : table.total;
  setText($("count"), `${list.length} of ${total} tasks`
    + (list.length > shown.length ? `, the first ${shown.length} listed` : ""));
};

const updateTasks = async () => {
  let answer;
  try {
    answer = await ask("/debug/tasks?format=json&sort=wait&limit=1000");
  } catch {
    return;
  }
  table.list = answer.tasks;
  table.total = answer.counts.reduce((n, c) => n + (c.tasks || 0), 0);
  showTasks();
};

const sortBy = (name) => {
  table.down = table.sort === name ? !table.down : name === "since";
  table.sort = name;
  for (const th of document.querySelectorAll("th[data-sort]"))
    th.setAttribute("aria-sort", th.dataset.sort !== name ? "none"
      : table.down ? "descending" : "ascending");
  showTasks();
};

const showProfile = () => {
  const seconds = Number($("seconds").value), type = $("type").value;
  const frame = make("iframe", {sandbox: "allow-scripts", title: "Flame graph of " + type});
  say(`profiling for ${seconds} s`, false);
  $("profile").disabled = true;
  frame.addEventListener("load", () => {
    $("profile").disabled = false;
    say("the flame graph is there", false);
  });
  frame.src = `/debug/profile?type=${type}&seconds=${seconds}&format=svg`;
  $("flame").replaceChildren(frame);
  $("flame").hidden = false;
};

const download = async (path, name, what) => {
  say(what + " \u2026", false);
  const response = await fetch(path);
  if (!response.ok) return say((await response.text()).trim(), true);
  const link = make("a", {href: URL.createObjectURL(await response.blob()), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(name + " is saved: open it at ui.perfetto.dev", false);
};

const showLeaks = async () => {
  say("looking for leaked tasks", false);
  const response = await fetch("/debug/leaks");
  const text = await response.text();
  setText($("leaks-text"), text);
  $("leaks-text").hidden = false;
  say(text.split("\n")[0], !response.ok);
};

const typing = (e) => /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || e.ctrlKey || e.metaKey
  || e.altKey;

const listen = () => {
  $("pause").addEventListener("click", () => setPaused(!state.paused));
  $("search").addEventListener("input", showTasks);
  $("state").addEventListener("change", showTasks);
  $("profile").addEventListener("click", showProfile);
  $("trace").addEventListener("click", () => download(
    "/debug/trace?seconds=" + Number($("seconds").value), "trace.json", "tracing"));
  $("leaks").addEventListener("click", showLeaks);
  for (const th of document.querySelectorAll("th[data-sort] button"))
    th.addEventListener("click", () => sortBy(th.parentNode.dataset.sort));
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && e.target === $("search")) {
      $("search").value = "";
      showTasks();
    } else if (typing(e)) return;
    else if (e.key === "/") $("search").focus(), e.preventDefault();
    else if (e.key === "p") setPaused(!state.paused);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && !state.paused) update();
  });
};

const start = async () => {
  addPlots();
  listen();
  every(1000, update);
  every(2000, updateTasks);
  const config = await ask("/debug/config");
  setText($("about"), `${config.ringlet}, ${config.jit ? config.jit.version : config.lua}, `
    + `${config.backend}, Linux ${config.kernel}, process ${config.pid}, `
    + `${config.shards} shard${config.shards > 1 ? "s" : ""}`);
  document.title = `ringlet, process ${config.pid}`;
  setText($("config"), JSON.stringify(config, null, 2));
};
start();
]==]
