/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options of UDP segmentation; glibc's <netinet/udp.h> lacks some. */
#ifndef DATAPLANE_PORT_UDP_UAPI_H
#define DATAPLANE_PORT_UDP_UAPI_H

#include <netinet/in.h>
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Segments of one UDP_SEGMENT send that every kernel takes. */
#define UDP_SEGMENTS_MAX 64
/* Payload of one datagram, and of one UDP_SEGMENT send. */
#define UDP_V4_BYTES_MAX 65507u
#define UDP_V6_BYTES_MAX 65527u

#endif
