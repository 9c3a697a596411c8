/* SPDX-License-Identifier: MIT */
/*
 * lhttp: what the binding files of HTTP share.
 */
#ifndef RL_LUA_LHTTP_H
#define RL_LUA_LHTTP_H

#include "lua/lnet.h"
#include "rt/message.h"

/* Set those limits that the table at `list` has: target, line, fields, head, body. */
void rl_lhttp_limits(lua_State *L, int list, struct rl_http_limits *limits);

/* Push {name, value, name, value, ...}, fields whose offsets count from `bytes`: 1 value. */
int rl_lhttp_push_fields(lua_State *L, const struct rl_http_fields *fields, const char *bytes);

/* lhttp_client.c: add its functions to the core table on top. */
void rl_lhttp_open_client(lua_State *L, struct rl_lnet *n);

#endif
