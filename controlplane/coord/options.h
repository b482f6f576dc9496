/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of causeway-coord: its command line, and a file in HuJSON with the same
 * names (- written as _), where "dns" is an object more (dns_doc.h). What the command
 * line says wins. Texts of the command line are borrowed, those of the file owned. One
 * thread.
 */
#ifndef CONTROLPLANE_COORD_OPTIONS_H
#define CONTROLPLANE_COORD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"

#define OPTIONS_TEXTS_MAX 16

struct options {
	int64_t key_days;
	const char *listen, *listen_tls, *tls_cert, *tls_key, *url, *state, *socket, *derp_map,
		*policy, *domain, *metrics;
	enum log_level log_level;
	char *dns; /* DNSConfig, JSON; NULL: nothing is set */
	bool is_check;
	char *texts[OPTIONS_TEXTS_MAX]; /* of the file */
	unsigned text_count;
};

/* 0 to go on; else the exit status + 1, and all is said. options_fini in either case. */
int options_parse(int argc, char **argv, struct options *o);
void options_fini(struct options *o);

#endif
