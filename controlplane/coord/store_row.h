/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the coordinator's store holds, a struct a table, as its change feed hands it
 * on. A row belongs to whoever took it and is freed in one call. Text members are
 * never NULL in a row that came from a store. Times are ns since 1970, 0 = none.
 */
#ifndef CONTROLPLANE_COORD_STORE_ROW_H
#define CONTROLPLANE_COORD_STORE_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/key.h"

#define STORE_HASH_BYTES 32

/* The numbers stand in the database. */
enum store_table {
	STORE_USER = 1,
	STORE_NODE = 2,
	STORE_KEY = 3,
	STORE_ROUTE = 4,
	STORE_LOGIN = 5,
	STORE_DOC = 6,
	STORE_TABLES,
};

struct store_user {
	int64_t id;
	char *name;
	int64_t created_ns;
};

struct store_node {
	int64_t id; /* never used again */
	int64_t user_id;
	struct key machine, node_key, disco;
	struct key network_lock; /* nlpub, raw */
	char *name;		 /* one DNS label, unique */
	char *tags;		 /* JSON: a list of strings */
	char *hostinfo;		 /* JSON: an object */
	char *endpoints;	 /* JSON: a list of "address:port" */
	uint32_t address;	 /* see store_node_addresses */
	int64_t created_ns, expiry_ns, seen_ns;
	int64_t key_id; /* auth key it came with, 0 = by hand */
	int32_t home;	/* DERP region, 0 = not known */
	int32_t version;
	bool is_ephemeral;
};

struct store_key {
	int64_t id;
	int64_t user_id;
	int64_t uses, uses_max; /* max 0 = reusable */
	char *tags;		/* JSON: a list */
	int64_t created_ns, expiry_ns;
	bool is_ephemeral;
};

struct store_route {
	int64_t id;
	int64_t node_id;
	struct prefix prefix;
	bool is_advertised, is_approved, is_primary; /* one primary a prefix */
};

/* A login that waits for somebody to admit it. */
struct store_login {
	int64_t id;
	char *token; /* what stands in the URL */
	char *tags;  /* JSON: a list; what the node asks for */
	struct key machine, node_key;
	int64_t created_ns;
};

/* Whole texts: the policy file, the DERP map, DNS. Each write is a new version. */
enum store_doc_kind { STORE_DOC_POLICY = 1, STORE_DOC_DERP = 2, STORE_DOC_DNS = 3 };

struct store_doc {
	int64_t id; /* the version, over all kinds */
	enum store_doc_kind kind;
	char *text;
	int64_t created_ns;
};

/* row: a struct of that table, or NULL. */
void store_row_free(enum store_table table, void *row);
/*
 * index 1..STORE_ADDRESS_MAX -> 100.64.0.0 + index and fd7a:115c:a1e0:: + index.
 * Both go with one number, so one constraint decides both.
 */
#define STORE_ADDRESS_MAX ((1u << 22) - 2)
void store_node_addresses(uint32_t index, struct ip_addr *v4, struct ip_addr *v6);
/* Addresses that nobody may have: the service address, and what other software uses. */
bool store_address_is_reserved(uint32_t index);

#endif
