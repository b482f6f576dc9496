/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the DNS server: what its UDP side (dns_server.c) and its TCP side
 * (dns_conn.c) know of each other. The loop's thread only.
 */
#ifndef CONTROLPLANE_DNS_DNS_SERVER_INT_H
#define CONTROLPLANE_DNS_DNS_SERVER_INT_H

#include "controlplane/dns/dns_server.h"
#include "controlplane/dns/dns_upstream.h"
#include "controlplane/dns/resolv_conf.h"

#define DNS_REQUESTS_MAX	256
#define DNS_REQUESTS_SOURCE_MAX 64 /* of one address of the LAN */
#define DNS_CONNS_MAX		64
#define DNS_CONNS_SOURCE_MAX	8
#define DNS_CONN_REQUESTS_MAX	16

struct dns_conn;

/* Who asked, and where the answer goes. */
struct dns_client {
	struct endpoint from;
	uint32_t ifindex;
	int udp_fd;	       /* of a datagram */
	struct dns_conn *conn; /* else NULL */
};

/* A question that resolvers have. */
struct dns_request {
	struct dns_server *server;
	struct dns_client client;
	struct dns_ask *ask;
	struct dns_query q;
	uint8_t *query;
	struct dns_request *next, **link;
};

/* One address, both transports. Part of the server, open or to be tried again. */
struct dns_listener {
	struct dns_server *server;
	struct endpoint at;
	int udp_fd; /* -1: not open */
	bool has_poll, has_tcp;
	uv_poll_t poll;
	uv_tcp_t tcp;
};

struct dns_server {
	uv_loop_t *loop;
	uv_timer_t retry;
	unsigned handles; /* of the server itself: the last one frees it */
	bool is_closing;
	uint32_t tunnel;
	struct dns_names *names;
	struct resolv_conf system;
	struct dns_server_counters counters;
	struct dns_request *requests;
	uint32_t request_count;
	struct dns_conn *conns;
	uint32_t conn_count;
	uint32_t listener_count;
	struct dns_listener listeners[DNS_SERVER_LISTEN_MAX];
	char listen_problem[160];
	char problem[160];
	uint8_t answer[DNS_MESSAGE_MAX]; /* one at a time */
};

/*
 * One message of a client: it is answered before the return, or a request is made, or
 * (false) it is no query and nothing is to be said.
 */
bool dns_server_take(struct dns_server *s, const uint8_t *msg, size_t len,
		     const struct dns_client *client);
/* Drops the requests of a connection that goes. */
void dns_server_drop(struct dns_server *s, const struct dns_conn *conn);
/* It came out of the tunnel, and is not answered. ifindex 0: not known. */
bool dns_server_is_from_tunnel(const struct dns_server *s, uint32_t ifindex,
			       const struct ip_addr *source);

/* Opens the sockets that are not open, and says in listen_problem what was refused. */
void dns_listen_all(struct dns_server *s);
void dns_listen_close(struct dns_server *s);

/* The listening socket of a listener, bound: takes connections. 0, or a negative errno. */
int dns_conn_listen(struct dns_listener *l, int fd);
/* An answer to a query of this connection. */
void dns_conn_send(struct dns_conn *c, const uint8_t *msg, size_t len);
/* A request of it was answered: more may be read. */
void dns_conn_answered(struct dns_conn *c);
/* False: it was closed, and its requests are gone. */
bool dns_conn_is_open(const struct dns_conn *c);
/* Closes what is open; there are no requests any more. */
void dns_conn_close_all(struct dns_server *s);

/* Of a handle that the server counts. */
void dns_server_handle_closed(uv_handle_t *h);

#endif
