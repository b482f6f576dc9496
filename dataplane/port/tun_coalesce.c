/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/tun_coalesce.h"

#include "dataplane/port/tun_headers.h"

#define OPEN_MAX 8

/* A packet that may begin or join a run, or closes one. */
struct candidate {
	const uint8_t *packet;
	struct tun_headers h;
	uint32_t len;
	bool is_flow;	   /* ports known */
	bool is_mergeable; /* by itself */
};

/* A run that may still grow. */
struct open_run {
	struct candidate first;
	uint32_t total_bytes; /* of the super-packet so far */
	uint32_t next_seq;
	uint16_t gso_size;
	uint16_t last_id;
	uint8_t run;
	bool is_open;
	bool is_verified; /* the first packet's checksums */
	bool has_psh;
};

struct coalescer {
	struct tun_runs *runs;
	struct batch *batch;
	unsigned next_slot; /* the oldest open run, replaced when all are in use */
	struct open_run open[OPEN_MAX];
};

static uint32_t payload_bytes(const struct candidate *c)
{
	return c->len - c->h.payload;
}

static const struct ip_v4_header *v4_of(const struct candidate *c)
{
	return (const struct ip_v4_header *)c->packet;
}

static const struct ip_v6_header *v6_of(const struct candidate *c)
{
	return (const struct ip_v6_header *)c->packet;
}

static const struct ip_tcp_header *tcp_of(const struct candidate *c)
{
	return (const struct ip_tcp_header *)(c->packet + c->h.l4);
}

static const struct ip_udp_header *udp_of(const struct candidate *c)
{
	return (const struct ip_udp_header *)(c->packet + c->h.l4);
}

static bool is_mergeable(const struct candidate *c, bool with_tcp, bool with_udp)
{
	if (c->h.has_options || !payload_bytes(c))
		return false;
	if (c->h.proto == IP_PROTO_TCP) /* the reserved bits and AE must be zero, too */
		return with_tcp && (tcp_of(c)->flags & ~IP_TCP_PSH) == IP_TCP_ACK &&
		       !(tcp_of(c)->offset & 0x0f);
	return with_udp && be16_get(&udp_of(c)->checksum) &&
	       be16_get(&udp_of(c)->len) == c->len - c->h.l4;
}

static void classify(struct candidate *c, const struct packet *p, bool with_tcp, bool with_udp)
{
	*c = (struct candidate){.packet = p->data, .len = p->len};
	if (tun_headers_parse(&c->h, p->data, p->len))
		return;
	c->is_flow = true;
	c->is_mergeable = is_mergeable(c, with_tcp, with_udp);
}

/* b may be any packet. */
static bool is_same_addresses(const struct candidate *a, const struct candidate *b)
{
	if (a->h.is_v6)
		return b->len >= sizeof(struct ip_v6_header) && b->packet[0] >> 4 == 6 &&
		       !memcmp(v6_of(a)->src, v6_of(b)->src, 32);
	return b->len >= sizeof(struct ip_v4_header) && b->packet[0] >> 4 == 4 &&
	       !memcmp(v4_of(a)->src, v4_of(b)->src, 8);
}

/* Must b not overtake a? What has no ports (a fragment) may belong to any flow. */
static bool is_same_flow(const struct candidate *a, const struct candidate *b)
{
	if (!b->is_flow)
		return is_same_addresses(a, b);
	return a->h.proto == b->h.proto && !memcmp(a->packet + a->h.l4, b->packet + b->h.l4, 4) &&
	       is_same_addresses(a, b);
}

static bool can_follow_ip(const struct open_run *o, const struct candidate *c)
{
	const struct ip_v4_header *a = v4_of(&o->first);
	const struct ip_v4_header *b = v4_of(c);

	if (c->h.is_v6) /* next header is the flow's, length may differ */
		return !memcmp(&v6_of(&o->first)->version_class_flow, &v6_of(c)->version_class_flow,
			       4) &&
		       v6_of(&o->first)->hop_limit == v6_of(c)->hop_limit;
	if (a->tos != b->tos || a->ttl != b->ttl || memcmp(&a->fragment, &b->fragment, 2))
		return false;
	return be16_get(&b->fragment) & IP_V4_DF || be16_get(&b->id) == (uint16_t)(o->last_id + 1);
}

static bool can_follow_tcp(const struct open_run *o, const struct candidate *c)
{
	const struct ip_tcp_header *a = tcp_of(&o->first);
	const struct ip_tcp_header *b = tcp_of(c);
	size_t options_at = offsetof(struct ip_tcp_header, urgent);

	return be32_get(&b->seq) == o->next_seq && a->offset == b->offset &&
	       !memcmp(&a->ack, &b->ack, 4) && !memcmp(&a->window, &b->window, 2) &&
	       !memcmp((const uint8_t *)a + options_at, (const uint8_t *)b + options_at,
		       c->h.payload - c->h.l4 - options_at);
}

static bool is_checksum_right(const struct candidate *c)
{
	uint32_t l4_len = c->len - c->h.l4;
	uint64_t sum;

	if (!c->h.is_v6 && !ip_checksum_v4_ok(v4_of(c)))
		return false;
	sum = tun_headers_pseudo(&c->h, c->packet, l4_len);
	return ip_sum_fold(ip_sum(sum, c->packet + c->h.l4, l4_len)) == 0xffff;
}

