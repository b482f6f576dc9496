-- SPDX-License-Identifier: Apache-2.0
-- Throughput of a mix of sizes: 64, 576 and 1,420 bytes as 7 : 4 : 1.

local M = dofile((os.getenv("CAUSEWAY_PKTGEN") or "perf/pktgen") .. "/common.lua")
local MIX = {64, 576, 64, 64, 576, 64, 1420, 64, 576, 64, 576, 64}

M.setup()
local sum = 0
for i, bytes in ipairs(MIX) do
	pktgen.seqTable(i - 1, "0", {
		eth_dst_addr = os.getenv("CAUSEWAY_DST_MAC") or "ff:ff:ff:ff:ff:ff",
		eth_src_addr = "02:00:00:00:00:01",
		ip_dst_addr = os.getenv("CAUSEWAY_DST_IP") or "10.2.0.2",
		ip_src_addr = (os.getenv("CAUSEWAY_SRC_IP") or "10.1.0.2") .. "/16",
		sport = 1024 + i, dport = 9, ethType = "ipv4", ipProto = "udp", vlanid = 1,
		pktSize = bytes + M.FRAME, cos = 0, tos = 0, gtpu_teid = 0,
	})
	sum = sum + bytes
end
pktgen.set("0", "seq_cnt", #MIX)
pktgen.delay(500)
-- The rate is that of the size that is set, whatever the sequence holds.
M.size(sum // #MIX)
local highest = M.rate(1, sum // #MIX)
local pps = M.throughput(sum // #MIX, math.min(highest, 2e7))
M.figure({{"figure", "throughput"}, {"size", "imix"}, {"bytes", sum / #MIX}, {"pps", pps or 0}})
pktgen.quit()
