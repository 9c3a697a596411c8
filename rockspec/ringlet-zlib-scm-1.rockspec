-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "ringlet-zlib"
version = "scm-1"

source = {
  url = "git+https://example.org/ringlet/ringlet.git",
}

description = {
  summary = "zlib for ringlet: compressed WebSockets, and streams of deflate, zlib and gzip",
  detailed = [[
What ringlet's WebSockets need for permessage-deflate, and a small module to compress and decompress
strings in pieces, with bounds.]],
  license = "MIT",
  labels = { "compression", "zlib", "websocket" },
}

supported_platforms = { "linux" }

dependencies = {
  "lua >= 5.1",
  "ringlet",
}

external_dependencies = {
  ZLIB = { header = "zlib.h", library = "z" },
}

build = {
  type = "builtin",
  modules = {
    ["ringlet.zlib"] = "lua/ringlet/zlib.lua",
    ["ringlet.zlib_core"] = {
      sources = {
        "src/zlib/lzlib.c",
      },
      incdirs = { "src", "$(ZLIB_INCDIR)" },
      libdirs = { "$(ZLIB_LIBDIR)" },
      libraries = { "z" },
    },
  },
}