static bool can_join(struct open_run *o, const struct candidate *c)
{
	uint32_t size = payload_bytes(c);

	if (!c->is_mergeable || size > o->gso_size || o->total_bytes + size > UINT16_MAX)
		return false;
	if (!can_follow_ip(o, c))
		return false;
	if (c->h.proto == IP_PROTO_TCP && !can_follow_tcp(o, c))
		return false;
	/* Only now: a packet that stays alone is never summed. */
	if (!o->is_verified && !is_checksum_right(&o->first))
		return false;
	o->is_verified = true;
	return is_checksum_right(c);
}

static void write_headers(const struct open_run *o, uint8_t *packet)
{
	const struct tun_headers *h = &o->first.h;
	uint32_t l4_len = o->total_bytes - h->l4;

	tun_headers_set_len(h, packet, o->total_bytes);
	be16_put(tun_headers_checksum(h, packet),
		 ip_sum_fold(tun_headers_pseudo(h, packet, l4_len)));
	if (h->proto == IP_PROTO_UDP)
		be16_put(&((struct ip_udp_header *)(packet + h->l4))->len, (uint16_t)l4_len);
	else if (o->has_psh)
		((struct ip_tcp_header *)(packet + h->l4))->flags |= IP_TCP_PSH;
}

static void close_run(struct coalescer *co, struct open_run *o)
{
	struct tun_run *run = &co->runs->run[o->run];
	const struct tun_headers *h = &o->first.h;
	bool is_tcp = h->proto == IP_PROTO_TCP;

	o->is_open = false;
	if (run->count < 2)
		return;
	write_headers(o, co->batch->pkts[run->first].data);
	run->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
		.hdr_len = h->payload,
		.gso_size = o->gso_size,
		.csum_start = h->l4,
		.csum_offset = is_tcp ? offsetof(struct ip_tcp_header, checksum)
				      : offsetof(struct ip_udp_header, checksum),
	};
	if (is_tcp)
		run->vnet.gso_type = h->is_v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
}

static void advance(struct open_run *o, const struct candidate *c)
{
	uint32_t size = payload_bytes(c);

	if (c->h.proto == IP_PROTO_TCP) {
		o->next_seq = be32_get(&tcp_of(c)->seq) + size;
		o->has_psh = tcp_of(c)->flags & IP_TCP_PSH;
	}
	if (!c->h.is_v6)
		o->last_id = be16_get(&v4_of(c)->id);
}

static void join(struct coalescer *co, struct open_run *o, const struct candidate *c, uint8_t i)
{
	struct tun_run *run = &co->runs->run[o->run];

	co->runs->next[run->last] = i;
	run->last = i;
	run->count++;
	o->total_bytes += payload_bytes(c);
	advance(o, c);
	if (payload_bytes(c) < o->gso_size || o->has_psh)
		close_run(co, o);
}

static void begin(struct coalescer *co, const struct candidate *c, uint8_t i)
{
	struct tun_runs *runs = co->runs;
	struct open_run *o;

	runs->run[runs->count] = (struct tun_run){
		.payload = c->h.payload,
		.first = i,
		.last = i,
		.count = 1,
	};
	runs->count++;
	if (!c->is_mergeable)
		return;
	o = &co->open[co->next_slot];
	co->next_slot = (co->next_slot + 1) % OPEN_MAX;
	if (o->is_open)
		close_run(co, o);
	*o = (struct open_run){
		.first = *c,
		.total_bytes = c->len,
		.gso_size = (uint16_t)payload_bytes(c),
		.run = (uint8_t)(runs->count - 1),
	};
	advance(o, c);
	o->is_open = !o->has_psh;
}

static void add(struct coalescer *co, const struct candidate *c, uint8_t i)
{
	for (unsigned k = 0; k < OPEN_MAX; k++) {
		struct open_run *o = &co->open[k];

		if (!o->is_open || !is_same_flow(&o->first, c))
			continue;
		if (can_join(o, c)) {
			join(co, o, c, i);
			return;
		}
		close_run(co, o);
	}
	begin(co, c, i);
}

void tun_coalesce_batch(struct tun_runs *runs, struct batch *b, uint8_t port, bool with_tcp,
			bool with_udp)
{
	struct coalescer co;

	co.runs = runs;
	co.batch = b;
	co.next_slot = 0;
	for (unsigned k = 0; k < OPEN_MAX; k++)
		co.open[k].is_open = false;
	runs->count = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];
		struct candidate c;

		if (p->drop || p->out != PACKET_OUT_TUN || p->port_out != port)
			continue;
		classify(&c, p, with_tcp, with_udp);
		add(&co, &c, (uint8_t)i);
	}
	for (unsigned k = 0; k < OPEN_MAX; k++) {
		if (co.open[k].is_open)
			close_run(&co, &co.open[k]);
	}
}

unsigned tun_coalesce_iovec(struct tun_runs *runs, const struct batch *b, unsigned index,
			    struct iovec *iov)
{
	struct tun_run *run = &runs->run[index];
	const struct packet *p = &b->pkts[run->first];
	unsigned i = run->first;
	unsigned n = 2;

	iov[0] = (struct iovec){&run->vnet, sizeof(run->vnet)};
	iov[1] = (struct iovec){p->data, p->len};
	for (unsigned k = 1; k < run->count; k++) {
		i = runs->next[i];
		p = &b->pkts[i];
		iov[n++] = (struct iovec){p->data + run->payload, p->len - (size_t)run->payload};
	}
	return n;
}
