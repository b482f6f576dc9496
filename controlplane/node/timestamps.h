/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last TAI64N of each key, on disk (STATE/timestamps): what was accepted
 * from a peer, so that an initiation recorded before a restart cannot be
 * replayed after it, and what we sent ourselves (under our own public key), so
 * that our timestamps never go backwards when the clock does.
 *
 * The file is an array of pairs, one pair a key:
 *
 *   | key 32 | tai64n 12 | seq u32 | checksum 16 || the same again, older or newer |
 *
 * A write goes over the older half, so one cut short leaves the other half
 * standing: at worst the timestamp before it. pwrite alone survives kill -9;
 * what must survive a power cut is flushed by timestamps_sync (any thread, on
 * timestamps_fd). All else: the loop's thread.
 */
#ifndef CONTROLPLANE_NODE_TIMESTAMPS_H
#define CONTROLPLANE_NODE_TIMESTAMPS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/wire/wg.h"

#define TIMESTAMPS_FILE "timestamps"
#define TIMESTAMPS_MAX	(1u << 20) /* keys; a file with more is not ours */

struct timestamps;

/* Reads the file of this folder, or makes it. Halves that do not check are skipped. */
int timestamps_open(const char *state_dir, struct timestamps **out);
void timestamps_close(struct timestamps *ts);
/* False: nothing is known of this key; tai is zeroed. */
bool timestamps_get(const struct timestamps *ts, const uint8_t key[WG_KEY_BYTES],
		    uint8_t tai[WG_TIMESTAMP_BYTES]);
/* On disk (in the kernel) when it returns 0. */
int timestamps_put(struct timestamps *ts, const uint8_t key[WG_KEY_BYTES],
		   const uint8_t tai[WG_TIMESTAMP_BYTES]);
int timestamps_fd(const struct timestamps *ts);
/* True once after each group of puts: the caller owes an fdatasync. */
bool timestamps_take_dirty(struct timestamps *ts);

#endif
