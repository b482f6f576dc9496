/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a FIB changes.
 *
 * A prefix *ends* in the table whose byte holds its last bit: there it fills a
 * span of entries, and what lies under them. Where a single prefix lies under an
 * entry there is no table but a chain to it; where the prefixes under an entry
 * have more bytes in common there is a chain to the table in which they part.
 * So each table has at least two things in it (own + kids), and a route costs
 * 64 bytes at most beside its share of such tables.
 *
 * Readers look on meanwhile. What is new is built aside and published by one
 * release store; values of leaves change in place, each by one store; what is
 * unlinked is retired. The rule for values: in the span of a prefix of length n,
 * a leaf whose length is n or less belongs to it (or to what covers it, when it is
 * added), all others to longer prefixes.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "dataplane/table/fib_build.h"
#include "dataplane/table/fib_pool.h"
#include "dataplane/table/retire.h"
#include "lib/base/bug.h"

/* The most that one change takes: a table that parts two prefixes, and chains around it. */
#define CHANGE_TABLES 1
#define CHANGE_CHAINS 3

#define ROOT_BYTES (FIB_ROOT_ENTRIES * sizeof(uint32_t))

struct fib *fib_new(void)
{
	struct fib *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	atomic_init(&f->epoch, 1);
	f->build = calloc(1, sizeof(*f->build));
	f->root4 = calloc(FIB_ROOT_ENTRIES, sizeof(*f->root4));
	f->root6 = calloc(FIB_ROOT_ENTRIES, sizeof(*f->root6));
	if (!f->build || !f->root4 || !f->root6 || fib_store_init(&f->build->store)) {
		free(f->root4);
		free(f->root6);
		free(f->build);
		free(f);
		return NULL;
	}
	return f;
}

static void fib_destroy(void *ptr)
{
	struct fib *f = ptr;

	fib_pool_fini(f);
	fib_store_fini(&f->build->store);
	free(f->root4);
	free(f->root6);
	free(f->build);
	free(f);
}

void fib_free(struct fib *f)
{
	retire(f, fib_destroy);
}

static uint32_t slot_get(const _Atomic uint32_t *slot)
{
	return atomic_load_explicit(slot, memory_order_relaxed);
}

static void slot_set(_Atomic uint32_t *slot, uint32_t entry)
{
	atomic_store_explicit(slot, entry, memory_order_release);
}

static uint32_t leaf_of(const struct fib_prefix *p)
{
	return (uint32_t)p->len << FIB_ID_BITS | p->id;
}

static bool is_table(uint32_t entry)
{
	return (entry & (FIB_CHILD | FIB_CHAIN)) == FIB_CHILD;
}

static unsigned common_bits(const void *a, const void *b)
{
	const uint8_t *x = a, *y = b;
	unsigned i = 0;

	while (i < 16 && x[i] == y[i])
		i++;
	return i == 16 ? 128 : i * 8 + (unsigned)__builtin_clz(x[i] ^ y[i]) - 24;
}

static unsigned min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Gives the leaves at and under a slot that belong to a prefix of this length another value. */
static void push(const struct fib *f, _Atomic uint32_t *slot, unsigned len, uint32_t leaf)
{
	uint32_t entry = slot_get(slot);
	struct fib_table *t;

	if (!(entry & FIB_CHILD)) {
		if (fib_entry_len(entry) <= len)
			slot_set(slot, leaf);
		return;
	}
	if (entry & FIB_CHAIN) {
		struct fib_chain *c = fib_chain_at(f, entry);

		if (fib_entry_len(slot_get(&c->miss)) <= len)
			slot_set(&c->miss, leaf);
		entry = slot_get(&c->hit);
		if (!(entry & FIB_CHILD))
			return;
	}
	t = fib_table_at(f, entry);
	for (unsigned i = 0; i < 256; i++)
		push(f, &t->entry[i], len, leaf);
}

/* The same for the span of p in a table of the bytes up to bits_end. */
static void push_span(const struct fib *f, _Atomic uint32_t *first, const struct fib_prefix *p,
		      unsigned bits_end, uint32_t leaf)
{
	unsigned n = 1u << (bits_end - p->len);

	for (unsigned i = 0; i < n; i++)
		push(f, first + i, p->len, leaf);
}

static void insert_at(struct fib *f, _Atomic uint32_t *slot, unsigned depth,
		      const struct fib_prefix *p, struct fib_table_info *parent);

