/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers and a writer for the tests of dataplane/table: threads that are
 * registered with one rte_rcu_qsbr, as workers are, and random numbers.
 */
#ifndef TESTS_UNIT_TABLE_RCU_H
#define TESTS_UNIT_TABLE_RCU_H

#include <pthread.h>
#include <rte_rcu_qsbr.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "dataplane/table/retire.h"
#include "lib/base/bug.h"

#define RCU_THREADS 3

static struct rte_rcu_qsbr *rcu;
static atomic_bool rcu_stop;

static inline uint64_t test_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline void rcu_setup(void)
{
	rcu = aligned_alloc(64, rte_rcu_qsbr_get_memsize(RCU_THREADS));
	BUG_ON(!rcu || rte_rcu_qsbr_init(rcu, RCU_THREADS));
	atomic_store(&rcu_stop, false);
	retire_init(rcu);
}

static inline void rcu_teardown(void)
{
	retire_fini();
	free(rcu);
}

static inline void rcu_enter(unsigned id)
{
	BUG_ON(rte_rcu_qsbr_thread_register(rcu, id));
	rte_rcu_qsbr_thread_online(rcu, id);
}

static inline void rcu_leave(unsigned id)
{
	rte_rcu_qsbr_thread_offline(rcu, id);
	rte_rcu_qsbr_thread_unregister(rcu, id);
}

/* Runs fn(0..RCU_THREADS-1) as threads beside writer(), then stops them. */
static inline void rcu_run(void *(*fn)(void *id), void (*writer)(void))
{
	pthread_t thread[RCU_THREADS];

	for (uintptr_t i = 0; i < RCU_THREADS; i++)
		BUG_ON(pthread_create(&thread[i], NULL, fn, (void *)i));
	writer();
	atomic_store(&rcu_stop, true);
	for (unsigned i = 0; i < RCU_THREADS; i++)
		BUG_ON(pthread_join(thread[i], NULL));
}

#endif
