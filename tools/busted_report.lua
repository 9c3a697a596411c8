-- SPDX-License-Identifier: MIT
-- An output handler for busted that prints what the C tests print: one line a test, and the count
-- last. A test's name is written before it runs, so that a hang shows where it is.

local function text_of(message)
  if message == nil then return "" end
  if type(message) == "string" then return message end
  return type(message) == "table" and require("pl.pretty").write(message) or tostring(message)
end

local function indent(text)
  return (("\n" .. text):gsub("\n", "\n    "))
end

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local passed, failed, skipped = 0, 0, 0

  local function show_failure(failure, name)
    local trace = failure.trace or {}
    io.write("FAIL ", name, indent(text_of(failure.message)))
    if trace.traceback and (failure.isError or options.verbose) then
      io.write(indent(trace.traceback:gsub("^\n", "")))
    elseif trace.short_src then
      io.write(indent(("at %s:%s"):format(trace.short_src, trace.currentline or "?")))
    end
    io.write("\n")
  end

  local function last(list) return list[#list] end

  function handler.test_start(element)
    handler.running = handler.getFullName(element)
    io.write("run  ", handler.running, "\n")
    io.flush()
    return nil, true
  end

  function handler.test_end(element, _, status)
    local name = handler.getFullName(element)
    if status == "success" then
      passed = passed + 1
      io.write("ok   ", name, "\n")
    elseif status == "pending" then
      skipped = skipped + 1
      local reason = text_of(last(handler.pendings).message):gsub("\n.*", ""):gsub("^%S+:%d+: ", "")
      io.write("skip ", name, reason ~= "" and ": " .. reason or "", "\n")
    else
      failed = failed + 1
      show_failure(last(status == "error" and handler.errors or handler.failures), name)
    end
    io.flush()
    return nil, true
  end

  -- An error outside of any test: a file that does not load, a describe or a setup that raises.
  function handler.stray_error(element)
    if element.descriptor ~= "it" then
      failed = failed + 1
      show_failure(last(handler.errors), handler.getFullName(element))
      io.flush()
    end
    return nil, true
  end

  function handler.suite_end()
    io.write(("%d passed, %d failed, %d skipped\n"):format(passed, failed, skipped))
    io.flush()
    return nil, true
  end

  busted.subscribe({ "suite", "end" }, handler.suite_end)
  busted.subscribe({ "test", "start" }, handler.test_start, { predicate = handler.cancelOnPending })
  busted.subscribe({ "test", "end" }, handler.test_end, { predicate = handler.cancelOnPending })
  busted.subscribe({ "error" }, handler.stray_error)
  busted.subscribe({ "failure" }, handler.stray_error)

  return handler
end
