-- SPDX-License-Identifier: Apache-2.0
-- Throughput of one flow at each size: the highest rate with no loss (0.001 %).

local M = dofile((os.getenv("CAUSEWAY_PKTGEN") or "perf/pktgen") .. "/common.lua")

M.setup()
for _, bytes in ipairs(M.sizes()) do
	M.size(bytes)
	local highest = M.rate(1, bytes)
	local pps = M.throughput(bytes, math.min(highest, 2e7))
	M.figure({{"figure", "throughput"}, {"size", bytes}, {"pps", pps or 0}})
end
pktgen.quit()
