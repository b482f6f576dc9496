/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy file becomes. Inside this folder only. */
#ifndef CONTROLPLANE_POLICY_POLICY_FILE_H
#define CONTROLPLANE_POLICY_POLICY_FILE_H

#include "controlplane/policy/ip_set.h"
#include "controlplane/policy/policy.h"
#include "lib/base/hujson.h"

enum selector_kind {
	SELECT_PREFIX, /* an address, a prefix, a host name */
	SELECT_ALL,    /* "*" */
	SELECT_DOMAIN, /* user:*@domain */
	SELECT_LOGIN,
	SELECT_GROUP,
	SELECT_TAG,
	SELECT_AUTO,
	SELECT_IPSET,
};

enum autogroup {
	AUTO_MEMBER,
	AUTO_TAGGED,
	AUTO_SELF,
	AUTO_INTERNET,
	AUTO_DANGER_ALL,
	AUTO_SHARED,
	AUTO_ROLE, /* one of enum policy_role */
};

struct selector {
	enum selector_kind kind;
	enum autogroup autogroup;
	uint32_t role;	  /* AUTO_ROLE */
	const char *text; /* of the document, or trimmed; login, domain, tag, group, ipset */
	struct prefix prefix;
	uint32_t index;	   /* GROUP, IPSET */
	bool is_host_name; /* PREFIX */
	struct hujson_place place;
};

struct selectors {
	struct selector *list;
	uint32_t count;
};

struct port_range {
	uint16_t first, last;
};

/* The ports of one protocol. */
struct ports {
	int proto; /* -1: the node's default ones */
	struct port_range *ranges;
	uint32_t count;
};

struct grant {
	struct selectors src, dst;
	struct ports *ports; /* by protocol, in order of first appearance */
	uint32_t port_count;
	char *app; /* JSON object, compact; NULL: none */
	bool has_drive, has_relay;
	struct selectors via; /* tags */
	bool is_acl;
	struct hujson_place place;
};

struct group {
	const char *name; /* with "group:" */
	const char **members;
	uint32_t count;
};

struct ipset {
	const char *name;
	struct ip_set set;
	const struct hujson_value *value;
	uint8_t state; /* 0 not begun, 1 under way, 2 done */
};

struct host {
	const char *name;
	struct prefix prefix;
};

struct tag_owner {
	const char *tag;
	struct selectors owners;
};

struct approver {
	struct prefix prefix; /* len 0 family 0: exit nodes */
	bool is_exit;
	struct selectors who;
};

struct node_attr {
	struct selectors target;
	const char **names;
	uint32_t count;
};

struct policy_test_line {
	struct selector dst;
	uint16_t port;
	bool is_accept;
	const char *text;
	struct hujson_place place;
};

struct policy_test {
	struct selector src;
	const char *src_text;
	int proto; /* -1: any of the default ones */
	struct policy_test_line *lines;
	uint32_t count;
};

struct policy {
	struct hujson *doc; /* texts live here, and those that were cut in texts */
	char **texts;
	uint32_t text_count;
	struct group *groups;
	uint32_t group_count;
	struct host *hosts;
	uint32_t host_count;
	struct ipset *ipsets;
	uint32_t ipset_count;
	struct tag_owner *tags;
	uint32_t tag_count;
	struct approver *approvers;
	uint32_t approver_count;
	struct node_attr *attrs;
	uint32_t attr_count;
	bool randomize_port, disable_ipv4;
	bool has_rules; /* "grants" or "acls" stands in the file */
	struct grant *grants;
	uint32_t grant_count;
	struct policy_test *tests;
	uint32_t test_count;
};

/* What a reader needs all the time. */
struct reading {
	struct policy *p;
	struct policy_report *report;
	bool no_memory;
};

void policy_complain(struct reading *r, struct hujson_place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void policy_warn(struct reading *r, struct hujson_place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* calloc that notes its failure. */
void *policy_alloc(struct reading *r, size_t count, size_t size);

/* A text of its own that lives as long as the policy; NULL: no memory (noted). */
const char *policy_text(struct reading *r, const char *text, size_t len);

/* Where a selector may stand. */
enum selector_use {
	USE_SRC = 1u << 0,
	USE_DST = 1u << 1,
	USE_OWNER = 1u << 2,  /* tagOwners, autoApprovers */
	USE_TARGET = 1u << 3, /* nodeAttrs */
	USE_TEST = 1u << 4,
	USE_VIA = 1u << 5,
};

/* text: trimmed by it. False: complained. */
bool selector_parse(struct reading *r, const char *text, struct hujson_place at,
		    enum selector_use use, struct selector *out);
/* A list of selectors; entries that fail are complained of and left out. */
void selectors_parse(struct reading *r, const struct hujson_value *list, enum selector_use use,
		     struct selectors *out);

/* "tcp:22,443" of a grant: added to *ports. False: complained. */
bool grant_ip_parse(struct reading *r, const char *text, struct hujson_place at, struct grant *g);
/* "22,80-443" or "*". False: no such form. */
bool ports_parse(struct reading *r, const char *text, struct ports *out);
/* A name or number; -1: none, -2: no such protocol. */
int protocol_parse(const char *text);
/* Ports mean something: TCP, UDP, SCTP, or the default ones. */
bool protocol_has_ports(int proto);

void policy_read_rules(struct reading *r, const struct hujson_value *root);
void policy_read_tests(struct reading *r, const struct hujson_value *list);
void policy_read_ipsets(struct reading *r, const struct hujson_value *object);

/* A member by its name, whatever its case; NULL: none. */
const struct hujson_value *policy_member(const struct hujson_value *object, const char *name);
/* Complains of members that are not in known (NULL at the end), naming the nearest. */
void policy_check_members(struct reading *r, const struct hujson_value *object,
			  const char *const *known, bool skip_hash);

/* ---- who is meant ---- */

bool selector_has_node(const struct policy *p, const struct policy_world *w,
		       const struct selector *s, uint32_t node);
/* Addresses of a selector, open set. Not "*", self, internet, danger-all. */
void selector_addresses(const struct policy *p, const struct policy_world *w,
			const struct selector *s, struct ip_set *out);

#endif
