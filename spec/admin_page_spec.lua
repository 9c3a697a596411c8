-- SPDX-License-Identifier: MIT
-- The live page of the admin endpoint, in a headless Chromium.
local H = require "spec.helper"
local admin = require "ringlet.admin"
local chromium = require "spec.chromium"
local rl = require "ringlet"

-- Contrast of each text with what is behind it (WCAG 2, 1.4.3): the least, and of what.
local CONTRAST = [[(() => {
  const parse = (s) => s.match(/[\d.]+/g).map(Number);
  const channel = (v) => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let least = 21, what = "";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || e.tagName === "SCRIPT") continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least) [least, what] = [ratio, e.outerHTML.slice(0, 80)];
  }
  return least >= 4.5 ? "enough" : least.toFixed(2) + " " + what;
})()]]

-- What can be used and has no name.
local NAMELESS = [[[...document.querySelectorAll("button, input, select, iframe, [role=img]")]
  .filter((e) => !(e.getAttribute("aria-label") || e.title || e.textContent.trim()
    || (e.labels && e.labels.length))).map((e) => e.outerHTML).join()]]

local ROWS = [[document.querySelectorAll("#tasks > tr:nth-child(odd)").length]]

-- From now on the page notes what it asks for: asked("/path") is how often it did.
local NOTING = [[(window.paths = [], window.fetch = ((real) => (path, ...more) => {
  paths.push(path);
  return real(path, ...more);
})(window.fetch), window.asked = (path) => paths.filter((p) => p.startsWith(path)).length)]]

-- From now on what the status says is kept: said("text") is whether it has said that.
local HEARING = [[(window.heard = [], new MutationObserver(() => {
  heard.push(document.getElementById("status").textContent);
}).observe(document.getElementById("status"), {childList: true, characterData: true,
  subtree: true}), window.said = (text) => heard.includes(text))]]

-- What has the focus: its id, or its text.
local FOCUS = [[document.activeElement.id || document.activeElement.textContent.trim()]]

local function park_some(n)
  local ch = rl.chan()
  for i = 1, n do
    local h = rl.go(function() ch:recv() end)
    h:name(i == 7 and "needle" or "parked " .. i)
    h:label("type", "order")
  end
  rl.yield()
  return ch
end

local missing = H.missing.uring or select(2, chromium.find())

local process

-- A server with a page, and a browser that shows it.
local function with_page(fn)
  if missing then
    return pending(missing)
  end
  rl.run(function()
    local server = rl.check(admin.serve("127.0.0.1:0", {actions = true, token = "open-sesame"}))
    local ch = park_some(30)
    process = process or chromium.launch()
    local browser = chromium.connect(process)
    rl.finally(function()
      browser:open(server:url())
      browser:await('document.querySelectorAll("#tasks > tr").length >= 60')
      fn(browser, server)
    end, function()
      browser:close()
      ch:close()
      server:stop()
    end)
  end, {backend = "uring"})
end

