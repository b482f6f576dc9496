/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of numbered packets: which numbers came, twice or out of order, which did
 * not, and how long nothing came. Numbers run over all flows together; order is judged
 * within a flow. One thread.
 */
#ifndef TESTS_LAB_ACCOUNT_H
#define TESTS_LAB_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ACCOUNT_FLOWS	4096
#define ACCOUNT_RUNS	64 /* missing runs that are listed */
#define ACCOUNT_SEQ_MAX (1ull << 33)

struct account {
	uint64_t *seen; /* bitmap by number */
	uint64_t words;
	uint64_t packets, unique, duplicates, reordered, foreign;
	uint64_t highest; /* number + 1; 0 = none yet */
	uint64_t told;	  /* how many the sender says it sent, once sender_done */
	bool sender_done;
	uint64_t first_ns, last_ns;
	uint64_t gap_ns, gap_start_ns; /* longest silence between two packets */
	uint64_t flow_highest[ACCOUNT_FLOWS];
};

void account_init(struct account *a);
void account_fini(struct account *a);
void account_take(struct account *a, uint32_t flow, uint64_t seq, uint64_t now_ns);

/* The sender is done and says how many it sent. */
void account_done(struct account *a, uint64_t sent);

/* One JSON object: counts, loss, longest gap, the first runs of missing numbers. */
void account_print(const struct account *a, FILE *out);

#endif
