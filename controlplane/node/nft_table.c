/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/nft_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nftables/libnftables.h>

#include "lib/base/log.h"

/* A table that is not there cannot be deleted, but one that is there can be added. */
#define DELETE_TABLE "add table inet causeway\ndelete table inet causeway\n"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

struct nft_table {
	struct nft_ctx *nft; /* NULL: until it is needed */
	char *applied;	     /* text; NULL: not known */
	char problem[NFT_PROBLEM_MAX];
};

int nft_table_open(struct nft_table **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void nft_table_close(struct nft_table *t)
{
	if (!t)
		return;
	if (t->nft)
		nft_ctx_free(t->nft);
	free(t->applied);
	free(t);
}

const char *nft_table_problem(const struct nft_table *t)
{
	return t->problem[0] ? t->problem : NULL;
}

static bool has_default(const struct nft_wanted *w, uint8_t family)
{
	for (uint32_t i = 0; i < w->route_count; i++)
		if (w->routes[i].addr.family == family && w->routes[i].len == 0)
			return true;
	return false;
}

static bool has_family(const struct nft_wanted *w, uint8_t family)
{
	for (uint32_t i = 0; i < w->route_count; i++)
		if (w->routes[i].addr.family == family)
			return true;
	return false;
}

/* The set of a family's prefixes; with a default route every address is meant: no set. */
static void put_set(FILE *f, const struct nft_wanted *w, uint8_t family)
{
	const char *sep = "";
	char text[PREFIX_STR_MAX];

	if (!has_family(w, family) || has_default(w, family))
		return;
	fprintf(f, "\tset routes%c {\n\t\ttype ipv%c_addr\n\t\tflags interval\n\t\tauto-merge\n",
		family == AF_INET ? '4' : '6', family == AF_INET ? '4' : '6');
	fputs("\t\telements = { ", f);
	for (uint32_t i = 0; i < w->route_count; i++)
		if (w->routes[i].addr.family == family) {
			fprintf(f, "%s%s", sep, prefix_print(&w->routes[i], text));
			sep = ", ";
		}
	fputs(" }\n\t}\n", f);
}

static void put_mark(FILE *f, const struct nft_wanted *w, uint8_t family)
{
	bool is_v4 = family == AF_INET;

	if (!has_family(w, family))
		return;
	fprintf(f, "\t\tiifname \"%s\" ", w->tun);
	if (has_default(w, family))
		fprintf(f, "meta nfproto %s ", is_v4 ? "ipv4" : "ipv6");
	else
		fprintf(f, "%s daddr @routes%c ", is_v4 ? "ip" : "ip6", is_v4 ? '4' : '6');
	fprintf(f, "meta mark set meta mark and 0x%08x or 0x%08x\n", ~NFT_TABLE_MARK_MASK,
		NFT_TABLE_MARK);
}

static void put_table(FILE *f, const struct nft_wanted *w)
{
	fputs("table inet causeway {\n", f);
	put_set(f, w, AF_INET);
	put_set(f, w, AF_INET6);
	fputs("\tchain forward {\n\t\ttype filter hook forward priority mangle; policy accept;\n",
	      f);
	put_mark(f, w, AF_INET);
	put_mark(f, w, AF_INET6);
	fputs("\t}\n\tchain postrouting {\n"
	      "\t\ttype nat hook postrouting priority srcnat; policy accept;\n",
	      f);
	fprintf(f, "\t\toifname != \"%s\" meta mark and 0x%08x == 0x%08x masquerade\n", w->tun,
		NFT_TABLE_MARK_MASK, NFT_TABLE_MARK);
	fputs("\t}\n}\n", f);
}

char *nft_table_text(const struct nft_wanted *w)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool is_bad;

	if (!f)
		return NULL;
	fputs(DELETE_TABLE, f);
	if (w->route_count)
		put_table(f, w);
	is_bad = ferror(f);
	if (fclose(f) || is_bad) {
		free(text);
		return NULL;
	}
	return text;
}

/* The first line of what the library says, which may have the whole command behind it. */
static void note_problem(struct nft_table *t, const char *said)
{
	size_t len = strcspn(said, "\n");

	snprintf(t->problem, sizeof(t->problem),
		 "Traffic to subnets cannot be translated: nftables refused it: %.*s",
		 (int)(len < 80 ? len : 80), said);
	log_warn("nft.refused", "error=\"%.*s\"", (int)len, said);
}

static int run(struct nft_table *t, const char *text)
{
	if (!t->nft) {
		t->nft = nft_ctx_new(NFT_CTX_DEFAULT);
		if (!t->nft || nft_ctx_buffer_error(t->nft) || nft_ctx_buffer_output(t->nft))
			return -ENOMEM;
	}
	if (nft_run_cmd_from_buffer(t->nft, text)) {
		note_problem(t, nft_ctx_get_error_buffer(t->nft));
		return -EIO;
	}
	return 0;
}

int nft_table_apply(struct nft_table *t, const struct nft_wanted *w)
{
	char *text;
	int rc;

	/* The kernel allows more in a name than the language of the rules. */
	if (w->route_count && w->tun[strspn(w->tun, NAME_LETTERS)]) {
		note_problem(t, "the name of the TUN has other letters than a-z, 0-9, _ . -");
		return -EINVAL;
	}
	text = nft_table_text(w);
	if (!text)
		return -ENOMEM;
	if (t->applied && strcmp(t->applied, text) == 0) {
		free(text);
		return 0;
	}
	t->problem[0] = 0;
	rc = run(t, text);
	free(t->applied);
	t->applied = rc ? NULL : text;
	if (rc)
		free(text);
	return rc;
}

int nft_table_remove(struct nft_table *t)
{
	int rc = nft_table_apply(t, &(struct nft_wanted){0});

	/* Where there is no nftables there is no table of ours. */
	t->problem[0] = 0;
	return rc;
}
