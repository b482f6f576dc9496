/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DPDK and its drivers print, through our log: and the first complaint of this
 * thread, for the sentence of whoever asked DPDK for something. Any thread.
 */
#ifndef DATAPLANE_PORT_DPDK_LOG_H
#define DATAPLANE_PORT_DPDK_LOG_H

/* Before rte_eal_init(). */
void dpdk_log_init(void);
/* Forgets what was complained of. */
void dpdk_log_clear(void);
/* Text of the first error since dpdk_log_clear(), "" = none. This thread's. */
const char *dpdk_log_first(void);

#endif
