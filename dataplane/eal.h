/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's environment: cores, memory and the packet pool, made from our options
 * rather than from EAL's own. Control thread, once.
 */
#ifndef DATAPLANE_EAL_H
#define DATAPLANE_EAL_H

#include "dataplane/dataplane.h"
#include "dataplane/options.h"

/*
 * Starts EAL with one lcore for the control thread and one a worker. Without
 * free hugepages (or with --no-huge) memory comes from ordinary pages. Sets
 * dp->no_huge, is_pinned. 0 or a negative errno, already logged.
 */
int eal_start(const struct options *o, struct dataplane *dp);

/*
 * A pool of packet buffers for a port that wants that much data room (0: the usual);
 * the same for all that want the same. NULL is logged.
 */
struct rte_mempool *eal_pool(uint32_t data_bytes);

#endif
