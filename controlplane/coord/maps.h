/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map streams: a full map for who begins one, then only what changed.
 *
 *   picture: node 7 has new endpoints ──> events  [.. 41:(7,ENDPOINTS) 42:(9,WHOLE)]
 *                                                   ^ each watcher's place
 *   flush: for each watcher, its events joined by node ──> what that means to it
 *          (insert, replace, remove, patch) ──> the same list as another's? the same bytes
 *
 * A change goes out at once when nothing was sent within the last WINDOW, else with
 * what comes until the window ends. A watcher whose bytes do not leave is passed over
 * and gets what gathered, joined, when they have. What a watcher was told of (`known`)
 * decides: a patch never names a node that it does not know.
 *
 * A node is online while it has a stream and for a grace after it: that is known here
 * alone and not stored. Who sees whom, and what of it, visibility.h says. The loop's
 * thread only.
 */
#ifndef CONTROLPLANE_COORD_MAPS_H
#define CONTROLPLANE_COORD_MAPS_H

#include <uv.h>

#include "controlplane/coord/visibility.h"
#include "controlplane/ts2021/ts2021_server.h"

struct maps;
struct maps_watcher;

/* Where the frames of a stream go. */
struct maps_sink {
	int (*write)(void *to, struct ts2021_bytes *b); /* 0, or it is over */
	size_t (*queued)(void *to);
	/* No more comes; maps_close is not called for it. */
	void (*end)(void *to);
};

struct maps_config {
	uv_loop_t *loop;
	const struct picture *picture;
	struct visibility *visibility;
	const struct maps_sink *sink;
	const char *derp_map; /* JSON, used while the store has none; NULL: none */
	/*
	 * A node came or went. is_change false: it was not there since the start, and its
	 * time to come back is over.
	 */
	void (*on_presence)(void *arg, int64_t node_id, bool is_online, bool is_change);
	void *arg;
};

struct maps_counts {
	uint64_t messages, encoded, bytes; /* since the start */
	unsigned watchers;
};

/* Copies the configuration. 0 or a negative errno. */
int maps_open(const struct maps_config *cfg, struct maps **out);
/* Ends all streams; frees when the loop has closed its handles. */
void maps_close(struct maps *m);
/* Of the picture: see picture.on_change. */
void maps_changed(struct maps *m, int64_t node_id, unsigned what);
/* Packet filters are others: whose, each watcher finds out for itself. */
void maps_filters_changed(struct maps *m);
bool maps_is_online(const struct maps *m, int64_t node_id);
/* Not online, and had its time to come: after a start that is a minute. */
bool maps_is_absent(const struct maps *m, int64_t node_id);
void maps_counts(const struct maps *m, struct maps_counts *out);

/*
 * A stream of a node that the picture has: writes the full map. A stream that the node
 * had is ended. NULL: no memory, or the sink failed.
 */
struct maps_watcher *maps_watch(struct maps *m, struct picture_node *n, bool is_zstd, void *to);
/* Its bytes have left. */
void maps_drained(struct maps_watcher *w);
/* The other side went. */
void maps_unwatch(struct maps_watcher *w);

/* One full map; the caller's (ts2021_bytes_put). NULL: no memory. */
struct ts2021_bytes *maps_full(struct maps *m, const struct picture_node *n, bool is_zstd);

#endif
