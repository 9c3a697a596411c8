-- SPDX-License-Identifier: MIT
-- busted, run by the interpreter that runs this file (the packaged /usr/bin/busted runs whatever
-- `lua` is): `luajit tools/busted.lua spec/chan_spec.lua`, from the root of the tree. `.busted` has
-- the settings; options of busted can be given too.

require "busted.runner" { standalone = false, output = "tools/busted_report.lua" }
