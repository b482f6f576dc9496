/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/xdp_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/tun.h"
#include "dataplane/port/xdp_queue.h"
#include "ebpf/steer_shared.h"

static int refuse(struct xdp_spec *s, const char *key, const char *value, const char *why)
{
	snprintf(s->err, PORT_ERROR_TEXT, "%.32s=%.64s: %s", key, value, why);
	return -EINVAL;
}

static int parse_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || v < min || v > max)
		return -EINVAL;
	*out = (unsigned)v;
	return 0;
}

static int add_netdev(struct xdp_spec *s, const char *key, const char *name, size_t len)
{
	struct port_netdev *d = &s->netdev[s->netdev_count];
	char text[IF_NAMESIZE];

	if (!len || len >= sizeof(text))
		return refuse(s, key, name, "not an interface name");
	memcpy(text, name, len);
	text[len] = '\0';
	for (unsigned i = 0; i < s->netdev_count; i++) {
		if (!strcmp(s->netdev[i].name, text))
			return refuse(s, key, text,
				      "named twice; an interface is either wan or lan");
	}
	if (s->netdev_count == PORT_NETDEVS_MAX)
		return refuse(s, key, text, "more interfaces than a port takes");
	*d = (struct port_netdev){.is_wan = !strcmp(key, "wan"), .is_lan = !strcmp(key, "lan")};
	memcpy(d->name, text, sizeof(text));
	s->netdev_count++;
	return 0;
}

static int add_netdevs(struct xdp_spec *s, const char *key, const char *names)
{
	for (;;) {
		size_t len = strcspn(names, "+");
		int rc = add_netdev(s, key, names, len);

		if (rc)
			return rc;
		if (!names[len])
			return 0;
		names += len + 1;
	}
}

static int set_mode(struct xdp_spec *s, const char *value)
{
	if (!strcmp(value, "auto"))
		s->mode = XDP_STEER_AUTO;
	else if (!strcmp(value, "native"))
		s->mode = XDP_STEER_NATIVE;
	else if (!strcmp(value, "generic"))
		s->mode = XDP_STEER_GENERIC;
	else
		return refuse(s, "mode", value, "not one of auto, native, generic");
	return 0;
}

static int set_argument(void *ctx, const char *key, const char *value)
{
	struct xdp_spec *s = ctx;
	unsigned number;

	if (!strcmp(key, "wan") || !strcmp(key, "lan"))
		return add_netdevs(s, key, value);
	if (!strcmp(key, "mode"))
		return set_mode(s, value);
	if (!strcmp(key, "tun")) {
		if (!tun_name_is_valid(value))
			return refuse(s, key, value,
				      "not an interface name (1 to 15 letters, digits, '_-.')");
		snprintf(s->tun, sizeof(s->tun), "%s", value);
	} else if (!strcmp(key, "listen")) {
		if (parse_number(value, 0, UINT16_MAX, &number))
			return refuse(s, key, value, "not a UDP port (0 to 65535)");
		s->listen_port = (uint16_t)number;
		s->has_listen = true;
	} else if (!strcmp(key, "queues")) {
		if (parse_number(value, 1, STEER_QUEUES_MAX, &s->queues_max))
			return refuse(s, key, value, "not a number of queues (1 to 64)");
	} else if (!strcmp(key, "mtu")) {
		if (parse_number(value, TUN_MTU_MIN, TUN_MTU_MAX, &s->mtu))
			return refuse(s, key, value, "not an MTU (576 to 65472)");
	} else {
		return refuse(s, key, value,
			      "unknown; an xdp port has wan, lan, listen, tun, queues, mtu, mode");
	}
	return 0;
}

uint32_t xdp_spec_mbuf_bytes(const char *text)
{
	struct xdp_spec s;
	char err[PORT_ERROR_TEXT];
	uint32_t bytes;

	if (xdp_spec_parse(text, &s, err))
		return 0;
	bytes = XDP_QUEUE_HEADROOM + ETHER_HEADER_BYTES + s.mtu + PACKET_TAILROOM;
	return bytes < XDP_QUEUE_CHUNK_MAX ? bytes : XDP_QUEUE_CHUNK_MAX;
}

int xdp_spec_parse(const char *text, struct xdp_spec *s, char *err)
{
	const char *missing = NULL;
	int rc;

	*s = (struct xdp_spec){.err = err, .mtu = TUN_MTU_DEFAULT};
	rc = port_spec_parse(text, set_argument, s, err);
	if (rc)
		return rc;
	if (!s->tun[0])
		missing = "tun";
	else if (!s->has_listen)
		missing = "listen";
	else if (!s->netdev_count)
		missing = "wan";
	if (missing) {
		snprintf(err, PORT_ERROR_TEXT, "xdp port: %s= is missing", missing);
		return -EINVAL;
	}
	return 0;
}
