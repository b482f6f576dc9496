/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/relay_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

/* Of libuv's four threads, which serve others too and may hang in a look-up for long. */
#define AT_A_TIME 2
#define FRESH_NS  (60 * NS_PER_SEC)

struct relay_name {
	struct relay_name *next;
	struct relay_names *owner;
	uv_getaddrinfo_t req;
	bool is_wanted;	 /* in this round */
	bool is_due;	 /* waits for its turn */
	bool is_asked;	 /* req runs; the entry stays until it ends */
	bool is_settled; /* was looked up once, or is an address */
	uint64_t asked_ns;
	struct ip_addr v4, v6;
	char host[];
};

struct relay_names {
	uv_loop_t *loop;
	void (*on_found)(void *arg);
	void *arg;
	struct relay_name *first;
	unsigned running;
	bool is_closed;
};

int relay_names_open(uv_loop_t *loop, void (*on_found)(void *arg), void *arg,
		     struct relay_names **out)
{
	struct relay_names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->loop = loop;
	n->on_found = on_found;
	n->arg = arg;
	*out = n;
	return 0;
}

/* Those that nobody wants, but for the ones that are being looked up. */
static void forget(struct relay_names *n)
{
	struct relay_name **at = &n->first;

	while (*at) {
		struct relay_name *name = *at;

		if (name->is_wanted || name->is_asked) {
			at = &name->next;
			continue;
		}
		*at = name->next;
		free(name);
	}
	if (n->is_closed && !n->first)
		free(n);
}

static void take(struct relay_name *name, const struct addrinfo *found)
{
	struct ip_addr v4 = {0}, v6 = {0};

	for (; found; found = found->ai_next) {
		struct endpoint e;

		if (endpoint_from_sockaddr(found->ai_addr, found->ai_addrlen, &e))
			continue;
		if (e.addr.family == AF_INET && !v4.family)
			v4 = e.addr;
		if (e.addr.family == AF_INET6 && !v6.family)
			v6 = e.addr;
	}
	if (v4.family || v6.family) {
		name->v4 = v4;
		name->v6 = v6;
	}
}

static void ask_next(struct relay_names *n);

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct relay_name *name = req->data;
	struct relay_names *n = name->owner;

	name->is_asked = false;
	name->is_settled = true;
	n->running--;
	if (n->is_closed) {
		uv_freeaddrinfo(found);
		forget(n);
		return;
	}
	if (status) {
		name->asked_ns = 0; /* the next report asks again */
		log_warn("relay.name", "host=%s cannot be looked up: %s", name->host,
			 uv_strerror(status));
	}
	take(name, found);
	uv_freeaddrinfo(found);
	ask_next(n);
	if (!n->running)
		n->on_found(n->arg);
}

static void ask_next(struct relay_names *n)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};

	for (struct relay_name *i = n->first; i && n->running < AT_A_TIME; i = i->next) {
		if (!i->is_due)
			continue;
		i->is_due = false;
		i->req.data = i;
		i->asked_ns = clock_now_ns();
		if (uv_getaddrinfo(n->loop, &i->req, on_resolved, i->host, NULL, &hints))
			continue;
		i->is_asked = true;
		n->running++;
	}
}

void relay_names_close(struct relay_names *n)
{
	if (!n || n->is_closed)
		return;
	n->is_closed = true;
	for (struct relay_name *i = n->first; i; i = i->next) {
		i->is_wanted = i->is_due = false;
		if (i->is_asked)
			uv_cancel((uv_req_t *)&i->req);
	}
	forget(n);
}

static struct relay_name *find(const struct relay_names *n, const char *host)
{
	struct relay_name *i = n->first;

	while (i && strcmp(i->host, host) != 0)
		i = i->next;
	return i;
}

void relay_names_begin(struct relay_names *n)
{
	for (struct relay_name *i = n->first; i; i = i->next)
		i->is_wanted = false;
}

static struct relay_name *add(struct relay_names *n, const char *host)
{
	struct relay_name *name = calloc(1, sizeof(*name) + strlen(host) + 1);
	struct ip_addr a;

	if (!name)
		return NULL;
	name->owner = n;
	memcpy(name->host, host, strlen(host) + 1);
	if (addr_parse(host, &a) == 0) {
		*(a.family == AF_INET ? &name->v4 : &name->v6) = a;
		name->is_settled = true;
		name->asked_ns = UINT64_MAX; /* never again */
	}
	name->next = n->first;
	n->first = name;
	return name;
}

void relay_names_want(struct relay_names *n, const char *host)
{
	struct relay_name *name = find(n, host);
	uint64_t now_ns = clock_now_ns();

	if (!name)
		name = add(n, host);
	if (!name)
		return;
	name->is_wanted = true;
	if (!name->is_asked &&
	    (!name->asked_ns || (name->asked_ns < now_ns && now_ns - name->asked_ns > FRESH_NS)))
		name->is_due = true;
}

void relay_names_end(struct relay_names *n)
{
	forget(n);
	ask_next(n);
}

bool relay_names_is_waiting(const struct relay_names *n)
{
	for (const struct relay_name *i = n->first; i; i = i->next) {
		if (i->is_wanted && !i->is_settled && (i->is_asked || i->is_due))
			return true;
	}
	return false;
}

bool relay_names_get(const struct relay_names *n, const char *host, uint8_t family,
		     struct ip_addr *out)
{
	const struct relay_name *name = find(n, host);

	if (!name)
		return false;
	*out = family == AF_INET ? name->v4 : name->v6;
	return out->family != 0;
}
