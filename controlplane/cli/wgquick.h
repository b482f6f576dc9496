/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a wg-quick(8) file: [Interface] and [Peer] sections. Pure: text in, struct
 * out. Keys are the file's secrets: wgquick_free wipes them.
 *
 * A peer is named by a comment of one word (or "name = word") in the line before
 * its [Peer] or right behind it; else peer1, peer2, ...
 */
#ifndef CONTROLPLANE_CLI_WGQUICK_H
#define CONTROLPLANE_CLI_WGQUICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/key.h"

#define WGQUICK_NAME_MAX 32
#define WGQUICK_TEXT_MAX 160

struct wgquick_error {
	unsigned line; /* from 1 */
	char text[256];
};

/* An address of the interface: unlike a prefix it keeps its host bits. */
struct wgquick_address {
	struct ip_addr addr;
	uint8_t prefix_len;
};

/* A setting that another program or nobody takes over. */
struct wgquick_note {
	unsigned line;
	char text[WGQUICK_TEXT_MAX]; /* "DNS = 10.0.0.1", printable */
};

struct wgquick_peer {
	unsigned line; /* of its [Peer] */
	char name[WGQUICK_NAME_MAX];
	bool has_public_key;
	bool has_preshared_key;
	struct key public_key;
	struct key preshared_key;
	struct endpoint endpoint; /* family 0: none */
	struct prefix *allowed;
	size_t allowed_count;
	unsigned keepalive_s; /* 0: none */
};

struct wgquick {
	bool has_private_key;
	struct key private_key;
	struct wgquick_address *addresses;
	size_t address_count;
	unsigned listen_port; /* 0: not given */
	unsigned mtu;	      /* 0: not given */
	struct wgquick_note *notes;
	size_t note_count;
	struct wgquick_peer *peers;
	size_t peer_count;
};

/* 0, or -EINVAL with err filled, or -ENOMEM. */
int wgquick_parse(const char *text, size_t len, struct wgquick **out, struct wgquick_error *err);
void wgquick_free(struct wgquick *wg);

#endif
