-- SPDX-License-Identifier: MIT
-- admin_page: the live page, one file with all it needs. Its policy lets run what has the number
-- that this answer alone has, and talk to nobody but who sent it.

local guard = require "ringlet.admin_guard"

local M = {}

local SCRIPT = require "ringlet.admin_page_plots" .. require "ringlet.admin_page_live"
  .. require "ringlet.admin_page_tasks"
local STYLE = require "ringlet.admin_page_style"

local POLICY = "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
  .. "connect-src 'self'; frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
  .. "frame-ancestors 'none'"

local BODY = [==[
<a class="skip" href="#search">To the tasks</a>
<header>
<h1>ringlet</h1>
<span id="about"></span>
<span id="status" role="status" aria-live="polite">connecting</span>
<span class="dim">at <span id="at">–</span></span>
<button id="pause" type="button" aria-pressed="false" aria-keyshortcuts="p">Pause</button>
</header>
<main>
<h2 id="h-plots">What happens</h2>
<section id="plots" aria-labelledby="h-plots"></section>
<h2 id="h-shards">Shards</h2>
<div class="scroll"><table aria-labelledby="h-shards">
<thead><tr><th class="num" scope="col">Shard</th><th class="num" scope="col">Tasks</th>
<th class="num" scope="col">Runnable</th><th class="num" scope="col">Waiting</th>
<th class="num" scope="col">Connections</th><th class="num" scope="col">Operations</th>
<th class="num" scope="col">Timers</th><th class="num" scope="col">Heap</th>
<th class="num" scope="col">Stalled for</th></tr></thead>
<tbody id="shards"></tbody></table></div>
<h2 id="h-look">Look closer</h2>
<div class="bar" role="group" aria-labelledby="h-look">
<label>Profile of <select id="type"><option value="cpu">CPU time</option>
<option value="offcpu">waiting</option><option value="alloc">allocations</option></select></label>
<label>for <input id="seconds" type="number" min="1" max="60" value="5"> seconds</label>
<button id="profile" type="button">Flame graph</button>
<button id="trace" type="button">Trace</button>
<button id="leaks" type="button">Leaked tasks</button>
</div>
<pre id="leaks-text" tabindex="0" hidden></pre>
<div id="flame" hidden></div>
<h2 id="h-tasks">Tasks</h2>
<div class="bar" role="search">
<input id="search" type="search" aria-label="Search in tasks: names, labels, waits, stacks"
 placeholder="Search names, labels, waits, stacks" aria-keyshortcuts="/">
<label>State <select id="state"><option value="">any</option><option>running</option>
<option>runnable</option><option>waiting</option><option>new</option></select></label>
<span id="count" role="status"></span>
</div>
<div class="scroll"><table class="tasks" aria-labelledby="h-tasks">
<thead><tr>
<th scope="col" data-sort="id" aria-sort="none"><button type="button">Task</button></th>
<th scope="col" data-sort="name" aria-sort="none"><button type="button">Name, labels</button></th>
<th scope="col" data-sort="state" aria-sort="none"><button type="button">Does</button></th>
<th scope="col" class="num" data-sort="since" aria-sort="descending"><button type="button">For
</button></th>
<th scope="col" data-sort="object" aria-sort="none"><button type="button">On</button></th>
<th scope="col" data-sort="site" aria-sort="none"><button type="button">Where from</button></th>
</tr></thead>
<tbody id="tasks"></tbody></table></div>
<section id="user-section" hidden>
<h2 id="h-user">Metrics of the program</h2>
<div class="scroll"><table aria-labelledby="h-user"><thead><tr><th scope="col">Name</th>
<th scope="col">Labels</th><th scope="col">Kind</th><th scope="col" class="num">Value</th></tr>
</thead><tbody id="user"></tbody></table></div>
</section>
<h2>Configuration</h2>
<details><summary>What this process is</summary><pre id="config"></pre></details>
</main>
]==]

local PAGE = [==[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ringlet</title>
<link rel="icon" href="data:,">
<style nonce="%s">
%s</style>
</head>
<body>
%s<script nonce="%s">
%s</script>
</body>
</html>
]==]

--- The page, and its Content-Security-Policy.
-- @source W3C Content Security Policy 3
function M.html()
  local nonce = guard.random_name()
  return PAGE:format(nonce, STYLE, BODY, nonce, SCRIPT), POLICY:format(nonce, nonce)
end

return M
