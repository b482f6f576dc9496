-- SPDX-License-Identifier: Apache-2.0
-- Throughput at each size with 65,536 flows: 256 sources, 256 destinations, ports in turn.

local M = dofile((os.getenv("CAUSEWAY_PKTGEN") or "perf/pktgen") .. "/common.lua")
local src = string.match(os.getenv("CAUSEWAY_SRC_IP") or "10.1.0.2", "^(%d+%.%d+)")
local dst = string.match(os.getenv("CAUSEWAY_DST_IP") or "10.2.0.2", "^(%d+%.%d+)")

local function span(set, from, to, step)
	set("0", "start", from)
	set("0", "min", from)
	set("0", "max", to)
	set("0", "inc", step)
end

M.setup()
if os.getenv("CAUSEWAY_DST_MAC") then
	pktgen.range.dst_mac("0", "start", os.getenv("CAUSEWAY_DST_MAC"))
	pktgen.range.dst_mac("0", "inc", "00:00:00:00:00:00")
end
pktgen.range.set_type("0", "ipv4")
pktgen.range.ip_proto("0", "udp")
span(pktgen.range.src_ip, src .. ".0.1", src .. ".1.0", "0.0.0.1")
span(pktgen.range.dst_ip, dst .. ".0.1", dst .. ".0.251", "0.0.0.1")
span(pktgen.range.src_port, 1024, 1279, 1)
span(pktgen.range.dst_port, 9, 9, 0)
span(pktgen.range.ttl, 64, 64, 0)
pktgen.set_range("0", "on")
for _, bytes in ipairs(M.sizes()) do
	span(pktgen.range.pkt_size, bytes + M.FRAME, bytes + M.FRAME, 0)
	M.size(bytes)
	local highest = M.rate(1, bytes)
	local pps = M.throughput(bytes, math.min(highest, 2e7))
	M.figure({{"figure", "throughput"}, {"size", bytes}, {"flows", "many"}, {"pps", pps or 0}})
end
pktgen.quit()
