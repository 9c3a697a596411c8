/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * wakeup_packet: what a packet of a device carries: IPv4 or IPv6, behind up to two VLAN tags, and
 * in it TCP or UDP. Of fragments the first alone has ports, and none is looked at.
 *
 * Lengths are those that the headers tell, as long as the kernel finds the bytes: a frame may be
 * padded. Every loop is bounded by a constant and unrolled.
 */
#ifndef RL_BPF_WAKEUP_PACKET_H
#define RL_BPF_WAKEUP_PACKET_H

#include "wakeup_classify.h"

#define RL_VLAN_TAGS  2
#define RL_EXTENSIONS 4 /* headers of IPv6 that are skipped */

struct rl_wake_packet {
	struct rl_wake_payload payload;
	struct rl_wake_flow flow;
	bool is_v6;
};

struct rl_ip4 {
	__u8 version_len, tos;
	__be16 len, id, fragment;
	__u8 ttl, protocol;
	__be16 check;
	__u32 from, to;
};

struct rl_ip6 {
	__be32 version;
	__be16 len;
	__u8 next, hops;
	__u32 from[4], to[4];
};

struct rl_vlan {
	__be16 tag, protocol;
};

/* The protocol behind the tags at *off, which is moved behind them. */
static __always_inline __be16 rl_packet_untag(void *ctx, int from, __u32 *off, __be16 protocol)
{
	struct rl_vlan vlan;
#pragma unroll
	for (int i = 0; i < RL_VLAN_TAGS; i++) {
		if (protocol != bpf_htons(0x8100) && protocol != bpf_htons(0x88A8))
			break;
		if (rl_wake_load(ctx, from, *off, &vlan, sizeof vlan))
			return 0;
		*off += sizeof vlan;
		protocol = vlan.protocol;
	}
	return protocol;
}

/* Headers: *off is moved behind them, *end is where the packet ends. The protocol within; 0: not to
 * be looked at. */
static __always_inline __u32 rl_packet_v4(void *ctx, int from, __u32 *off, __u32 *end,
	struct rl_wake_packet *p)
{
	struct rl_ip4 ip;
	if (rl_wake_load(ctx, from, *off, &ip, sizeof ip))
		return 0;
	__u32 len = (ip.version_len & 15) * 4;
	if (ip.version_len >> 4 != 4 || len < sizeof ip || (ip.fragment & bpf_htons(0x3FFF)))
		return 0;
	*end = *off + (ip.len ? bpf_ntohs(ip.len) : 0x10000);
	*off += len;
	p->flow.from[0] = ip.from;
	p->flow.to[0] = ip.to;
	return ip.protocol;
}

static __always_inline __u32 rl_packet_v6(void *ctx, int from, __u32 *off, __u32 *end,
	struct rl_wake_packet *p)
{
	struct rl_ip6 ip;
	__u8 next[2];
	if (rl_wake_load(ctx, from, *off, &ip, sizeof ip) || (ip.version & bpf_htonl(0xF0000000))
		!= bpf_htonl(0x60000000))
		return 0;
	*off += sizeof ip;
	*end = *off + (ip.len ? bpf_ntohs(ip.len) : 0x10000);
	__builtin_memcpy(p->flow.from, ip.from, sizeof ip.from);
	__builtin_memcpy(p->flow.to, ip.to, sizeof ip.to);
	p->is_v6 = true;
	__u32 protocol = ip.next;
#pragma unroll
	for (int i = 0; i < RL_EXTENSIONS; i++) {
		/* hop-by-hop, routing, destination */
		if (protocol != 0 && protocol != 43 && protocol != 60)
			break;
		if (rl_wake_load(ctx, from, *off, next, sizeof next))
			return 0;
		protocol = next[0];
		*off += (next[1] + 1) * 8;
	}
	return protocol;
}

/* Where the payload of a transport header at `off` is; false: there is none. */
static __always_inline bool rl_packet_payload(void *ctx, int from, __u32 protocol, __u32 off,
	__u32 end, struct rl_wake_packet *p)
{
	__u8 header[14];
	__u32 len = 8;
	if (protocol == 6) {
		if (rl_wake_load(ctx, from, off, header, sizeof header))
			return false;
		len = (header[12] >> 4) * 4;
		if (len < 20)
			return false;
	} else if (protocol != 17 || rl_wake_load(ctx, from, off, header, 8)) {
		return false;
	}
	p->flow.from_port = header[1] << 8 | header[0];
	p->flow.to_port = header[3] << 8 | header[2];
	p->flow.protocol = protocol;
	p->payload.port = bpf_ntohs(p->flow.to_port);
	p->payload.off = off + len;
	if (end <= p->payload.off)
		return false;
	p->payload.len = end - p->payload.off;
	return true;
}

/* Read the packet whose IP header, or VLAN tag, is at `off`; false: there is nothing to
 * classify. */
static __always_inline bool rl_packet_read(void *ctx, int from, __u32 off, __be16 protocol,
	struct rl_wake_packet *p)
{
	__u32 end = 0, inner = 0;
	protocol = rl_packet_untag(ctx, from, &off, protocol);
	if (protocol == bpf_htons(0x0800))
		inner = rl_packet_v4(ctx, from, &off, &end, p);
	else if (protocol == bpf_htons(0x86DD))
		inner = rl_packet_v6(ctx, from, &off, &end, p);
	return inner && rl_packet_payload(ctx, from, inner, off, end, p);
}

#endif
