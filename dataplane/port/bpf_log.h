/* SPDX-License-Identifier: Apache-2.0 */
/* What libbpf and libxdp would print goes through lib/base/log, a line each. */
#ifndef DATAPLANE_PORT_BPF_LOG_H
#define DATAPLANE_PORT_BPF_LOG_H

/* Before the first use of the libraries; again does no harm. Control thread. */
void bpf_log_init(void);

#endif
