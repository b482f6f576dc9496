/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of an impaired wire, without I/O: frames and the time go in, frames
 * come out when they are due. The stages, in this order:
 *
 *     cut -> loss -> duplication -> rate (queue in bytes) -> delay, jitter, reordering
 *
 * Jitter keeps the order of frames; only `reorder` breaks it, by holding a frame
 * `hold` longer than its followers. Equal seeds and equal input give equal fates.
 * One thread owns a struct impair; frames belong to it until popped, then to the caller,
 * who frees them with free().
 */
#ifndef TESTS_LAB_IMPAIR_H
#define TESTS_LAB_IMPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPAIR_NEVER UINT64_MAX

struct impair_options {
	double loss;	    /* probability, 0 to 1 */
	double dup;	    /* probability of one more copy */
	double reorder;	    /* probability of being held `hold_ns` longer */
	uint64_t delay_ns;  /* one way */
	uint64_t jitter_ns; /* uniform, plus or minus */
	uint64_t hold_ns;   /* see reorder */
	uint64_t rate_bps;  /* bits of frame a second, 0 = no limit */
	uint64_t queue;	    /* bytes that may wait for the rate */
	uint64_t limit;	    /* frames held in all, delayed ones included */
	bool cut;	    /* nothing passes */
};

struct impair_counters {
	uint64_t in, in_bytes, out, out_bytes;
	uint64_t lost, cut, queue_drops, limit_drops, duplicated, reordered;
	uint64_t supers;      /* frames that offloads had glued: judged as one */
	uint64_t send_errors; /* counted by the owner of the sockets */
	uint64_t held_max;
};

struct impair_frame {
	uint64_t due_ns;
	uint64_t order; /* of arrival: ties in due_ns keep it */
	uint32_t len;
	uint8_t data[];
};

struct impair {
	struct impair_options opt;
	struct impair_counters count;
	struct impair_frame **heap; /* smallest (due_ns, order) first */
	size_t held, room;
	uint64_t rng;
	uint64_t order;
	uint64_t line_free_ns; /* when the rate stage has sent what it holds */
	uint64_t last_due_ns;
};

void impair_init(struct impair *w, uint64_t seed);
void impair_fini(struct impair *w);

/*
 * Changes options by text: "delay=20ms,jitter=2ms,loss=1%,dup=0.5%,reorder=2%,hold=5ms,
 * rate=100mbit,queue=256k,limit=5000,cut=1". What is not named stays; on an error
 * (-EINVAL, the reason in err) nothing changes.
 */
int impair_set(struct impair_options *opt, const char *text, char *err, size_t err_size);

/* Takes a frame (copied). wire_len is what the rate stage counts. -ENOMEM or 0. */
int impair_push(struct impair *w, const void *data, uint32_t len, uint32_t wire_len,
		uint64_t now_ns);

/* Time of the next frame, or IMPAIR_NEVER. */
uint64_t impair_next_ns(const struct impair *w);

/* A frame that is due at now_ns, or NULL; the caller frees it. */
struct impair_frame *impair_pop(struct impair *w, uint64_t now_ns);

#endif
