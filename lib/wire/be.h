/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Big-endian integers as they lie in a packet: alignment 1, never read as a
 * plain integer by mistake. The little-endian twins are in wg.h.
 */
#ifndef LIB_WIRE_BE_H
#define LIB_WIRE_BE_H

#include <stdint.h>
#include <string.h>

typedef struct {
	uint8_t b[2];
} wire_be16;
typedef struct {
	uint8_t b[4];
} wire_be32;
typedef struct {
	uint8_t b[8];
} wire_be64;

static inline uint16_t be16_get(const wire_be16 *v)
{
	return (uint16_t)(v->b[0] << 8 | v->b[1]);
}

static inline void be16_put(wire_be16 *v, uint16_t x)
{
	v->b[0] = (uint8_t)(x >> 8);
	v->b[1] = (uint8_t)x;
}

static inline uint32_t be32_get(const wire_be32 *v)
{
	return (uint32_t)v->b[0] << 24 | (uint32_t)v->b[1] << 16 | (uint32_t)v->b[2] << 8 | v->b[3];
}

static inline void be32_put(wire_be32 *v, uint32_t x)
{
	v->b[0] = (uint8_t)(x >> 24);
	v->b[1] = (uint8_t)(x >> 16);
	v->b[2] = (uint8_t)(x >> 8);
	v->b[3] = (uint8_t)x;
}

static inline uint64_t be64_get(const wire_be64 *v)
{
	uint64_t x = 0;

	for (int i = 0; i < 8; i++)
		x = x << 8 | v->b[i];
	return x;
}

static inline void be64_put(wire_be64 *v, uint64_t x)
{
	for (int i = 0; i < 8; i++)
		v->b[i] = (uint8_t)(x >> (56 - 8 * i));
}

#endif
