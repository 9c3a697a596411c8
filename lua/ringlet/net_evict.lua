-- SPDX-License-Identifier: MIT
-- net_evict: which connections a server gives up when its shard has too much to do.
--
-- In a round at most a share of them go. First short-lived ones that rest, those that have rested
-- for longest; then long-lived ones of which a heartbeat was due and since when nothing came;
-- protected ones only when no others live.

local core = require "ringlet.core"
local time = require "ringlet.time"

local conn_idle = core.conn_idle

local M = {}

--- Classes of connections, as the core knows them (src/rt/stream.h).
M.KINDS = {short = 0, long = 1, protected = 2}
M.NAMES = {[0] = "short", "long", "protected"}
local SHORT, LONG, PROTECTED = 0, 1, 2
local WHY = {[0] = "idle", "heartbeat", "protected"}

local MAX_LOAD, BATCH, SHARE, IDLE = 0.85, 1000, 0.1, 5
-- So many connections are looked at before others have a turn.
local LOOKS = 4096

-- ---- the longest of many ------------------------------------------------------------------------

-- A heap of at most `most` entries, the shortest on top: {rank, index, ...}. Of equals the lower
-- index is the longer one.

local function is_shorter(heap, a, b)
  local rank, other = heap[2 * a - 1], heap[2 * b - 1]
  return rank < other or rank == other and heap[2 * a] > heap[2 * b]
end

local function swap(heap, a, b)
  heap[2 * a - 1], heap[2 * b - 1] = heap[2 * b - 1], heap[2 * a - 1]
  heap[2 * a], heap[2 * b] = heap[2 * b], heap[2 * a]
end

local function sift_up(heap, a)
  while a > 1 do
    local parent = math.floor(a / 2)
    if not is_shorter(heap, a, parent) then
      return
    end
    swap(heap, a, parent)
    a = parent
  end
end

local function sift_down(heap)
  local a = 1
  while 2 * a <= heap.n do
    local child = 2 * a
    if child < heap.n and is_shorter(heap, child + 1, child) then
      child = child + 1
    end
    if not is_shorter(heap, child, a) then
      return
    end
    swap(heap, child, a)
    a = child
  end
end

-- Keep it if it is one of the longest so far. Indices come in order.
local function add(heap, rank, index, most)
  if heap.n < most then
    heap.n = heap.n + 1
    heap[2 * heap.n - 1], heap[2 * heap.n] = rank, index
    sift_up(heap, heap.n)
  elseif rank > heap[1] then
    heap[1], heap[2] = rank, index
    sift_down(heap)
  end
end

-- The indices, the longest first.
local function sorted(heap)
  local out, n = {}, heap.n
  while heap.n > 0 do
    out[heap.n] = heap[2]
    swap(heap, 1, heap.n)
    heap.n = heap.n - 1
    sift_down(heap)
  end
  return out, n
end

-- ---- whom ---------------------------------------------------------------------------------------

-- What a connection is, and for how long it could have been given up, if at all.
local function look(heart, index, conn)
  local kind, idle = conn_idle(conn)
  if not idle or kind == SHORT then
    return kind, idle
  end
  local since = idle
  if kind == LONG then
    local heard = heart.heard[index]
    local unheard = heard and core.now() - heard or idle
    since = math.min(idle, unheard - heart.every)
  end
  return kind, since > heart.idle and since or nil
end

-- The longest of each kind, and how many others live than protected ones. Connections come and go
-- while it looks: what it finds is looked at once more.
local function survey(heart, most)
  local heaps, others, conns = {[0] = {n = 0}, {n = 0}, {n = 0}}, 0, heart.conns
  local index = 1
  while index <= heart.top do
    local conn = conns[index]
    local kind, since
    if conn then
      kind, since = look(heart, index, conn)
    end
    if kind and kind ~= PROTECTED then
      others = others + 1
    end
    if since then
      add(heaps[kind], since, index, most)
    end
    if index % LOOKS == 0 then
      time.yield()
    end
    index = index + 1
  end
  return heaps, others
end

-- Without giving up the turn.
local function are_all_protected(heart)
  for _, conn in pairs(heart.conns) do
    local kind = conn_idle(conn)
    if kind and kind ~= PROTECTED then
      return false
    end
  end
  return true
end

-- ---- giving up ----------------------------------------------------------------------------------

local function tell_and_close(heart, conn, close, why, load)
  if heart.opts.on_evict then
    heart:try(heart.opts.on_evict, conn, why, load)
  end
  if close then
    heart:try(close, conn, why)
  end
  conn:close()
end

-- Users' functions may park, so each has a task of its own: the round goes by what it has seen.
local function give_up(heart, index, kind, load)
  local conn, way = heart.conns[index], heart.ways[index]
  local close = way and way.close
  heart.evicted = heart.evicted + 1
  if close or heart.opts.on_evict then
    heart:start(tell_and_close, conn, close, WHY[kind], load)
  else
    conn:close()
  end
end

-- Those of a kind, as long as they are still what they were; how many are left of `most`.
local function give_up_all(heart, heap, kind, most, load)
  local list, n = sorted(heap)
  for k = 1, n do
    if most == 0 then
      break
    end
    local index = list[k]
    local conn = heart.conns[index]
    if conn then
      local is, since = look(heart, index, conn)
      if is == kind and since then
        give_up(heart, index, kind, load)
        most = most - 1
      end
    end
  end
  return most
end

-- ---- for net_heartbeat --------------------------------------------------------------------------

function M.init(heart, opts)
  heart.max_load, heart.batch = opts.max_load or MAX_LOAD, opts.batch or BATCH
  heart.share, heart.idle = opts.share or SHARE, opts.idle or IDLE
end

--- Give up what must go at this load.
function M.round(heart, load)
  local most = math.min(heart.batch, math.max(1, math.floor(heart.n * heart.share)))
  local heaps, others = survey(heart, most)
  if others == 0 and are_all_protected(heart) then
    give_up_all(heart, heaps[PROTECTED], PROTECTED, most, load)
    return
  end
  most = give_up_all(heart, heaps[SHORT], SHORT, most, load)
  give_up_all(heart, heaps[LONG], LONG, most, load)
end

return M
