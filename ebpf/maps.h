/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Maps of the XDP programs. All but `counters`, `sources` and `total` are written
 * by the dataplane's control thread only, and read here.
 */
#ifndef EBPF_MAPS_H
#define EBPF_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "ebpf/steer_shared.h"

/* The AF_XDP socket of each queue of each interface; see struct steer_iface. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_IFACES_MAX *STEER_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

/* The interfaces the programs are attached to, by ifindex. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_IFACES_MAX);
	__type(key, __u32);
	__type(value, struct steer_iface);
} ifaces SEC(".maps");

/* This host's unicast addresses: what is for someone else is only passing through. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_LOCALS_MAX);
	__type(key, struct steer_addr);
	__type(value, __u32);
} locals SEC(".maps");

/* Destinations that the dataplane forwards into the mesh. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, STEER_PREFIXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct steer_key4);
	__type(value, struct steer_prefix);
} mesh4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, STEER_PREFIXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct steer_key6);
	__type(value, struct steer_prefix);
} mesh6 SEC(".maps");

/* Handshake limits now in force. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_limits);
} limits SEC(".maps");

/* Per source of handshakes: the time at which its bucket is full again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STEER_SOURCES_MAX);
	__type(key, struct steer_addr);
	__type(value, __u64);
} sources SEC(".maps");

/* The same for all sources together. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} total SEC(".maps");

/* One count a verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_VERDICT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

#endif
