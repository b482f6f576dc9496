/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/status.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/node/dp_path.h"
#include "controlplane/node/dp_refresh.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/handshake.h"
#include "controlplane/node/link_health.h"
#include "controlplane/node/peer.h"
#include "lib/base/clock.h"

/* A peer counts as active for so long after something was sent to it. */
#define ACTIVE_NS (45 * NS_PER_SEC)
/* Go's zero time, which scripts compare with. */
#define TIME_ZERO "0001-01-01T00:00:00Z"

struct clocks {
	uint64_t boot_ns, wall_ns;
};

static void put_time(struct json_out *j, const char *key, uint64_t boot_ns,
		     const struct clocks *now)
{
	uint64_t ago = now->boot_ns > boot_ns ? now->boot_ns - boot_ns : 0;
	time_t at = (time_t)((now->wall_ns - ago) / NS_PER_SEC);
	char text[32];
	struct tm tm;

	if (!boot_ns || !gmtime_r(&at, &tm)) {
		json_out_string(j, key, TIME_ZERO);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_out_string(j, key, text);
}

static void put_node_key(struct json_out *j, const char *key, const struct key *k)
{
	char hex[KEY_HEX_MAX], text[KEY_HEX_MAX + 8];

	snprintf(text, sizeof(text), "nodekey:%s", key_print_hex(k, hex));
	json_out_string(j, key, text);
}

static const char *backend_state(const struct node *n)
{
	if (n->stopped)
		return "Stopped";
	return dp_sync_is_ready(n) ? "Running" : "Starting";
}

__attribute__((format(printf, 2, 3))) static void complain(struct json_out *j, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_out_string(j, NULL, text);
}

/* The dataplane refuses a peer whose MTU its ports cannot carry. */
static void complain_of_mtu(struct json_out *j, const struct node *n)
{
	uint32_t mtu_max = dp_sync_mtu_max(n);

	for (uint32_t i = 0; mtu_max && i < n->config->peer_count; i++)
		if (n->config->peers[i].mtu > mtu_max)
			complain(j, "Peer %s wants an MTU of %u, but the port carries %u.",
				 n->config->peers[i].name, n->config->peers[i].mtu, mtu_max);
}

static void put_health(struct json_out *j, const struct node *n)
{
	const char *file = n->config->source[0] ? n->config->source : "the configuration";

	json_out_array(j, "Health");
	if (n->stopped) {
		complain(j, "Causeway is stopped: `causeway up` starts it.");
		json_out_end(j);
		return;
	}
	if (!dp_sync_is_ready(n))
		complain(j, "causeway-dp does not answer at %s: no new sessions are possible.",
			 n->opt.dp_socket);
	else if (dp_refresh_is_late(n->refresh))
		complain(j, "causeway-dp does not answer in time: counters may be old.");
	if (n->config->filter.mode == DPAPI_FILTER_NONE)
		complain(j,
			 "No packet filter is configured, so nothing passes: %s needs "
			 "\"filter\": \"allow-all\" or rules.",
			 file);
	if (n->config->filter.mode == DPAPI_FILTER_RULES && !n->config->filter.rule_count)
		complain(j, "The packet filter of %s has no rules, so nothing passes.", file);
	if (link_health(n))
		complain(j, "%s", link_health(n));
	complain_of_mtu(j, n);
	if (handshake_is_under_load(n->handshake))
		complain(j, "Under load: handshakes are answered with cookies first.");
	json_out_end(j);
}

static void put_own_addresses(struct json_out *j, const struct node *n)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	char text[ADDR_STR_MAX];

	json_out_array(j, "TailscaleIPs");
	for (unsigned f = 0; f < 2; f++)
		for (uint32_t i = 0; i < n->config->address_count; i++) {
			const struct config_address *a = &n->config->addresses[i];

			if (a->addr.family == families[f] && !a->is_service)
				json_out_string(j, NULL, addr_print(&a->addr, text));
		}
	json_out_end(j);
}