/* p is longer than depth bytes and lies under the table that looks at byte `depth`. */
static void insert_in_table(struct fib *f, uint32_t table, unsigned depth,
			    const struct fib_prefix *p)
{
	struct fib_table_info *info = fib_pool_info(f, table);
	_Atomic uint32_t *slot = &fib_table_at(f, table)->entry[p->addr[depth]];

	if (p->len <= 8 * (depth + 1)) {
		info->own++;
		push_span(f, slot, p, 8 * (depth + 1), leaf_of(p));
	} else {
		insert_at(f, slot, depth + 1, p, info);
	}
}

/* Puts a table in which things part under a slot, behind a chain if bytes lie between. */
static void publish_table(struct fib *f, _Atomic uint32_t *slot, unsigned depth, uint32_t table,
			  unsigned table_depth, const uint8_t addr[16], uint32_t miss)
{
	if (table_depth > depth)
		table = fib_pool_chain(f, addr, 8 * table_depth, table, miss, (uint8_t)table_depth);
	slot_set(slot, table);
}

/* The slot holds a chain that p does not follow to its end: a table where they part. */
static void split_chain(struct fib *f, _Atomic uint32_t *slot, unsigned depth,
			const struct fib_prefix *p)
{
	uint32_t old = slot_get(slot);
	const struct fib_chain *c = fib_chain_at(f, old);
	uint32_t hit = slot_get(&c->hit), miss = slot_get(&c->miss);
	unsigned at = min2(common_bits(c->value, p->addr) / 8, (p->len - 1u) / 8);
	struct fib_prefix q = {.len = (uint8_t)fib_entry_len(hit), .id = fib_entry_id(hit)};
	uint32_t table;

	memcpy(q.addr, c->value, sizeof(q.addr));
	table = fib_pool_table(f, miss);
	if (is_table(hit)) {
		_Atomic uint32_t *kid = &fib_table_at(f, table)->entry[q.addr[at]];

		publish_table(f, kid, at + 1, hit, c->depth, q.addr, miss);
		fib_pool_info(f, table)->kids++;
	} else {
		at = min2(at, (q.len - 1u) / 8);
		insert_in_table(f, table, at, &q);
	}
	insert_in_table(f, table, at, p);
	publish_table(f, slot, depth, table, at, p->addr, miss);
	fib_pool_retire(f, old);
}

/*
 * Adds p, which is longer than depth bytes, under a slot that is reached with
 * depth bytes. parent is the table that the slot is in, NULL for the root.
 */
static void insert_at(struct fib *f, _Atomic uint32_t *slot, unsigned depth,
		      const struct fib_prefix *p, struct fib_table_info *parent)
{
	uint32_t entry = slot_get(slot);

	if (!(entry & FIB_CHILD)) {
		slot_set(slot, fib_pool_chain(f, p->addr, p->len, leaf_of(p), entry, 0));
		if (parent)
			parent->kids++;
	} else if (entry & FIB_CHAIN) {
		const struct fib_chain *c = fib_chain_at(f, entry);
		uint32_t hit = slot_get(&c->hit);

		if (is_table(hit) && p->len > 8 * c->depth &&
		    common_bits(c->value, p->addr) >= 8u * c->depth)
			insert_in_table(f, hit, c->depth, p);
		else
			split_chain(f, slot, depth, p);
	} else {
		insert_in_table(f, entry, depth, p);
	}
}

/* A table on the way down to a prefix. */
struct place {
	uint32_t table;
	unsigned depth;
	_Atomic uint32_t *from; /* the slot that leads to it, or to the chain before it */
};

/*
 * Where p, which is there and longer than two bytes, ends: in at->table, or, when
 * a chain leads to it, as that chain in *slot, the last table before it being
 * at->table (0: the root).
 */
static void find_place(struct fib *f, _Atomic uint32_t *root, const struct fib_prefix *p,
		       struct place *at, _Atomic uint32_t **slot)
{
	_Atomic uint32_t *s = fib_root_slot(root, p->addr);
	unsigned depth = 2;

	*at = (struct place){0};
	*slot = NULL;
	for (;;) {
		uint32_t entry = slot_get(s);

		BUG_ON(!(entry & FIB_CHILD));
		if (entry & FIB_CHAIN) {
			const struct fib_chain *c = fib_chain_at(f, entry);

			entry = slot_get(&c->hit);
			if (!(entry & FIB_CHILD)) {
				*slot = s;
				return;
			}
			depth = c->depth;
		}
		*at = (struct place){.table = entry, .depth = depth, .from = s};
		if (p->len <= 8 * (depth + 1))
			return;
		s = &fib_table_at(f, entry)->entry[p->addr[depth]];
		depth++;
	}
}

