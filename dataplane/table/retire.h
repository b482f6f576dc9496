/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freeing what readers may still hold. The control thread unlinks an object,
 * hands it to retire(), and it is freed once every worker has passed through a
 * quiescent state (rte_rcu_qsbr; a worker's id is its RCU thread id, and a
 * worker that sleeps is offline, or nothing is ever freed).
 *
 * First in, first out: an object that is retired behind another one is freed
 * behind it. A free function may retire again. Control thread only.
 */
#ifndef DATAPLANE_TABLE_RETIRE_H
#define DATAPLANE_TABLE_RETIRE_H

#include <stddef.h>
#include <stdint.h>

struct rte_rcu_qsbr;

/* NULL: there are no readers, everything is freed at once (tests, exit). */
void retire_init(struct rte_rcu_qsbr *qs);
/* Calls fn(ptr) after quiescence. ptr NULL: nothing. Never fails. */
void retire(void *ptr, void (*fn)(void *ptr));
/* The same for a part of an owner: fn(owner, index). */
void retire_index(void *owner, uint32_t index, void (*fn)(void *owner, uint32_t index));
/* Frees what is due, does not wait. From the control thread's timer. Returns what is left. */
size_t retire_poll(void);
/* Waits for all workers until nothing is left. The caller is no reader. */
void retire_drain(void);
/* Drains and gives back the queue's own memory. */
void retire_fini(void);

#endif