static void put_self(struct json_out *j, const struct node *n)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	json_out_object(j, "Self");
	json_out_string(j, "ID", "");
	put_node_key(j, "PublicKey", &n->config->public_key);
	json_out_string(j, "HostName", host);
	json_out_string(j, "DNSName", "");
	json_out_string(j, "OS", "linux");
	json_out_u64(j, "UserID", 0);
	put_own_addresses(j, n);
	json_out_array(j, "Addrs");
	json_out_end(j);
	json_out_string(j, "CurAddr", "");
	json_out_string(j, "Relay", "");
	json_out_string(j, "PeerRelay", "");
	json_out_u64(j, "RxBytes", 0);
	json_out_u64(j, "TxBytes", 0);
	json_out_bool(j, "Online", dp_sync_is_ready(n) && !n->stopped);
	json_out_bool(j, "Active", false);
	json_out_bool(j, "InNetworkMap", true);
	json_out_bool(j, "InMagicSock", false);
	json_out_bool(j, "InEngine", false);
	json_out_end(j);
}

static void put_prefixes(struct json_out *j, const struct config_peer *cfg)
{
	char text[PREFIX_STR_MAX];

	json_out_array(j, "TailscaleIPs");
	for (uint32_t i = 0; i < cfg->allowed_count; i++) {
		const struct prefix *p = &cfg->allowed[i];

		if (p->len == (p->addr.family == AF_INET6 ? 128 : 32))
			json_out_string(j, NULL, addr_print(&p->addr, text));
	}
	json_out_end(j);
	json_out_array(j, "AllowedIPs");
	for (uint32_t i = 0; i < cfg->allowed_count; i++)
		json_out_string(j, NULL, prefix_print(&cfg->allowed[i], text));
	json_out_end(j);
}

static bool has_default_routes(const struct config_peer *cfg)
{
	bool v4 = false, v6 = false;

	for (uint32_t i = 0; i < cfg->allowed_count; i++) {
		if (cfg->allowed[i].len == 0) {
			v4 |= cfg->allowed[i].addr.family == AF_INET;
			v6 |= cfg->allowed[i].addr.family == AF_INET6;
		}
	}
	return v4 && v6;
}

static void put_peer(struct json_out *j, const struct node *n, const struct config_peer *cfg,
		     const struct node_peer *p, const struct clocks *now)
{
	char hex[KEY_HEX_MAX], text[KEY_HEX_MAX + 8], ep_text[ENDPOINT_STR_MAX] = "";
	bool online = p && wg_peer_is_usable(&p->engine, now->boot_ns);
	uint64_t last_tx = p ? p->last_tx_ns : 0;

	if (p && p->path.kind == DPAPI_PATH_UDP) {
		struct endpoint ep = dp_path_endpoint(&p->path);

		endpoint_print(&ep, ep_text);
	}
	snprintf(text, sizeof(text), "nodekey:%s", key_print_hex(&cfg->public_key, hex));
	json_out_object(j, text);
	json_out_string(j, "ID", cfg->name);
	json_out_string(j, "PublicKey", text);
	json_out_string(j, "HostName", cfg->name);
	json_out_string(j, "DNSName", "");
	json_out_string(j, "OS", "");
	json_out_u64(j, "UserID", 0);
	put_prefixes(j, cfg);
	json_out_null(j, "Addrs");
	json_out_string(j, "CurAddr", ep_text);
	json_out_string(j, "Relay", "");
	json_out_string(j, "PeerRelay", "");
	json_out_u64(j, "RxBytes", p ? p->rx_bytes : 0);
	json_out_u64(j, "TxBytes", p ? p->tx_bytes : 0);
	put_time(j, "LastSeen", p ? p->last_rx_ns : 0, now);
	put_time(j, "LastWrite", last_tx, now);
	put_time(j, "LastHandshake", p ? peer_last_handshake_ns(p) : 0, now);
	json_out_bool(j, "Online", online);
	json_out_bool(j, "ExitNode", has_default_routes(cfg));
	json_out_bool(j, "ExitNodeOption", has_default_routes(cfg));
	json_out_bool(j, "Active", last_tx && now->boot_ns - last_tx < ACTIVE_NS);
	json_out_bool(j, "InNetworkMap", true);
	json_out_bool(j, "InMagicSock", p != NULL);
	json_out_bool(j, "InEngine", p && peer_last_handshake_ns(p));
	json_out_u64(j, "MTU", cfg->mtu);
	json_out_u64(j, "PersistentKeepalive", cfg->keepalive_s);
	json_out_end(j);
	(void)n;
}

