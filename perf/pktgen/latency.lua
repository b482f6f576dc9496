-- SPDX-License-Identifier: Apache-2.0
-- Latency at CAUSEWAY_RATE packets a second of the first of CAUSEWAY_SIZES (at least 96 bytes, for
-- the time stamp). Pktgen stamps a packet every 10 ms; samples in nanoseconds, one a line, go to
-- CAUSEWAY_SAMPLES.

local M = dofile((os.getenv("CAUSEWAY_PKTGEN") or "perf/pktgen") .. "/common.lua")
local SAMPLES = 50000
local LEAST_S = 5
local bytes = math.max(96, M.sizes()[1])
local rate = tonumber(os.getenv("CAUSEWAY_RATE") or "100000")
local path = os.getenv("CAUSEWAY_SAMPLES") or "/tmp/causeway-latency.txt"

M.setup()
M.size(bytes)
M.rate(2000, bytes)
pktgen.latency("0,1", "enable")
pktgen.latsampler_params("0,1", "simple", SAMPLES, 1000000, path)
pktgen.start("0")
-- The first packets meet cold caches, and a core that is busy with the start.
pktgen.delay(300)
M.rate(rate, bytes)
pktgen.delay(200)
pktgen.latsampler("1", "enable")
pktgen.delay(math.floor(math.max(M.seconds, LEAST_S) * 1000))
pktgen.latsampler("1", "disable")
pktgen.stop("0")
pktgen.delay(1300)
local s = pktgen.portStats("0,1", "port")
M.figure({{"figure", "latency"}, {"size", bytes}, {"rate", rate}, {"sent", s[0].opackets},
	{"received", s[1].ipackets}})
pktgen.quit()
