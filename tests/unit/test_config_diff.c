/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the difference of two configurations names every peer once with
 * what changed, removals first, and that random pairs lead from old to new.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controlplane/node/config_diff.h"

#define PEERS_MAX 24

struct fixture {
	struct node_config cfg;
	struct config_peer peers[PEERS_MAX];
	struct prefix allowed[PEERS_MAX];
};

static void add(struct fixture *f, uint8_t key)
{
	uint32_t i = f->cfg.peer_count++;

	f->cfg.peers = f->peers;
	memset(f->peers[i].public_key.bytes, key, KEY_BYTES);
	snprintf(f->peers[i].name, sizeof(f->peers[i].name), "p%u", key);
	f->peers[i].mtu = 1420;
	f->allowed[i] = (struct prefix){.addr = {.family = AF_INET, .bytes = {10, key}}, .len = 16};
	f->peers[i].allowed = &f->allowed[i];
	f->peers[i].allowed_count = 1;
}

static void test_each_change(void **state)
{
	static const uint32_t want[] = {0,
					CONFIG_DIFF_NAME,
					CONFIG_DIFF_PSK,
					CONFIG_DIFF_ENDPOINT,
					CONFIG_DIFF_ALLOWED,
					CONFIG_DIFF_KEEPALIVE,
					CONFIG_DIFF_MTU};

	(void)state;
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct fixture a = {0}, b = {0};
		struct config_diff d;

		add(&a, 1);
		add(&b, 1);
		if (want[i] == CONFIG_DIFF_NAME)
			b.peers[0].name[0] = 'x';
		if (want[i] == CONFIG_DIFF_PSK)
			b.peers[0].preshared_key.bytes[31] = 1;
		if (want[i] == CONFIG_DIFF_ENDPOINT)
			b.peers[0].endpoint.port = 1;
		if (want[i] == CONFIG_DIFF_ALLOWED)
			b.allowed[0].len = 17;
		if (want[i] == CONFIG_DIFF_KEEPALIVE)
			b.peers[0].keepalive_s = 1;
		if (want[i] == CONFIG_DIFF_MTU)
			b.peers[0].mtu = 1280;
		assert_int_equal(config_diff_make(&a.cfg, &b.cfg, &d), 0);
		assert_int_equal(d.count, 1);
		assert_int_equal(d.changes[0].kind, CONFIG_PEER_KEPT);
		assert_int_equal(d.changes[0].what, want[i]);
		assert_int_equal(d.link_changed,
				 (want[i] & (CONFIG_DIFF_ALLOWED | CONFIG_DIFF_MTU)) != 0);
		assert_false(d.filter_changed || d.key_changed);
		config_diff_fini(&d);
	}
}

static void test_filter_and_key(void **state)
{
	struct fixture a = {0}, b = {0};
	struct config_diff d;

	(void)state;
	add(&a, 1);
	add(&b, 1);
	b.cfg.filter.mode = DPAPI_FILTER_ALLOW_ALL;
	b.cfg.private_key.bytes[5] = 1;
	assert_int_equal(config_diff_make(&a.cfg, &b.cfg, &d), 0);
	assert_true(d.filter_changed && d.key_changed);
	/* Another key of ours: no session of the old one may live on. */
	assert_int_equal(d.count, 2);
	assert_int_equal(d.changes[0].kind, CONFIG_PEER_REMOVED);
	assert_int_equal(d.changes[1].kind, CONFIG_PEER_ADDED);
	config_diff_fini(&d);
}

static void test_random_pairs(void **state)
{
	(void)state;
	srandom(1);
	for (int round = 0; round < 2000; round++) {
		struct fixture a = {0}, b = {0};
		bool in_a[PEERS_MAX + 1], in_b[PEERS_MAX + 1];
		unsigned seen[PEERS_MAX + 1] = {0};
		bool adding = false;
		struct config_diff d;

		for (uint8_t k = 1; k <= PEERS_MAX; k++) {
			in_a[k] = random() & 1;
			in_b[k] = random() & 1;
			if (in_a[k])
				add(&a, k);
		}
		/* The other way round: the order in the file has no meaning. */
		for (uint8_t k = PEERS_MAX; k >= 1; k--)
			if (in_b[k])
				add(&b, k);
		assert_int_equal(config_diff_make(&a.cfg, &b.cfg, &d), 0);
		for (uint32_t i = 0; i < d.count; i++) {
			const struct config_change *c = &d.changes[i];
			const struct config_peer *p = c->new_peer ? c->new_peer : c->old_peer;
			uint8_t k = p->public_key.bytes[0];

			seen[k]++;
			assert_int_equal(c->kind, in_a[k] && in_b[k] ? CONFIG_PEER_KEPT
						  : in_a[k]	     ? CONFIG_PEER_REMOVED
								     : CONFIG_PEER_ADDED);
			assert_int_equal(c->what, 0);
			assert_false(adding && c->kind == CONFIG_PEER_REMOVED);
			adding |= c->kind != CONFIG_PEER_REMOVED;
		}
		for (uint8_t k = 1; k <= PEERS_MAX; k++)
			assert_int_equal(seen[k], in_a[k] || in_b[k]);
		config_diff_fini(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_change),
		cmocka_unit_test(test_filter_and_key),
		cmocka_unit_test(test_random_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