static void put_counters(struct json_out *j, const struct node *n)
{
	json_out_object(j, "Counters");
	for (int i = 0; i < COUNTER_COUNT; i++)
		json_out_u64(j, counter_infos[i].name, n->counters.value[i]);
	json_out_end(j);
}

void status_json(const struct node *n, bool with_peers, struct json_out *j)
{
	struct clocks now = {clock_now_ns(), clock_wall_ns()};

	json_out_object(j, NULL);
	json_out_string(j, "Version", CAUSEWAY_VERSION);
	json_out_bool(j, "TUN", true);
	json_out_string(j, "BackendState", backend_state(n));
	json_out_bool(j, "HaveNodeKey", !key_is_zero(&n->config->private_key));
	json_out_string(j, "AuthURL", "");
	put_own_addresses(j, n);
	put_self(j, n);
	put_health(j, n);
	json_out_string(j, "MagicDNSSuffix", "");
	json_out_null(j, "CurrentTailnet");
	json_out_null(j, "CertDomains");
	if (with_peers) {
		json_out_object(j, "Peer");
		for (uint32_t i = 0; i < n->config->peer_count; i++) {
			const struct config_peer *cfg = &n->config->peers[i];

			put_peer(j, n, cfg, node_peer_by_key(n, cfg->public_key.bytes), &now);
		}
		json_out_end(j);
	} else {
		json_out_null(j, "Peer");
	}
	json_out_null(j, "User");
	json_out_null(j, "ClientVersion");
	put_counters(j, n);
	json_out_end(j);
}

char *status_metrics(const struct node *n, size_t *len)
{
	uint64_t now = clock_now_ns(), online = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f)
		return NULL;
	fputs("# TYPE causeway_control_messages_total counter\n"
	      "# HELP causeway_control_messages_total Messages of the control plane refused or "
	      "answered, by reason.\n",
	      f);
	for (int i = 0; i < COUNTER_COUNT; i++)
		fprintf(f, "causeway_control_messages_total{reason=\"%s\"} %llu\n",
			counter_infos[i].name, (unsigned long long)n->counters.value[i]);
	fputs("# TYPE causeway_peer_receive_bytes_total counter\n"
	      "# HELP causeway_peer_receive_bytes_total Inner bytes received from a peer.\n",
	      f);
	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			fprintf(f, "causeway_peer_receive_bytes_total{peer=\"%s\"} %llu\n",
				n->by_id[id]->cfg->name,
				(unsigned long long)n->by_id[id]->rx_bytes);
	fputs("# TYPE causeway_peer_transmit_bytes_total counter\n"
	      "# HELP causeway_peer_transmit_bytes_total Inner bytes sent to a peer.\n",
	      f);
	for (uint32_t id = 1; id < n->id_room; id++) {
		if (!n->by_id[id])
			continue;
		online += wg_peer_is_usable(&n->by_id[id]->engine, now);
		fprintf(f, "causeway_peer_transmit_bytes_total{peer=\"%s\"} %llu\n",
			n->by_id[id]->cfg->name, (unsigned long long)n->by_id[id]->tx_bytes);
	}
	fprintf(f,
		"# TYPE causeway_peers gauge\n"
		"# HELP causeway_peers Configured peers, and those with a usable session.\n"
		"causeway_peers{state=\"configured\"} %u\n"
		"causeway_peers{state=\"online\"} %llu\n"
		"# TYPE causeway_dataplane_up gauge\n"
		"# HELP causeway_dataplane_up Whether causeway-dp has the picture.\n"
		"causeway_dataplane_up %d\n",
		n->config->peer_count, (unsigned long long)online, dp_sync_is_ready(n));
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
