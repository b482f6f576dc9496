/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/port.h"

#include <errno.h>
#include <string.h>

#include "dataplane/port/bpf_log.h"
#include "lib/base/bug.h"

#define KIND_NAME_MAX 16

static const struct port_ops *const kinds[] = {
	&port_kernel_ops,
	&port_xdp_ops,
	&port_dpdk_ops,
};

static const struct port_ops *find_kind(const char *name, size_t len)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i]->kind) == len && !memcmp(kinds[i]->kind, name, len))
			return kinds[i];
	}
	return NULL;
}

static void list_kinds(char *out, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds) && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
					 kinds[i]->kind);
}

int port_open(struct port *p, uint8_t index, const char *spec, const struct port_env *env,
	      char *err)
{
	const char *colon = strchrnul(spec, ':');
	size_t len = (size_t)(colon - spec);
	char known[KIND_NAME_MAX * ARRAY_SIZE(kinds)];
	int rc;

	*p = (struct port){.index = index, .control_fd_v4 = -1, .control_fd_v6 = -1};
	p->ops = find_kind(spec, len);
	if (!p->ops) {
		list_kinds(known, sizeof(known));
		snprintf(err, PORT_ERROR_TEXT, "port kind '%.*s': not one of %s",
			 (int)(len < KIND_NAME_MAX ? len : KIND_NAME_MAX), spec, known);
		return -EINVAL;
	}
	bpf_log_init();
	rc = p->ops->open(p, *colon ? colon + 1 : colon, env, err);
	if (rc)
		p->ops = NULL;
	return rc;
}

uint32_t port_mbuf_bytes(const char *spec)
{
	const char *colon = strchrnul(spec, ':');
	const struct port_ops *ops = find_kind(spec, (size_t)(colon - spec));

	return ops && ops->mbuf_bytes && *colon ? ops->mbuf_bytes(colon + 1) : 0;
}

void port_close(struct port *p)
{
	if (p->ops)
		p->ops->close(p);
	p->ops = NULL;
}
