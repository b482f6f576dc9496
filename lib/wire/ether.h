/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet II, one 802.1Q tag and ARP for IPv4 over Ethernet, as bytes.
 */
#ifndef LIB_WIRE_ETHER_H
#define LIB_WIRE_ETHER_H

#include <assert.h>
#include <stdint.h>

#include "lib/wire/be.h"

#define ETHER_ADDR_BYTES   6
#define ETHER_HEADER_BYTES 14
#define ETHER_VLAN_BYTES   4
#define ETHER_MIN_BYTES	   60 /* without the frame check sequence */

enum ether_type {
	ETHER_TYPE_IPV4 = 0x0800,
	ETHER_TYPE_ARP = 0x0806,
	ETHER_TYPE_VLAN = 0x8100,
	ETHER_TYPE_IPV6 = 0x86dd,
	ETHER_TYPE_QINQ = 0x88a8,
};

struct ether_head {
	uint8_t dst[ETHER_ADDR_BYTES];
	uint8_t src[ETHER_ADDR_BYTES];
	wire_be16 type;
};

struct ether_vlan {
	wire_be16 tci; /* priority 3, drop eligible 1, VLAN 12 */
	wire_be16 type;
};

#define ETHER_ARP_HARDWARE 1
#define ETHER_ARP_REQUEST  1
#define ETHER_ARP_REPLY	   2

struct ether_arp_ipv4 {
	wire_be16 hardware;   /* ETHER_ARP_HARDWARE */
	wire_be16 protocol;   /* ETHER_TYPE_IPV4 */
	uint8_t hardware_len; /* 6 */
	uint8_t protocol_len; /* 4 */
	wire_be16 operation;
	uint8_t sender_mac[ETHER_ADDR_BYTES];
	uint8_t sender_ip[4];
	uint8_t target_mac[ETHER_ADDR_BYTES];
	uint8_t target_ip[4];
};

static_assert(sizeof(struct ether_head) == ETHER_HEADER_BYTES, "Ethernet");
static_assert(sizeof(struct ether_vlan) == ETHER_VLAN_BYTES, "802.1Q");
static_assert(sizeof(struct ether_arp_ipv4) == 28, "ARP");

#endif
