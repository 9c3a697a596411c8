# SPDX-License-Identifier: MIT
# `make help` lists the targets. The lower floors (src/base, src/os, src/rt) know no Lua and are
# compiled once; the binding (src/lua) is compiled once for each VM.

ABIS    ?= luajit lua5.4
BUILD   ?= build
LUA     ?= luajit
LUAJIT  ?= luajit
LUA54   ?= $(firstword $(shell command -v lua5.4 lua54 lua) lua5.4)

PREFIX  ?= /usr/local
DESTDIR ?=
INSTALL ?= install

ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS  ?= -O2 -g
LDFLAGS ?=

# Where each VM's headers are: the first directory that has them.
first_dir = $(patsubst %/lua.h,%,$(firstword $(wildcard $(addsuffix /lua.h,$(1)))))
LUAJIT_INCDIR ?= $(call first_dir,/usr/include/luajit-2.1 /usr/local/include/luajit-2.1)
LUA54_INCDIR  ?= $(call first_dir,/usr/include/lua5.4 /usr/include/lua54 /usr/local/include \
	/usr/include)

# LuaRocks builds for LuaJIT with the headers of PUC Lua 5.1, which declare less.
PUC51_INCDIR  ?= $(call first_dir,/usr/include/lua5.1 /usr/include/lua51)

incdir_luajit = $(LUAJIT_INCDIR)
incdir_lua5.4 = $(LUA54_INCDIR)
vm_luajit     = $(LUAJIT)
vm_lua5.4     = $(LUA54)
luaver_luajit = 5.1
luaver_lua5.4 = 5.4

RL_CFLAGS = -std=gnu11 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Isrc \
	$(WARN) $(DEFS) $(CFLAGS)
DEPFLAGS  = -MMD -MP
LIBS      = -luring -lpthread

