-- SPDX-License-Identifier: MIT
-- profile_flame: a flame graph as one SVG file: nothing outside of it is needed or asked for.
--
-- It is complete as it stands; the script inside adds zoom, search and keys, and moves what is
-- there. A frame is a `g` with a title, which is its tooltip and what screen readers say; where it
-- lies is in data-x and data-w, as parts of the whole, and data-d, its depth.

local profile_text = require "ringlet.profile_text"

local M = {}

local WIDTH, ROW, TOP, BOTTOM, CHAR = 1200, 18, 46, 26, 7
-- What is narrower, as a part of the whole, is not drawn.
local NARROW = 0.0005

-- ---- the tree -----------------------------------------------------------------------------------

local function child_of(node, frame)
  local key = profile_text.function_key(frame)
  local child = node.by_key[key]
  if not child then
    child = {
      label = profile_text.label(frame), frame = frame, value = 0, own = 0, by_key = {}, list = {},
    }
    node.by_key[key] = child
    node.list[#node.list + 1] = child
  end
  return child
end

local function sort(node)
  table.sort(node.list, function(a, b) return a.label < b.label end)
  for _, child in ipairs(node.list) do
    sort(child)
  end
end

--- The calls as a tree: {label=, value=, own=, list= of those called}.
function M.tree(rows)
  local root = {label = "all", value = 0, own = 0, by_key = {}, list = {}}
  for _, row in ipairs(rows) do
    local node = root
    root.value = root.value + row.value
    for i = #row.frames, 1, -1 do
      node = child_of(node, row.frames[i])
      node.value = node.value + row.value
    end
    node.own = node.own + row.value
  end
  sort(root)
  return root
end

-- ---- text ---------------------------------------------------------------------------------------

-- A sequence of UTF-8 as it is, if it is one.
local function sound(s)
  local first, n = s:byte(), #s
  local want = first < 0xE0 and 2 or first < 0xF0 and 3 or 4
  local second = s:byte(2) or 0
  local low = first == 0xE0 and 0xA0 or first == 0xF0 and 0x90 or 0x80
  local high = first == 0xED and 0x9F or first == 0xF4 and 0x8F or 0xBF
  return n == want and second >= low and second <= high and s or ("?"):rep(n)
end

local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;"}

-- For XML: what is not UTF-8, or no character of XML, becomes "?".
local function escaped(s)
  s = s:gsub("[%z\1-\31\127]", "?"):gsub("[\128-\193\245-\255]*[\194-\244]?[\128-\191]*",
    function(part)
      local bad, rest = part:match "^([\128-\193\245-\255]*)(.*)$"
      return ("?"):rep(#bad) .. (rest ~= "" and sound(rest) or "")
    end)
  return (s:gsub('[&<>"]', ENTITIES))
end
M.escaped = escaped

local function hash(s)
  local h = 5381
  for i = 1, #s do
    h = (h * 33 + s:byte(i)) % 65521
  end
  return h
end

-- Warm for users' code, a hue for each file; grey for the library, green for C, blue for what has
-- no stack.
local function colour(frame)
  if not frame then
    return "hsl(40,20%,88%)"
  elseif frame.library then
    return "hsl(220,8%,80%)"
  elseif frame.file == "" then
    return "hsl(205,55%,82%)"
  elseif frame.what == "C" then
    return "hsl(150,30%,78%)"
  end
  local h = hash(frame.file)
  return ("hsl(%d,%d%%,%d%%)"):format(12 + h % 40, 75 + h % 15,
    70 + hash(profile_text.function_key(frame)) % 12)
end

-- ---- drawing ------------------------------------------------------------------------------------

local FRAME = '<g class="f" tabindex="-1" role="treeitem" aria-level="%d" data-x="%.6f" '
  .. 'data-w="%.6f" data-d="%d"><title>%s</title><rect x="%.2f" y="%d" width="%.2f" height="%d" '
  .. 'fill="%s"/><text x="%.2f" y="%d" data-t="%s">%s</text></g>'

local function cut(label, width)
  local room = math.floor((width - 6) / CHAR)
  if room < 3 then
    return ""
  end
  return #label <= room and label or label:sub(1, room - 2) .. ".."
end

local function draw(out, node, graph, x, depth)
  local part = node.value / graph.total
  if part < NARROW then
    return
  end
  graph.depth = math.max(graph.depth, depth)
  out[#out + 1] = {node = node, x = x, part = part, depth = depth}
  local at = x
  for _, child in ipairs(node.list) do
    draw(out, child, graph, at, depth + 1)
    at = at + child.value / graph.total
  end
end

local function title_of(node, graph)
  local own = node.own > 0 and node.own < node.value
    and (", %s of its own"):format(profile_text.amount(node.own, graph.unit)) or ""
  return ("%s: %s, %.1f%%%s"):format(node.label, profile_text.amount(node.value, graph.unit),
    node.value * 100 / graph.total, own)
end

local function frame_text(box, graph)
  local x, width = box.x * WIDTH, box.part * WIDTH
  local y = TOP + (graph.depth - box.depth) * ROW
  local label = box.node.label
  return FRAME:format(box.depth + 1, box.x, box.part, box.depth,
    escaped(title_of(box.node, graph)), x, y, math.max(width - 0.5, 0.5), ROW - 1,
    colour(box.node.frame), x + 3, y + 13, escaped(label), escaped(cut(label, width)))
end

local STYLE = [[
text{font:12px monospace;fill:#111;pointer-events:none}.f{cursor:pointer}
.f:hover rect,.f:focus rect{stroke:#000;stroke-width:1.5}.f:focus{outline:none}
.past rect{opacity:.45}.found rect{fill:#c9f !important}.gone{display:none}
#title{font-size:15px;font-weight:bold}#say{fill:#444}input{font:12px monospace;width:210px}
]]

local SCRIPT = [[
(function () {
  'use strict';
  var svg = document.documentElement, WIDTH = 1200, CHAR = 7;
  var say = document.getElementById('say'), ask = document.getElementById('ask');
  var boxes = Array.prototype.map.call(document.querySelectorAll('.f'), function (g) {
    return {g: g, rect: g.querySelector('rect'), text: g.querySelector('text'),
      x: +g.dataset.x, w: +g.dataset.w, d: +g.dataset.d, label: g.querySelector('text').dataset.t,
      title: g.querySelector('title').textContent};
  });
  var root = boxes[0], seen = root, usual = say.textContent, EPS = 1e-6;
  boxes.forEach(function (b) { b.g.box = b; });
  var cut = function (label, width) {
    var room = Math.floor((width - 6) / CHAR);
    return room < 3 ? '' : label.length <= room ? label : label.slice(0, room - 2) + '..';
  };
  var holds = function (a, b) { return a.x <= b.x + EPS && a.x + a.w >= b.x + b.w - EPS; };
  var zoom = function (to) {
    seen = to;
    boxes.forEach(function (b) {
      var past = b.d < to.d && holds(b, to), inside = b.d >= to.d && holds(to, b);
      b.g.classList.toggle('gone', !past && !inside);
      b.g.classList.toggle('past', past);
      var x = past ? 0 : (b.x - to.x) / to.w * WIDTH, w = past ? WIDTH : b.w / to.w * WIDTH;
      b.rect.setAttribute('x', x.toFixed(2));
      b.rect.setAttribute('width', Math.max(w - 0.5, 0.5).toFixed(2));
      b.text.setAttribute('x', (x + 3).toFixed(2));
      b.text.textContent = cut(b.label, w);
    });
    svg.dataset.zoom = to.label;
  };
  var focus = function (b) {
    if (!b || b.g.classList.contains('gone')) { return; }
    boxes.forEach(function (c) { c.g.setAttribute('tabindex', c === b ? '0' : '-1'); });
    b.g.focus();
    say.textContent = b.title;
  };
  var best = function (list) { return list.sort(function (a, b) { return b.w - a.w; })[0]; };
  var moves = {
    ArrowUp: function (b) {
      return best(boxes.filter(function (c) { return c.d === b.d + 1 && holds(b, c); }));
    },
    ArrowDown: function (b) {
      return boxes.filter(function (c) { return c.d === b.d - 1 && holds(c, b); })[0];
    },
    ArrowLeft: function (b) {
      return boxes.filter(function (c) { return c.d === b.d && c.x < b.x - EPS; }).pop();
    },
    ArrowRight: function (b) {
      return boxes.filter(function (c) { return c.d === b.d && c.x > b.x + EPS; })[0];
    }
  };
  var search = function (what) {
    var sum = 0, end = -1, word = what.toLowerCase();
    boxes.forEach(function (b) {
      b.hit = word !== '' && b.label.toLowerCase().indexOf(word) >= 0;
      b.g.classList.toggle('found', b.hit);
    });
    boxes.filter(function (b) { return b.hit; }).sort(function (a, b) {
      return a.x - b.x || a.d - b.d;
    }).forEach(function (b) {
      if (b.x >= end - EPS) { sum += b.w; end = b.x + b.w; }
    });
    say.textContent = word === '' ? usual : 'found: ' + (sum * 100).toFixed(1) + '%';
    svg.dataset.found = (sum * 100).toFixed(1);
  };
  svg.addEventListener('click', function (e) {
    var g = e.target.closest && e.target.closest('.f');
    if (g) { zoom(g.box); focus(g.box); }
  });
  svg.addEventListener('mouseover', function (e) {
    var g = e.target.closest && e.target.closest('.f');
    if (g) { say.textContent = g.box.title; }
  });
  ask.addEventListener('input', function () { search(ask.value); });
  document.addEventListener('keydown', function (e) {
    var box = document.activeElement && document.activeElement.box;
    if (e.key === 'Escape') {
      ask.value = '';
      search('');
      zoom(root);
      focus(root);
    } else if (e.target === ask) {
      return;
    } else if (e.key === '/') {
      ask.focus();
      e.preventDefault();
    } else if (box && (e.key === 'Enter' || e.key === ' ')) {
      zoom(box);
      e.preventDefault();
    } else if (moves[e.key]) {
      focus(box ? moves[e.key](box) : seen);
      e.preventDefault();
    }
  });
  zoom(root);
}());
]]

local HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
  .. '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="100%%" role="tree" '
  .. 'aria-label="%s">\n<title>%s</title>\n<style>%s</style>\n'
  .. '<rect width="100%%" height="100%%" fill="#fff"/>\n'
  .. '<text id="title" x="8" y="20">%s</text>\n<text id="say" x="8" y="38">%s</text>\n'
  .. '<foreignObject x="%d" y="4" width="230" height="26">'
  .. '<input xmlns="http://www.w3.org/1999/xhtml" id="ask" type="search" aria-label="search" '
  .. 'placeholder="search: /"/></foreignObject>\n'

local HINT = "click or Enter: zoom; Escape: all; arrows: move; /: search"

--- A flame graph.
-- @tparam table rows {frames, value}, innermost frame first
-- @tparam table opts {title=, unit=}
-- @treturn string SVG
function M.svg(rows, opts)
  local root = M.tree(rows)
  local graph = {total = math.max(root.value, 1e-9), unit = opts.unit, depth = 0}
  local boxes, out = {}, {}
  root.value = graph.total
  draw(boxes, root, graph, 0, 0)
  local height = TOP + (graph.depth + 1) * ROW + BOTTOM
  local title = escaped(opts.title)
  out[1] = HEAD:format(WIDTH, height, title, title, STYLE, title, HINT, WIDTH - 238)
  for _, box in ipairs(boxes) do
    out[#out + 1] = frame_text(box, graph)
  end
  out[#out + 1] = "<script><![CDATA[\n" .. SCRIPT .. "]]></script>\n</svg>\n"
  return table.concat(out, "\n")
end

return M
