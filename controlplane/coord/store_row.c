/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/store_row.h"

#include <stdlib.h>
#include <string.h>

#define CGNAT_BASE 0x64400000u /* 100.64.0.0 */

void store_row_free(enum store_table table, void *row)
{
	if (!row)
		return;
	switch (table) {
	case STORE_USER:
		free(((struct store_user *)row)->name);
		break;
	case STORE_NODE: {
		struct store_node *n = row;

		free(n->name);
		free(n->tags);
		free(n->hostinfo);
		free(n->endpoints);
		break;
	}
	case STORE_KEY:
		free(((struct store_key *)row)->tags);
		break;
	case STORE_LOGIN:
		free(((struct store_login *)row)->tags);
		free(((struct store_login *)row)->token);
		break;
	case STORE_DOC:
		free(((struct store_doc *)row)->text);
		break;
	case STORE_ROUTE:
	case STORE_TABLES:
		break;
	}
	free(row);
}

void store_node_addresses(uint32_t index, struct ip_addr *v4, struct ip_addr *v6)
{
	static const uint8_t base6[6] = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0};
	uint32_t a = CGNAT_BASE + index;

	*v4 = (struct ip_addr){.family = AF_INET};
	*v6 = (struct ip_addr){.family = AF_INET6};
	memcpy(v6->bytes, base6, sizeof(base6));
	for (int i = 0; i < 4; i++) {
		v4->bytes[i] = (uint8_t)(a >> (24 - 8 * i));
		v6->bytes[12 + i] = (uint8_t)(index >> (24 - 8 * i));
	}
}

bool store_address_is_reserved(uint32_t index)
{
	uint32_t a = CGNAT_BASE + index;

	/* 100.100.0.0/24, 100.100.100.0/24: service addresses; 100.115.92.0/23: ChromeOS. */
	return a >> 8 == 0x646400 || a >> 8 == 0x646464 || a >> 9 == 0x64735c >> 1;
}
