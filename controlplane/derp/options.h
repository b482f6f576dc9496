/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of causeway-derp: its command line, and a file in HuJSON with the same
 * names (- written as _). What the command line says wins. Strings live as long as the
 * process: the file is read once.
 */
#ifndef CONTROLPLANE_DERP_OPTIONS_H
#define CONTROLPLANE_DERP_OPTIONS_H

#include "controlplane/derp/worker.h"
#include "lib/base/log.h"

#define OPTIONS_STUNS_MAX 4

struct options {
	struct endpoint listen[LISTENS_MAX], stun[OPTIONS_STUNS_MAX];
	unsigned listen_count, stun_count;
	const char *state_dir, *hostname, *tls_cert, *tls_key, *mesh_key_file, *config;
	const char *verify_url; /* NULL: everybody is let in */
	bool verify_fail_open;
	bool self_signed;
	bool check, print_map;
	unsigned workers; /* 0: one a core that the process may use */
	struct relay_limits limits;
	enum log_level log_level;
};

/* 0 to go on; else the exit status + 1, and all is said. */
int options_parse(int argc, char **argv, struct options *o);

#endif
