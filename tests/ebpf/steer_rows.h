/* SPDX-License-Identifier: Apache-2.0 */
/* The table of steer_test: a frame, and what is to become of it. */
#ifndef TESTS_EBPF_STEER_ROWS_H
#define TESTS_EBPF_STEER_ROWS_H

#include <stddef.h>

#include "ebpf/steer_shared.h"
#include "tests/ebpf/packet.h"

#define MESH_MTU 1280

#define OUR4	"192.0.2.1"
#define OTHER4	"192.0.2.2"
#define OUR6	"2001:db8::1"
#define OTHER6	"2001:db8::2"
#define MESH4	"100.64.3.4"
#define MESH6	"fd7a:115c::34"
#define SUBNET4 "10.7.0.9"
#define HOLE4	"10.7.1.9"
#define HOLE6	"fd7a:115c:1::9"

enum side {
	WAN,
	LAN,
};

/* frame.extension == HOP_BY_HOP stands for header 0, since 0 means "none" there. */
#define HOP_BY_HOP 0xff

struct row {
	const char *name;
	enum side side;
	enum steer_verdict verdict;
	struct frame frame;
};

extern const struct row steer_rows[];
extern const size_t steer_row_count;

#endif
