-- SPDX-License-Identifier: MIT
-- cli_options: what is written after the name of a command, checked against what it knows, and the
-- same knowledge as help. Pure functions.
--
-- An option is {name=, kind= "flag", "number" or "string", short= a letter, value= what its value
-- is called, help=, min=}. What is none of them is positional: `args[1]`, ...

local M = {}

local function find(known, name)
  for _, option in ipairs(known) do
    if option.name == name or option.short == name then
      return option
    end
  end
end

local function written(option)
  return "--" .. option.name
end

-- The value as the option has it; nil and a message.
local function converted(option, text)
  if option.kind ~= "number" then
    return text
  end
  local n = tonumber(text)
  if not n or n ~= n or n == math.huge or n < (option.min or 0) then
    return nil, ("%s needs a number%s, not '%s'"):format(written(option),
      option.min and (" of at least %g"):format(option.min) or "", text)
  end
  return n
end

-- Take the option that argument `i` is, with its value, which may be the next argument. The number
-- of the last argument taken; nil and a message.
local function take(args, known, argv, i)
  local text = argv[i]
  local name, value = text:match "^%-%-([^=]+)=?(.*)$"
  if not name then
    name, value = text:sub(2, 2), text:sub(3)
  elseif not text:find("=", 1, true) then
    value = nil
  end
  value = value ~= "" and value or text:find "^%-%-.-=" and "" or nil
  local option = find(known, name)
  if not option or #name == 1 and text:find "^%-%-" then
    return nil, ("unknown option '%s'"):format(text:match "^%-%-[^=]+" or text:sub(1, 2))
  elseif option.kind == "flag" then
    if value then
      return nil, ("%s takes no value"):format(written(option))
    end
    args[option.name] = true
    return i
  elseif not value then
    i = i + 1
    value = argv[i]
    if not value then
      return nil, ("%s needs a value: %s"):format(written(option), option.value)
    end
  end
  local msg
  args[option.name], msg = converted(option, value)
  if msg then
    return nil, msg
  end
  return i
end

-- Read arguments from number `from` on: a table of options by name and positional ones by number;
-- nil and a message. `most`: so many positional ones at most.
function M.parse(argv, from, known, most)
  local args, i, plain = {}, from, false
  while i <= #argv do
    local text = argv[i]
    if text == "--" and not plain then
      plain = true
    elseif not plain and text:find "^%-." then
      local last, msg = take(args, known, argv, i)
      if not last then
        return nil, msg
      end
      i = last
    elseif #args >= most then
      return nil, ("'%s' is one argument too many"):format(text)
    else
      args[#args + 1] = text
    end
    i = i + 1
  end
  return args
end

-- The options as lines of help.
function M.help(known)
  local lines = {}
  for i, option in ipairs(known) do
    local left = (option.short and "-" .. option.short .. ", " or "    ") .. written(option)
      .. (option.value and " " .. option.value or "")
    lines[i] = ("  %-26s %s"):format(left, option.help)
  end
  return table.concat(lines, "\n")
end

return M