local function assert_quiet(browser, server)
  assert.same({}, browser.errors)
  local own = "http://" .. server:addr() .. "/"
  for _, url in ipairs(browser.requests) do
    assert.is_true(url:sub(1, #own) == own or url:sub(1, 5) == "data:", url)
  end
end

describe("the live page", function()
  teardown(function()
    if process then
      chromium.kill(process)
      process = nil
    end
  end)

  it("moves, asks nobody else, and has no error", function()
    with_page(function(browser, server)
      local points = 'document.querySelector("polyline").getAttribute("points")'
      browser:await(points .. '.split(" ").length > 2')
      local before = browser:eval(points)
      browser:await(('%s !== "%s"'):format(points, before))
      assert.equal("12", browser:eval [[document.querySelectorAll("#plots figure").length]])
      assert.matches("waiting %d+",
        browser:eval [[document.querySelector("#plots svg").getAttribute("aria-label")]])
      assert.matches("type=order", browser:eval [[document.querySelector(".bars").textContent]])
      browser:await [[document.getElementById("status").textContent === "ready"]]
      assert.equal("/", browser:eval "location.pathname + location.search") -- no token left
      assert_quiet(browser, server)
    end)
  end)

  it("searches, sorts and opens rows by the keyboard alone", function()
    with_page(function(browser, server)
      browser:press "/"
      assert.equal("search", browser:eval(FOCUS))
      browser:type "NEED order"
      browser:await(ROWS .. " === 1")
      browser:press "Tab"
      assert.equal("state", browser:eval(FOCUS))
      browser:press "Tab"
      assert.equal("Task", browser:eval(FOCUS))
      browser:press "Enter"
      assert.equal("ascending",
        browser:eval [[document.activeElement.parentNode.getAttribute("aria-sort")]])
      for _ = 1, 6 do browser:press "Tab" end
      assert.matches("^1/%d+$", browser:eval(FOCUS))
      assert.equal("3px", browser:eval "getComputedStyle(document.activeElement).outlineWidth")
      browser:press "Enter"
      assert.equal("true", browser:eval 'document.activeElement.getAttribute("aria-expanded")')
      assert.matches("admin_page_spec.lua",
        browser:eval [[document.querySelector("#tasks pre").textContent]])
      browser:eval(NOTING) -- an update comes, and takes neither focus nor row away
      browser:await 'asked("/debug/tasks?") >= 2' -- with the second the first has been shown
      assert.equal("true", browser:eval 'document.activeElement.getAttribute("aria-expanded")')
      browser:press "Tab"
      assert.equal("Cancel this task", browser:eval(FOCUS))
      browser:press "Enter"
      browser:await(ROWS .. " === 0")
      browser:press "/"
      browser:press "Escape"
      browser:await(ROWS .. " > 25")
      assert_quiet(browser, server)
    end)
  end)

  it("pauses", function()
    with_page(function(browser)
      browser:eval(NOTING)
      browser:await 'asked("/debug/vars") > 0 && asked("/debug/tasks?") > 0'
      browser:eval [[document.getElementById("pause").focus()]]
      browser:press " "
      assert.equal("true", browser:eval [[document.activeElement.getAttribute("aria-pressed")]])
      assert.equal("paused", browser:eval [[document.getElementById("status").textContent]])
      -- Timers of a page fire in their order: those of its updates have, when this one does.
      browser:eval [[(window.then = paths.length,
        setTimeout(() => { window.later = paths.length; }, 2500))]]
      browser:await "window.later !== undefined"
      assert.equal("0", browser:eval "later - then")
      browser:press " "
      browser:await 'paths.slice(later).includes("/debug/vars")'
    end)
  end)

  it("shows a flame graph and leaked tasks", function()
    with_page(function(browser, server)
      local h = rl.go(function() rl.chan():recv() end)
      H.eventually("it waits", function() return h:status() == "parked" end)
      browser:eval [[document.getElementById("leaks").click()]]
      browser:await [[document.getElementById("leaks-text").textContent.startsWith(
        "leaked tasks: 1")]]
      h:cancel()
      browser:eval(HEARING) -- an update says something else soon
      browser:eval [[(document.getElementById("type").value = "offcpu",
        document.getElementById("seconds").value = "1",
        document.getElementById("profile").click())]]
      browser:await 'said("the flame graph is there")'
      assert_quiet(browser, server)
    end)
  end)

  it("can be read by day and by night, in narrow windows, and by screen readers", function()
    with_page(function(browser)
      assert.equal("", browser:eval(NAMELESS))
      for _, scheme in ipairs{"light", "dark"} do
        browser:command("Emulation.setEmulatedMedia",
          {features = {{name = "prefers-color-scheme", value = scheme}}})
        browser:await(('matchMedia("(prefers-color-scheme: %s)").matches'):format(scheme))
        assert.equal("enough", browser:eval(CONTRAST), scheme)
      end
      for _, width in ipairs{320, 600, 1600} do
        browser:command("Emulation.setDeviceMetricsOverride",
          {width = width, height = 800, deviceScaleFactor = 1, mobile = false})
        browser:await("innerWidth === " .. width)
        assert.equal("true", browser:eval(("document.documentElement.scrollWidth <= %d")
          :format(width)), "at " .. width)
      end
    end)
  end)

  it("says that there is no answer any more", function()
    with_page(function(browser, server)
      server:stop()
      browser:await [[document.getElementById("status").textContent.startsWith("no answer")]]
    end)
  end)
end)
