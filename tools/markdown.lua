-- SPDX-License-Identifier: MIT
-- As much of Markdown as the comments use, for LDoc, which looks for a module of this name and is
-- often installed without one: paragraphs, lists, indented code, `code` and *emphasis*. LDoc has
-- turned references and the code of a module's text into HTML, which is left as it is. The blank
-- behind the hyphens of a comment is still at the beginning of each line.

local function escape(text)
  return (text:gsub("&(%f[^%w#][^;]?)", "&amp;%1"):gsub("<(%f[^%a/!])", "&lt;%1"))
end

local function inline(text)
  local codes = {}
  text = text:gsub("`([^`]+)`", function(code)
    codes[#codes + 1] = "<code>" .. escape(code) .. "</code>"
    return "\2" .. #codes .. "\2"
  end)
  text = escape(text):gsub("\\_", "_"):gsub("%*(%w[^*\n]*)%*", "<em>%1</em>")
  return (text:gsub("\2(%d+)\2", function(n) return codes[tonumber(n)] end))
end

local function list(block)
  local items = {}
  for line in block:gmatch "[^\n]+" do
    local item = line:match "^ ?%* (.*)$"
    if item then
      items[#items + 1] = item
    else
      items[#items] = items[#items] .. "\n" .. line:gsub("^%s+", "")
    end
  end
  return "<ul>\n<li>" .. table.concat(items, "</li>\n<li>") .. "</li>\n</ul>"
end

local function block_of(text)
  if text:find "^    " then
    local code = text:gsub("^     ?", ""):gsub("\n     ?", "\n")
    return "<pre>" .. escape(code) .. "</pre>"
  elseif text:find "^ ?%* " then
    return list(inline(text))
  end
  return "<p>" .. inline(text) .. "</p>"
end

-- Blocks are separated by blank lines; <pre> to </pre> is one whatever is in it.
return function(text)
  local blocks, kept = {}, {}
  text = text:gsub("<pre.->.-</pre>", function(code)
    kept[#kept + 1] = code
    return "\n\n\1" .. #kept .. "\n\n"
  end)
  for block in (text:gsub("\r", "") .. "\n\n"):gmatch "(.-)\n%s*\n" do
    local n = block:match "^%s*\1(%d+)%s*$"
    if n then
      blocks[#blocks + 1] = kept[tonumber(n)]
    elseif block:find "%S" then
      blocks[#blocks + 1] = block_of((block:gsub("^\n+", "")))
    end
  end
  return table.concat(blocks, "\n")
end
