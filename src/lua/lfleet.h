/* SPDX-License-Identifier: MIT */
/* lfleet: the shards of a run as threads. Private to src/lua. */
#ifndef RL_LUA_LFLEET_H
#define RL_LUA_LFLEET_H

#include "lua/lshard.h"

#include <sys/types.h>

/* What the threads of a run share: the fleet, who is ready, who has left. */
struct rl_lua_fleet;

/* How long the first seat's waits for the others unless it says otherwise. */
#ifndef RL_FLEET_END_NS
#define RL_FLEET_END_NS 5000000000
#endif

/* The run's own pool of helper threads, with a reference; `make`, which may raise, makes it if
 * there is none yet. It ends with the run. */
struct rl_offload;
struct rl_offload *rl_lua_fleet_pool(struct rl_lua_fleet *team, lua_State *L,
	struct rl_offload *(*make)(lua_State *L));

/* Leave the fleet. Returns when every shard has left, so that what another may still look at can
 * go. The first seat's also ends the threads. 0, or -EBUSY when a thread does not end in `wait_ns`:
 * it is left to itself, with all memory it can reach; bits of those are in *missing, if given. */
int rl_lua_fleet_leave(struct rl_lua *h, int64_t wait_ns, uint64_t *missing);

/* The thread of a shard, from 1; 0: there is none now. */
pid_t rl_lua_fleet_tid(const struct rl_lua *h, lua_Integer shard);

/* NULL outside of a run. */
struct rl_health *rl_lua_fleet_health(const struct rl_lua *h);
/* How often this shard stalled in this run, and how many shards are stalled now. */
uint64_t rl_lua_fleet_stalls(const struct rl_lua *h, unsigned *stalled);

#endif