/* One thing is left in a table: its place is taken by a chain to it. */
static void collapse(struct fib *f, const struct place *at, const struct fib_prefix *p)
{
	const struct fib_table_info *info = fib_pool_info(f, at->table);
	struct fib_table *t = fib_table_at(f, at->table);
	uint32_t before = slot_get(at->from);
	uint32_t rest = 0, miss = 0;
	uint8_t addr[16];

	if (info->own + info->kids != 1)
		return;
	memcpy(addr, p->addr, sizeof(addr));
	/* From above, so that addr ends as the first address of what is left. */
	for (int i = 255; i >= 0; i--) {
		uint32_t entry = slot_get(&t->entry[i]);

		if (!(entry & FIB_CHILD) && fib_entry_len(entry) <= 8 * at->depth) {
			miss = entry;
		} else {
			rest = entry;
			addr[at->depth] = (uint8_t)i;
		}
	}
	if (is_table(rest))
		rest = fib_pool_chain(f, addr, 8 * (at->depth + 1), rest, miss,
				      (uint8_t)(at->depth + 1));
	else if (!(rest & FIB_CHILD))
		rest = fib_pool_chain(f, addr, fib_entry_len(rest), rest, miss, 0);
	slot_set(at->from, rest);
	if (before & FIB_CHAIN)
		fib_pool_retire(f, before);
	fib_pool_retire(f, at->table);
}

static _Atomic uint32_t *root_of(const struct fib *f, int family)
{
	return family == AF_INET ? f->root4 : f->root6;
}

static void trie_add(struct fib *f, const struct fib_prefix *p)
{
	_Atomic uint32_t *slot = fib_root_slot(root_of(f, p->family), p->addr);

	if (p->len <= 16)
		push_span(f, slot, p, 16, leaf_of(p));
	else
		insert_at(f, slot, 2, p, NULL);
}

static void trie_change(struct fib *f, const struct fib_prefix *p)
{
	_Atomic uint32_t *root = root_of(f, p->family);
	_Atomic uint32_t *slot;
	struct place at;

	if (p->len <= 16) {
		push_span(f, fib_root_slot(root, p->addr), p, 16, leaf_of(p));
		return;
	}
	find_place(f, root, p, &at, &slot);
	if (slot)
		slot_set(&fib_chain_at(f, slot_get(slot))->hit, leaf_of(p));
	else
		push_span(f, &fib_table_at(f, at.table)->entry[p->addr[at.depth]], p,
			  8 * (at.depth + 1), leaf_of(p));
}

static void trie_del(struct fib *f, const struct fib_prefix *p, uint32_t cover)
{
	_Atomic uint32_t *root = root_of(f, p->family);
	_Atomic uint32_t *slot;
	struct place at;

	if (p->len <= 16) {
		push_span(f, fib_root_slot(root, p->addr), p, 16, cover);
		return;
	}
	find_place(f, root, p, &at, &slot);
	if (slot) {
		uint32_t chain = slot_get(slot);

		slot_set(slot, slot_get(&fib_chain_at(f, chain)->miss));
		fib_pool_retire(f, chain);
		if (!at.table)
			return;
		fib_pool_info(f, at.table)->kids--;
	} else {
		push_span(f, &fib_table_at(f, at.table)->entry[p->addr[at.depth]], p,
			  8 * (at.depth + 1), cover);
		fib_pool_info(f, at.table)->own--;
	}
	collapse(f, &at, p);
}

static int key_make(struct fib_prefix *key, const uint8_t *addr, int family, unsigned len)
{
	uint8_t masked[16];

	if (family != AF_INET && family != AF_INET6)
		return -EAFNOSUPPORT;
	if (len > (family == AF_INET ? 32u : 128u))
		return -EINVAL;
	*key = (struct fib_prefix){.family = (uint8_t)family, .len = (uint8_t)len};
	memcpy(key->addr, addr, family == AF_INET ? 4 : 16);
	memcpy(masked, key->addr, sizeof(masked));
	fib_prefix_mask(masked, len);
	return memcmp(masked, key->addr, sizeof(masked)) == 0 ? 0 : -EINVAL;
}

/* Readers that see the next epoch see what was changed before. */
static void changed(struct fib *f)
{
	uint32_t next = atomic_load_explicit(&f->epoch, memory_order_relaxed) + 1;

	atomic_store_explicit(&f->epoch, next ? next : 1, memory_order_release);
}

