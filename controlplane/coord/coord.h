/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator put together: requests of nodes come from the transport, decisions
 * read the picture and go to the store, the store's changes go to the picture, and
 * what they mean to the nodes goes out by the map streams.
 *
 *   ts2021_server ──> register ──────┐
 *              └────> map request ───┤ store_submit
 *                      maps <── picture <── change feed <── store
 *
 *   coord.c          wiring, presence, fail-over of routes
 *   coord_request.c  /machine/register and /machine/map
 *   coord_metrics.c  counters and state for a monitor
 *
 * The loop's thread only.
 */
#ifndef CONTROLPLANE_COORD_COORD_H
#define CONTROLPLANE_COORD_COORD_H

#include "controlplane/coord/maps.h"
#include "controlplane/coord/register.h"

struct coord_config {
	uv_loop_t *loop;
	const char *database;
	const char *url;
	const char *domain;
	const char *derp_map; /* JSON; NULL: none */
	/* HuJSON, looked at; stored at the start unless it was before. NULL: none. */
	const char *policy;
	const char *dns;       /* DNSConfig, JSON (dns_doc.h), until one is set; NULL: none */
	struct key server_key; /* Noise, private */
	int64_t key_life_ns;
	/* The picture is whole: begin to listen. */
	void (*on_ready)(void *arg);
	void (*on_failed)(void *arg, int err);
	void *arg;
};

struct coord {
	struct coord_config cfg;
	struct store *store;
	struct picture picture;
	struct visibility *visibility;
	struct maps *maps;
	struct registrar *registrar;
	struct ts2021_server *server;
	uv_timer_t prune;
	char *dns_plain; /* DNSConfig without settings: the nodes' names */
	bool is_ready, is_closing;
};

/* Texts are borrowed. 0 or a negative errno; coord_close in either case. */
int coord_open(struct coord *c, const struct coord_config *cfg);
/* Streams end, what was submitted is done. Run the loop until it is empty, then coord_fini. */
void coord_close(struct coord *c);
void coord_fini(struct coord *c);
/* Prometheus text; malloc'd, NULL: no memory. */
char *coord_metrics(const struct coord *c, size_t *len);

/* ---- coord_request.c ---- */

extern const struct ts2021_handler coord_handler;
extern const struct maps_sink coord_sink;

#endif
