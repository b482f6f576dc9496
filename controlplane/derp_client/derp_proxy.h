/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which HTTP proxy stands between this machine and a relay, by the environment as Go's programs
 * read it: HTTPS_PROXY, NO_PROXY, each also in small letters; and, where HTTPS_PROXY is not set,
 * ALL_PROXY as curl reads it. Pure but for the environment; any thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_PROXY_H
#define CONTROLPLANE_DERP_CLIENT_DERP_PROXY_H

#include <stddef.h>
#include <stdint.h>

#define DERP_PROXY_HOST_MAX 256
#define DERP_PROXY_AUTH_MAX 512
#define DERP_PROXY_WHY_MAX  256

struct derp_proxy {
	char host[DERP_PROXY_HOST_MAX]; /* a name or an address, without brackets */
	uint16_t port;
	char auth[DERP_PROXY_AUTH_MAX]; /* value of Proxy-Authorization, "" = none: secret */
};

/*
 * For a TLS connection to host (a name or an address) and port. env: getenv, or a test's. 1 with
 * *out, 0: none; or -EINVAL with a sentence in why: the proxy cannot be used, and going round it
 * would be wrong.
 */
int derp_proxy_find(char *(*env)(const char *name), const char *host, uint16_t port,
		    struct derp_proxy *out, char why[DERP_PROXY_WHY_MAX]);

#endif
