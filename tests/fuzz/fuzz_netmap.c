/* SPDX-License-Identifier: Apache-2.0 */
/* Map frames of any bytes, and what the messages in them make of a picture. */
#include <stdlib.h>

#include "controlplane/netmap/netmap_diff.h"
#include "controlplane/netmap/netmap_filter.h"
#include "controlplane/tailcfg/map_frame.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(void *arg, const char *text, size_t len)
{
	struct netmap **m = arg, *made;
	struct netmap_diff diff;
	struct rule_list rules;
	struct json_in in;
	uint32_t skipped;
	json_t *message = json_in_parse(&in, text, len);
	int rc = message ? netmap_apply(*m, message, 1, &made, &in) : -1;

	json_decref(message);
	BUG_ON(rc && !in.error[0]);
	if (rc)
		return 0;
	BUG_ON(netmap_diff_make(*m, made, &diff));
	netmap_diff_fini(&diff);
	netmap_filter_make(made, &rules, &skipped);
	rule_list_fini(&rules);
	for (uint32_t i = 1; i < made->peer_count; i++)
		BUG_ON(made->peers[i - 1]->id >= made->peers[i]->id);
	netmap_free(*m);
	*m = made;
	return 0;
}

/* The first byte says whether the frames are compressed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct map_frame_reader *r;
	char err[MAP_FRAME_ERROR_MAX];
	struct netmap *m = NULL;

	if (!size)
		return 0;
	r = map_frame_reader_new(data[0] & 1, 1u << 20);
	BUG_ON(!r);
	map_frame_feed(r, data + 1, size - 1, take, &m, err);
	map_frame_reader_free(r);
	netmap_free(m);
	return 0;
}
