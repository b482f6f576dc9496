/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "filter" of node.hujson, straight into the shape that the dataplane takes
 * (dpapi.h, RULES). Pure.
 *
 *   src: prefix, address, "a-b", "*"
 *   dst: the same, ':' and ports: "*" or a list of N and N-M; IPv6 in brackets
 *   proto: a name or a number; without it TCP, UDP, ICMP and ICMPv6
 */
#ifndef CONTROLPLANE_NODE_CONFIG_FILTER_H
#define CONTROLPLANE_NODE_CONFIG_FILTER_H

#include "controlplane/node/config.h"
#include "lib/base/hujson.h"

/* 0, or a negative errno with err filled. out is freed by rule_list_fini in any case. */
int config_filter_parse(const struct hujson_value *value, struct rule_list *out,
			struct hujson_error *err);

#endif
