/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any order of events at the control engine, with any answers: it keeps its word on
 * what may be under way at a time, and never asks for a time that has passed twice.
 */
#include <stdlib.h>
#include <string.h>

#include "controlplane/control/control.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t next_random;

static void fill(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = next_random++;
}

static const struct wg_random source = {.fill = fill};

static void drain(struct control *c)
{
	struct control_action a;

	while (control_next(c, &a)) {
		bool has_body = a.type == CONTROL_SEND_REGISTER || a.type == CONTROL_SEND_UPDATE ||
				a.type == CONTROL_OPEN_STREAM;

		BUG_ON(has_body != (a.body != NULL));
		free(a.body);
	}
	BUG_ON(c->is_out_of_memory);
	BUG_ON(c->is_logged_in && key_is_zero(&c->keys.node_private));
	BUG_ON(!c->is_logged_in && (c->is_stream_open || c->is_update_under_way));
}

/* One byte says what happens, the next how much of the rest belongs to it. */
static void event(struct control *c, uint8_t what, const uint8_t *arg, size_t len, uint64_t now)
{
	static const char *const answers[] = {"{}", "{\"NodeKeyExpired\":true}",
					      "{\"AuthURL\":\"a\"}", "{\"Error\":\"e\"}"};
	struct control_endpoint e = {.endpoint.port = what};
	const char *canned = answers[what >> 4 & 3];

	switch (what & 15) {
	case 0:
		control_log_in(c, what & 16 ? "key" : NULL, what & 32, now);
		break;
	case 1:
		control_log_out(c, now);
		break;
	case 2:
		control_pause(c);
		break;
	case 3:
		control_resume(c, now);
		break;
	case 4:
		control_on_registered(c, 200, (const char *)arg, len, 0, now);
		break;
	case 5:
		control_on_registered(c, 200, canned, strlen(canned), 0, now);
		break;
	case 6:
		control_on_registered(c, what & 16 ? 429 : 500, (const char *)arg, len, what, now);
		break;
	case 7:
		control_on_register_lost(c, "lost", now);
		break;
	case 8:
		control_on_stream_alive(c, what & 16, now);
		break;
	case 9:
		control_on_stream_ended(c, now);
		break;
	case 10:
		control_on_updated(c, what & 16 ? 200 : 0, now);
		break;
	case 11:
		control_set_endpoints(c, &e, 1, now);
		break;
	case 12:
		control_on_key_expired(c);
		break;
	default:
		control_on_time(c, now);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_keys keys = {0};
	struct key disco = {0};
	struct control c;
	json_t *hostinfo = json_object();
	uint64_t now = 1000000000;

	control_init(&c, &keys, &disco, &source);
	control_set_hostinfo(&c, hostinfo, now);
	json_decref(hostinfo);
	while (size >= 2) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;

		event(&c, data[0], data + 2, len, now);
		drain(&c);
		if (control_deadline(&c) != CONTROL_NEVER && data[0] & 128)
			now = control_deadline(&c) > now ? control_deadline(&c) : now;
		control_on_time(&c, now);
		drain(&c);
		BUG_ON(control_deadline(&c) <= now);
		data += 2 + len;
		size -= 2 + len;
	}
	control_fini(&c);
	return 0;
}
