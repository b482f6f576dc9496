/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/dpdk_spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/port/tun.h"
#include "lib/base/bug.h"
#include "lib/wire/ether.h"

#define QUEUES_MAX 64
#define RINGS_MIN  64
#define RINGS_MAX  4096

static int refuse(struct dpdk_spec *s, const char *key, const char *value, const char *why)
{
	snprintf(s->err, PORT_ERROR_TEXT, "%.32s=%.96s: %s", key, value, why);
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

/* "0000:3b:00.0" or "3b:00.0" */
static bool is_pci_address(const char *name)
{
	size_t digits = strspn(name, "0123456789abcdefABCDEF:");

	return strchr(name, ':') && name[digits] == '.' && name[digits + 1] >= '0' &&
	       name[digits + 1] <= '7' && !name[digits + 2];
}

static bool is_device_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("_-.:", *c))
			return false;
	}
	return name[0] != '\0';
}

/* One "k=v" behind the device's name: ours is tap=, the driver has the rest. */
static int add_device_argument(struct dpdk_spec *s, struct dpdk_spec_device *d, const char *key,
			       const char *argument)
{
	size_t used = strlen(d->args);
	struct rte_ether_addr mac;
	int n;

	if (!strncmp(argument, "tap=", 4)) {
		if (!tun_name_is_valid(argument + 4))
			return refuse(s, key, argument,
				      "not an interface name (1 to 15 letters, digits, '_-.')");
		snprintf(d->tap, sizeof(d->tap), "%s", argument + 4);
		return 0;
	}
	if (!strncmp(argument, "mac=", 4) && strcmp(argument + 4, "fixed") &&
	    rte_ether_unformat_addr(argument + 4, &mac))
		return refuse(s, key, argument, "not a MAC address");
	if (!strchr(argument, '=') || argument[0] == '=')
		return refuse(s, key, argument, "a device's argument is not key=value");
	n = snprintf(d->args + used, sizeof(d->args) - used, "%s%s", used ? "," : "", argument);
	if ((size_t)n >= sizeof(d->args) - used)
		return refuse(s, key, d->name, "arguments are too long");
	return 0;
}

/* What a driver cannot do without; few of them say so. */
static const char *missing_argument(const struct dpdk_spec_device *d)
{
	static const struct {
		const char *driver, *key;
	} needs[] = {
		{"net_vhost", "iface="},
		{"net_virtio_user", "path="},
		{"net_af_packet", "iface="},
		{"net_af_xdp", "iface="},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
		if (!strncmp(d->name, needs[i].driver, strlen(needs[i].driver)) &&
		    !strstr(d->args, needs[i].key))
			return needs[i].key;
	}
	return NULL;
}

static int add_device(struct dpdk_spec *s, const char *key, char *text)
{
	struct dpdk_spec_device *d = &s->device[s->device_count];
	char *name = strsep(&text, ";"), *argument;
	int rc;

	if (s->device_count == PORT_NETDEVS_MAX)
		return refuse(s, key, name, "more devices than a port takes");
	if (!is_device_name(name) || strlen(name) >= sizeof(d->name))
		return refuse(s, key, name, "not a device (net_memif0, net_vhost0, 0000:3b:00.0)");
	*d = (struct dpdk_spec_device){.is_wan = !strcmp(key, "wan")};
	for (unsigned i = 0; i < s->device_count; i++) {
		if (!strcmp(s->device[i].name, name))
			return refuse(s, key, name, "named twice; a device is either wan or lan");
	}
	memcpy(d->name, name, strlen(name));
	d->is_pci = is_pci_address(name);
	while ((argument = strsep(&text, ";"))) {
		rc = add_device_argument(s, d, key, argument);
		if (rc)
			return rc;
	}
	key = missing_argument(d);
	if (key) {
		snprintf(s->err, PORT_ERROR_TEXT, "%s: needs %s...", d->name, key);
		return -EINVAL;
	}
	s->device_count++;
	return 0;
}

static int add_devices(struct dpdk_spec *s, const char *key, const char *value)
{
	char copy[PORT_NETDEVS_MAX * DPDK_SPEC_ARGS_MAX];
	char *rest = copy, *device;

	if (strlen(value) >= sizeof(copy))
		return refuse(s, key, value, "too long");
	memcpy(copy, value, strlen(value) + 1);
	while ((device = strsep(&rest, "+"))) {
		int rc = add_device(s, key, device);

		if (rc)
			return rc;
	}
	return 0;
}