int fib_set(struct fib *f, const uint8_t *addr, int family, unsigned len, uint32_t id,
	    uint32_t generation)
{
	struct fib_store *s = &f->build->store;
	struct fib_prefix key, *found;
	int err = key_make(&key, addr, family, len);

	if (err)
		return err;
	if (id == 0 || id > FIB_ID_MAX)
		return -EINVAL;
	if (fib_store_reserve(s, id) || fib_pool_reserve(f, CHANGE_TABLES, CHANGE_CHAINS))
		return -ENOMEM;
	found = fib_store_find(s, &key);
	if (found) {
		found->generation = generation;
		if (found->id != id) {
			fib_store_set_id(s, found, id);
			trie_change(f, found);
			changed(f);
		}
		return 0;
	}
	key.id = id;
	key.generation = generation;
	fib_store_add(s, &key);
	trie_add(f, &key);
	changed(f);
	return 0;
}

static int remove_prefix(struct fib *f, struct fib_prefix *p)
{
	const struct fib_prefix *cover;

	if (fib_pool_reserve(f, 0, 1))
		return -ENOMEM;
	cover = fib_store_cover(&f->build->store, p);
	trie_del(f, p, cover ? leaf_of(cover) : 0);
	changed(f);
	fib_store_del(&f->build->store, p);
	return 0;
}

int fib_del(struct fib *f, const uint8_t *addr, int family, unsigned len)
{
	struct fib_prefix key, *found;
	int err = key_make(&key, addr, family, len);

	if (err)
		return err;
	found = fib_store_find(&f->build->store, &key);
	return found ? remove_prefix(f, found) : -ENOENT;
}

uint32_t fib_get(const struct fib *f, const uint8_t *addr, int family, unsigned len)
{
	struct fib_prefix key, *found;

	if (key_make(&key, addr, family, len))
		return 0;
	found = fib_store_find(&f->build->store, &key);
	return found ? found->id : 0;
}

bool fib_is_named(const struct fib *f, const uint8_t *addr, int family, unsigned len,
		  uint32_t generation)
{
	struct fib_prefix key, *found;

	if (key_make(&key, addr, family, len))
		return false;
	found = fib_store_find(&f->build->store, &key);
	return found && found->generation == generation;
}

size_t fib_del_id(struct fib *f, uint32_t id)
{
	struct fib_store *s = &f->build->store;
	size_t removed = 0, i = 0;

	while (i < s->size && fib_store_count_id(s, id) > 0) {
		struct fib_prefix *p = &s->place[i];

		if (!p->family || p->id != id)
			i++;
		else if (remove_prefix(f, p) == 0)
			removed++;
		else
			break;
	}
	return removed;
}

size_t fib_sweep(struct fib *f, uint32_t generation)
{
	struct fib_store *s = &f->build->store;
	size_t removed = 0, i = 0;

	while (i < s->size) {
		struct fib_prefix *p = &s->place[i];

		if (!p->family || p->generation == generation)
			i++;
		else if (remove_prefix(f, p) == 0)
			removed++;
		else
			break;
	}
	return removed;
}

size_t fib_count(const struct fib *f, int family)
{
	const struct fib_store *s = &f->build->store;

	return family == AF_INET ? s->count4 : s->count - s->count4;
}

size_t fib_count_id(const struct fib *f, uint32_t id)
{
	return fib_store_count_id(&f->build->store, id);
}

size_t fib_bytes(const struct fib *f)
{
	const struct fib_store *s = &f->build->store;

	return sizeof(*f) + sizeof(*f->build) + 2 * ROOT_BYTES + fib_pool_bytes(f) +
	       s->size * sizeof(*s->place) + s->id_size * sizeof(*s->id_count);
}

int fib_walk(const struct fib *f, int (*fn)(const struct fib_route *r, void *arg), void *arg)
{
	const struct fib_store *s = &f->build->store;

	for (size_t i = 0; i < s->size; i++) {
		const struct fib_prefix *p = &s->place[i];
		struct fib_route r;
		int stop;

		if (!p->family)
			continue;
		r = (struct fib_route){.family = p->family,
				       .len = p->len,
				       .id = p->id,
				       .generation = p->generation};
		memcpy(r.addr, p->addr, sizeof(r.addr));
		stop = fn(&r, arg);
		if (stop)
			return stop;
	}
	return 0;
}
