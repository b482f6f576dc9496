/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/lane.h"

#include <errno.h>
#include <string.h>

#include "lib/wire/wg.h"

struct wire_announce {
	uint8_t magic[4]; /* the last one is the type */
	uint8_t version;
	uint8_t flags;
	uint8_t lanes;
	uint8_t count;
	wire_le32 index[];
};

struct wire_ping {
	uint8_t magic[4];
	uint8_t flags;
	uint8_t lane;
	uint8_t reserved[2];
	wire_le64 token;
};

#define WANT_BYTES 8

static_assert(sizeof(struct wire_announce) == 8, "announce");
static_assert(offsetof(struct wire_ping, token) == 8, "ping");
static_assert(sizeof(struct wire_ping) <= LANE_MSG_BYTES, "longest message");

static int decode_announce(const uint8_t *data, size_t len, struct lane_msg *out)
{
	const struct wire_announce *a = (const struct wire_announce *)data;

	if (len < sizeof(*a) || a->version != LANE_VERSION || a->lanes > LANE_MAX ||
	    a->count > LANE_MAX || len - sizeof(*a) < a->count * sizeof(a->index[0]))
		return -EBADMSG;
	out->flags = a->flags;
	out->lanes = a->lanes;
	out->count = a->count;
	for (unsigned i = 0; i < a->count; i++)
		out->index[i] = le32_get(&a->index[i]);
	return 0;
}

static int decode_ping(const uint8_t *data, size_t len, struct lane_msg *out)
{
	const struct wire_ping *p = (const struct wire_ping *)data;

	if (len < sizeof(*p) || p->lane == 0 || p->lane > LANE_MAX)
		return -EBADMSG;
	out->flags = p->flags;
	out->lane = p->lane;
	out->token = le64_get(&p->token);
	return 0;
}

int lane_msg_decode(const uint8_t *data, size_t len, struct lane_msg *out)
{
	*out = (struct lane_msg){0};
	if (!lane_msg_is(data, len))
		return -EBADMSG;
	out->type = data[3];
	switch (out->type) {
	case LANE_MSG_ANNOUNCE:
		return decode_announce(data, len, out);
	case LANE_MSG_PING:
	case LANE_MSG_PONG:
		return decode_ping(data, len, out);
	case LANE_MSG_WANT:
		return len < WANT_BYTES ? -EBADMSG : 0;
	default:
		return -EBADMSG;
	}
}

size_t lane_msg_encode(uint8_t out[LANE_MSG_BYTES], const struct lane_msg *m)
{
	const uint8_t magic[4] = {0xf0, 0x63, 0x77, m->type};
	struct wire_announce *a = (struct wire_announce *)out;
	struct wire_ping *p = (struct wire_ping *)out;

	memset(out, 0, LANE_MSG_BYTES);
	memcpy(out, magic, sizeof(magic));
	switch (m->type) {
	case LANE_MSG_ANNOUNCE:
		a->version = LANE_VERSION;
		a->flags = m->flags;
		a->lanes = m->lanes;
		a->count = m->count;
		for (unsigned i = 0; i < m->count && i < LANE_MAX; i++)
			le32_put(&a->index[i], m->index[i]);
		return sizeof(*a) + m->count * sizeof(a->index[0]);
	case LANE_MSG_PING:
	case LANE_MSG_PONG:
		p->flags = m->flags;
		p->lane = m->lane;
		le64_put(&p->token, m->token);
		return sizeof(*p);
	default:
		return WANT_BYTES;
	}
}