static int set_choice(struct dpdk_spec *s, const char *key, const char *value, const char *no,
		      const char *yes, bool *out)
{
	char why[64];

	*out = !strcmp(value, yes);
	if (*out || !strcmp(value, no))
		return 0;
	snprintf(why, sizeof(why), "neither %s nor %s", no, yes);
	return refuse(s, key, value, why);
}

static int set_argument(void *ctx, const char *key, const char *value)
{
	struct dpdk_spec *s = ctx;
	unsigned number;

	if (!strcmp(key, "wan") || !strcmp(key, "lan"))
		return add_devices(s, key, value);
	if (!strcmp(key, "poll"))
		return set_choice(s, key, value, "auto", "always", &s->is_polled_always);
	if (!strcmp(key, "accept"))
		return set_choice(s, key, value, "own", "any", &s->accepts_any);
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
		if (parse_number(value, 1, QUEUES_MAX, &s->queues_max))
			return refuse(s, key, value, "not a number of queues (1 to 64)");
	} else if (!strcmp(key, "rings")) {
		if (parse_number(value, RINGS_MIN, RINGS_MAX, &s->rings))
			return refuse(s, key, value, "not a number of descriptors (64 to 4096)");
	} else if (!strcmp(key, "mtu")) {
		if (parse_number(value, TUN_MTU_MIN, TUN_MTU_MAX, &s->mtu))
			return refuse(s, key, value, "not an MTU (576 to 9216)");
	} else {
		return refuse(s, key, value,
			      "unknown; a dpdk port has wan, lan, listen, tun, mtu, queues, rings, "
			      "poll, accept");
	}
	return 0;
}

/* Names of TAPs that are not given. */
static int name_taps(struct dpdk_spec *s)
{
	unsigned number[2] = {0, 0};

	for (unsigned i = 0; i < s->device_count; i++) {
		struct dpdk_spec_device *d = &s->device[i];
		unsigned n = number[d->is_wan]++;

		if (!d->tap[0] && snprintf(d->tap, sizeof(d->tap), "%s-%s%u", s->tun,
					   d->is_wan ? "wan" : "lan", n) >= (int)sizeof(d->tap))
			return refuse(s, "tun", s->tun,
				      "too long to name TAPs after (give each device a tap=)");
		for (unsigned k = 0; k < i; k++) {
			if (!strcmp(d->tap, s->device[k].tap))
				return refuse(s, "tap", d->tap, "two devices have it");
		}
		if (!strcmp(d->tap, s->tun))
			return refuse(s, "tap", d->tap, "is the TUN's name");
	}
	return 0;
}

uint32_t dpdk_spec_mbuf_bytes(const char *text)
{
	struct dpdk_spec s;
	char err[PORT_ERROR_TEXT];

	if (dpdk_spec_parse(text, &s, err))
		return 0;
	return RTE_PKTMBUF_HEADROOM + ETHER_HEADER_BYTES + ETHER_VLAN_BYTES + s.device_mtu +
	       PACKET_TAILROOM;
}

int dpdk_spec_parse(const char *text, struct dpdk_spec *s, char *err)
{
	const char *missing = NULL;
	int rc;

	*s = (struct dpdk_spec){.err = err, .mtu = TUN_MTU_DEFAULT, .rings = DPDK_SPEC_RINGS};
	rc = port_spec_parse(text, set_argument, s, err);
	if (rc)
		return rc;
	if (!s->tun[0])
		missing = "tun";
	else if (!s->has_listen)
		missing = "listen";
	else if (!s->device_count)
		missing = "wan";
	if (missing) {
		snprintf(err, PORT_ERROR_TEXT, "dpdk port: %s= is missing", missing);
		return -EINVAL;
	}
	s->device_mtu = (uint16_t)(s->mtu + DPDK_SPEC_OUTER_BYTES);
	if (s->device_mtu < DPDK_SPEC_MTU_MIN)
		s->device_mtu = DPDK_SPEC_MTU_MIN;
	return name_taps(s);
}