RT_SRC   := $(wildcard src/base/*.c src/os/*.c src/rt/*.c)
LUA_SRC  := $(wildcard src/lua/*.c)
# Optional parts, each a library and a rock of its own: built where there is what they need.
ZLIB_SRC := $(if $(wildcard /usr/include/zlib.h /usr/local/include/zlib.h),$(wildcard src/zlib/*.c))
BPF_SRC  := $(if $(wildcard /usr/include/bpf/libbpf.h /usr/local/include/bpf/libbpf.h),\
	$(wildcard src/bpf/*.c))
LUA_MODS := $(shell find lua -name '*.lua' 2>/dev/null | LC_ALL=C sort)
C_TESTS  := $(wildcard spec/c/*_test.c)
# Everything that runs on two threads, for the thread sanitizer.
TSAN_TESTS ?= $(filter $(patsubst %,spec/c/%_test.c,thread ring uring watch deque spsc mpmc \
	histogram measure series tracelog trace ticket schan fleet job conduct sbuffer sdict squeue \
	satomic ssem sbarrier sonce offload call), $(C_TESTS))

RT_OBJ   := $(RT_SRC:%.c=$(BUILD)/rt/%.o)
CORES    := $(ABIS:%=$(BUILD)/%/ringlet/core.so)
GARDEN   := $(if $(ZLIB_SRC),zlib_core.so) $(if $(BPF_SRC),bpf_core.so)
HOUSES   := $(foreach abi,$(ABIS),$(GARDEN:%=$(BUILD)/$(abi)/ringlet/%))
TEST_BIN := $(C_TESTS:spec/c/%.c=$(BUILD)/ctest/%)

# The build the C tests link: debug assertions, and capacities so small that every limit is met.
TEST_DEFS ?= -DRL_DEBUG=1 -DRL_TINY=1
TEST_OBJ  := $(RT_SRC:%.c=$(BUILD)/ctest/%.o)
TEST_LIB  := $(BUILD)/ctest/librl.a

SEEDS    ?= 1000
SANITIZE   := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_CFLAGS := -O1 -g
TOOL_LUA   := $(LUA54)
LUA_TOOLS  := bin/ringlet tools/tidy tools/stubs tools/reference tools/rockspec tools/top_picture

# Say what is built in a word; V=1 shows the commands.
ifeq ($(V),)
say = @echo "  $(1)  $(2)" &&
else
say =
endif

.DELETE_ON_ERROR:
.SUFFIXES:

all: lib ## build the library for LuaJIT and Lua 5.4 into build/

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.* ## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

lib: $(CORES) $(HOUSES)
	@:

# One core.so for each VM, in which nothing but luaopen_ringlet_core is visible.
define abi_rules
$(BUILD)/$(1)/ringlet/core.so: $(RT_OBJ) $(LUA_SRC:%.c=$(BUILD)/$(1)/%.o)
	@mkdir -p $$(@D)
	$$(call say,ld,$$@) $$(CC) -shared $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)

$(BUILD)/$(1)/ringlet/zlib_core.so: $(ZLIB_SRC:%.c=$(BUILD)/$(1)/%.o)
	@mkdir -p $$(@D)
	$$(call say,ld,$$@) $$(CC) -shared $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ -lz

$(BUILD)/$(1)/ringlet/bpf_core.so: $(BPF_SRC:%.c=$(BUILD)/$(1)/%.o)
	@mkdir -p $$(@D)
	$$(call say,ld,$$@) $$(CC) -shared $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ -lbpf

$(BUILD)/$(1)/src/bpf/lembed.o: $(wildcard bpf/*.bpf.o)

$(BUILD)/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	$$(call say,cc,$$@) $$(CC) $$(RL_CFLAGS) $$(DEPFLAGS) -I$$(incdir_$(1)) -c -o $$@ $$<
endef
$(foreach abi,$(ABIS),$(eval $(call abi_rules,$(abi))))

$(BUILD)/rt/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,cc,$@) $(CC) $(RL_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/ctest/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,cc,$@) $(CC) $(RL_CFLAGS) $(TEST_DEFS) $(DEPFLAGS) -c -o $@ $<

# An archive, so that a test which includes a .c to reach its private parts does not clash with it.
$(TEST_LIB): $(TEST_OBJ)
	@rm -f $@
	$(call say,ar,$@) ar rcs $@ $^

$(BUILD)/ctest/%_test: spec/c/%_test.c $(TEST_LIB)
	@mkdir -p $(@D)
	$(call say,cc,$@) $(CC) $(RL_CFLAGS) $(TEST_DEFS) $(DEPFLAGS) -MF $@.d -Ispec/c -o $@ $< \
		$(TEST_LIB) $(LDFLAGS) $(LIBS) -lm

# Those in which memory runs out.
SCARCE_BIN := $(patsubst spec/c/%.c,$(BUILD)/ctest/%,$(shell grep -l '"scarce.h"' $(C_TESTS)))
$(SCARCE_BIN): RL_CFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

ctests: $(TEST_BIN)
	@:

# Against another parser, so only where that one is installed.
FUZZ_BIN := $(if $(wildcard /usr/include/http_parser.h),$(BUILD)/fuzz/http_diff)

$(BUILD)/fuzz/http_diff: spec/fuzz/http_diff.c $(TEST_LIB)
	@mkdir -p $(@D)
	$(call say,cc,$@) $(CC) $(RL_CFLAGS) $(TEST_DEFS) $(DEPFLAGS) -MF $@.d -o $@ $< $(TEST_LIB) \
		$(LDFLAGS) -lhttp_parser

fuzz-bin: $(FUZZ_BIN)
	@:

-include $(RT_OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(TEST_BIN:=.d) $(BUILD)/fuzz/http_diff.d
-include $(foreach abi,$(ABIS),$(patsubst %.c,$(BUILD)/$(abi)/%.d,$(LUA_SRC) $(ZLIB_SRC) \
	$(BPF_SRC)))

check_lua = $(if $(vm_$(LUA)),,$(error LUA must be luajit or lua5.4, not $(LUA)))

# Parallel by default: a plain `make test` builds on every core.
JOBS  ?= $(shell nproc 2>/dev/null || echo 2)
BUILD_ = $(MAKE) --no-print-directory -j$(JOBS)

demo: ## build, serve real load for some seconds, print what it took
	@tools/setup demo
	@$(BUILD_) lib >&2
	$(check_lua)@LUA="$(vm_$(LUA))" RINGLET_BUILD=$(BUILD)/$(LUA) examples/demo

test: ## C tests, and specs under LuaJIT and Lua 5.4; the last line is the count
	@tools/setup test
	@$(BUILD_) lib ctests fuzz-bin
	@BUILD=$(BUILD) LUAJIT=$(LUAJIT) LUA54=$(LUA54) tools/test c fuzz $(ABIS:%=spec:%)

ctest: ## the C tests alone
	@tools/setup
	@$(BUILD_) ctests
	@BUILD=$(BUILD) tools/test c

spec: ## the specs alone; ABIS=luajit for one VM, SPECS="spec/chan_spec.lua" for some files
	@tools/setup test
	@$(BUILD_) lib
	@BUILD=$(BUILD) LUAJIT=$(LUAJIT) LUA54=$(LUA54) SPECS="$(SPECS)" tools/test $(ABIS:%=spec:%)

lint: ## luacheck, the stubs, cppcheck, and a build in which warnings are errors
	@tools/setup lint
	@$(TOOL_LUA) tools/stubs --check
	@$(TOOL_LUA) tools/top_picture --check
	luacheck --quiet $(wildcard lua spec examples bench rockspec tools/*.lua) $(LUA_TOOLS)
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --error-exitcode=1 -j$(JOBS) -Isrc \
		-D__linux__ -DLUA_VERSION_NUM=504 src
	@$(BUILD_) BUILD=$(BUILD)/lint lib ctests \
		WARN="-Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef"
	@[ -z "$(PUC51_INCDIR)" ] || for file in $(LUA_SRC) $(ZLIB_SRC) $(BPF_SRC); do \
		$(CC) $(RL_CFLAGS) -Werror -I$(PUC51_INCDIR) -fsyntax-only $$file || exit 1; \
	done

tidy: ## the rules of the house that a program can check
	@tools/setup
	@$(BUILD_) lib
	@BUILD=$(BUILD) CC=$(CC) LUA_INCDIR=$(LUA54_INCDIR) $(TOOL_LUA) tools/tidy

asan: ## C tests and specs under AddressSanitizer and UBSan
	@tools/setup test
	@$(BUILD_) BUILD=$(BUILD)/asan lib ctests CFLAGS="$(SAN_CFLAGS) $(SANITIZE)" DEFS=-DRL_DEBUG=1
	@BUILD=$(BUILD)/asan CC=$(CC) SANITIZER=address LUAJIT=$(LUAJIT) LUA54=$(LUA54) \
		SPECS="$(SPECS)" tools/test c $(ABIS:%=spec:%)

tsan: ## the C tests of threaded files under ThreadSanitizer
	@tools/setup
	@$(BUILD_) BUILD=$(BUILD)/tsan CFLAGS="$(SAN_CFLAGS) -fsanitize=thread" \
		$(TSAN_TESTS:spec/c/%.c=$(BUILD)/tsan/ctest/%)
	@BUILD=$(BUILD)/tsan SANITIZER=thread C_TESTS="$(TSAN_TESTS)" tools/test c

gc-torture: ## the specs with the garbage collector as aggressive as it gets, in each of its modes
	@tools/setup test
	@$(BUILD_) lib
	@BUILD=$(BUILD) RINGLET_GC_TORTURE=1 LIMIT=900 LUAJIT=$(LUAJIT) LUA54=$(LUA54) \
		SPECS="$(SPECS)" tools/test $(ABIS:%=spec:%)
	@[ -z "$(filter lua5.4,$(ABIS))" ] || BUILD=$(BUILD) RINGLET_GC_TORTURE=generational LIMIT=900 \
		LUA54=$(LUA54) SPECS="$(SPECS)" tools/test spec:lua5.4

fuzz-http: ## the HTTP parser against http-parser under ASan and UBSan; SECONDS=60, SEED=1
	@tools/setup fuzz
	@$(BUILD_) BUILD=$(BUILD)/asan CFLAGS="$(SAN_CFLAGS) $(SANITIZE)" DEFS=-DRL_DEBUG=1 fuzz-bin
	@$(BUILD)/asan/fuzz/http_diff $(or $(SECONDS),60) $(or $(SEED),1)

model: ## random programs against a reference, on the sim with faults; SEEDS=1000, RINGLET_SEED=n
	@tools/setup
	@$(BUILD_) lib
	@BUILD=$(BUILD) LUAJIT=$(LUAJIT) LUA54=$(LUA54) ABIS="$(ABIS)" spec/model/run $(SEEDS)

mutations: ## break mechanisms on purpose in a copy of the tree: the tests must find each
	@tools/setup
	@$(BUILD_) lib ctests
	@LUAJIT=$(LUAJIT) $(LUAJIT) spec/model/mutate $(MUTATIONS)

bench: ## measure against the peers; prints ratios; BENCH="--quick echo" for some of it
	@bench/setup
	@$(BUILD_) lib
	@bench/run $(BENCH)

bench-bpf: ## priorities and eBPF against their gates; ROUNDS=5, SECONDS=2, ROWS="fresh stalled"
	@tools/setup
	@$(BUILD_) lib
	@bench/bpf/run --lua $(LUA) --rounds $(or $(ROUNDS),5) --seconds $(or $(SECONDS),2) $(ROWS)
.PHONY: bench-bpf

soak: ## ten minutes (SECONDS=600) of mixed load; counters end where they began, memory is flat
	@tools/setup
	@$(BUILD_) lib
	@SOAK_SECONDS=$(or $(SECONDS),600) BUILD=$(BUILD) LUAJIT=$(LUAJIT) LUA54=$(LUA54) \
		spec/soak/run $(ABIS)

docs: ## the API reference into build/docs, and the LuaLS stubs into docs/luals
	@tools/setup docs
	@$(TOOL_LUA) tools/stubs
	@$(TOOL_LUA) tools/top_picture
	@rm -rf $(BUILD)/docs $(BUILD)/ldoc && mkdir -p $(BUILD)/ldoc
	@$(TOOL_LUA) tools/reference $(BUILD)/ldoc
	@$(call say,ldoc,$(BUILD)/docs/index.html) warnings=$$(LUA_PATH="tools/?.lua;;" \
		ldoc --fatalwarnings -c ./config.ld --dir $(BUILD)/docs $(BUILD)/ldoc \
		2>&1 >/dev/null) && [ -z "$$warnings" ] || { echo "$$warnings" >&2; exit 1; }

bpf: ## compile the programs of bpf/ anew, where a source has changed (needs clang)
	@tools/setup bpf
	@tools/bpf

rockspec: ## make the rockspec list what the tree has, after a file came or went
	@$(TOOL_LUA) tools/rockspec

env: ## eval "$(make -s env)" lets scripts find the tree; LUA=lua5.4 for 5.4
	$(check_lua)@tools/setup >&2
	@$(BUILD_) $(patsubst %,$(BUILD)/$(LUA)/ringlet/%,core.so $(GARDEN)) >&2
	@echo "export LUA_PATH=\"$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;\$${LUA_PATH:-;}\""
	@echo "export LUA_CPATH=\"$(abspath $(BUILD))/$(LUA)/?.so;\$${LUA_CPATH:-;}\""
	@[ $(LUA) = luajit ] || for v in LUA_PATH LUA_CPATH; do \
		echo "[ -z \"\$${$${v}_5_4:-}\" ] || export $${v}_5_4=\"\$$$$v;\$$$${v}_5_4\""; \
	done

install: $(ABIS:%=install-%) ## install (DESTDIR, PREFIX; with ABIS=luajit also LUADIR, LIBDIR)

luadir = $(DESTDIR)$(or $(LUADIR),$(PREFIX)/share/lua/$(luaver_$(1)))
bindir = $(DESTDIR)$(PREFIX)/bin
libdir = $(DESTDIR)$(or $(LIBDIR),$(PREFIX)/lib/lua/$(luaver_$(1)))

install-%: lib
	@[ -z "$(LIBDIR)" ] || [ "$(words $(ABIS))" = 1 ] || \
		{ echo "install: LIBDIR is for one VM: give ABIS=luajit or ABIS=lua5.4 too" >&2; exit 1; }
	@for file in $(LUA_MODS:lua/%=%); do \
		$(INSTALL) -D -m 644 "lua/$$file" "$(call luadir,$*)/$$file" || exit 1; \
	done
	@for file in core.so $(GARDEN); do \
		$(INSTALL) -D -m 755 "$(BUILD)/$*/ringlet/$$file" \
			"$(call libdir,$*)/ringlet/$$file" || exit 1; \
	done
	@[ $* != $(firstword $(ABIS)) ] || { mkdir -p "$(bindir)" && \
		sed '1s,.*,#!/usr/bin/env $(vm_$*),' bin/ringlet >"$(bindir)/ringlet" && \
		chmod 755 "$(bindir)/ringlet"; }
	@$(INSTALL) -D -m 644 docs/man/ringlet.1 "$(DESTDIR)$(PREFIX)/share/man/man1/ringlet.1"

clean: ## remove what was built, by luarocks too
	rm -rf $(BUILD) ringlet
	rm -f src/*/*.o

.PHONY: all help lib ctests fuzz-bin demo test ctest spec lint tidy asan tsan gc-torture fuzz-http \
	model mutations bench soak docs bpf rockspec env install clean
.SECONDARY:
