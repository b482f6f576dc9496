-- SPDX-License-Identifier: Apache-2.0
-- What the scripts beside this one share. Port 0 is the host behind one gateway, port 1 the host
-- behind the other: what 0 sends comes back to 1 after it was sealed and opened. From the
-- environment, each with a default:
--
--   CAUSEWAY_DST_MAC   of the gateway that port 0 sends to
--   CAUSEWAY_SRC_IP    10.1.0.2     CAUSEWAY_DST_IP  10.2.0.2
--   CAUSEWAY_SIZES     "64 128 256 512 1024 1420", bytes of the inner IP packets
--   CAUSEWAY_SECONDS   2, of a trial
--   CAUSEWAY_OUT       a file for the figures, a line of JSON each; else they are printed
--   CAUSEWAY_RATE      packets a second, for those that do not search

local M = {}

-- Ethernet header, and the frame check that Pktgen counts as well.
M.FRAME = 14 + 4
-- The same on the wire: preamble and gap.
local WIRE = 20
-- Counters are read once a second.
local STATS_MS = 1300
local EASY_PPS, EASY_MS = 2000, 300
local LOSS_MAX = 0.00001
local PRECISION = 0.02

M.seconds = tonumber(os.getenv("CAUSEWAY_SECONDS") or "2")

function M.sizes()
	local out = {}
	for s in string.gmatch(os.getenv("CAUSEWAY_SIZES") or "64 128 256 512 1024 1420", "%d+") do
		out[#out + 1] = tonumber(s)
	end
	return out
end

-- fields: {{name, number or text}, ...}
function M.figure(fields)
	local parts = {}
	for _, f in ipairs(fields) do
		local v = f[2]
		if type(v) == "number" then
			v = string.format("%.10g", v)
		else
			v = string.format("%q", v)
		end
		parts[#parts + 1] = string.format("%q: %s", f[1], v)
	end
	local line = "{" .. table.concat(parts, ", ") .. "}\n"
	local path = os.getenv("CAUSEWAY_OUT")
	if not path then
		io.write(line)
		return
	end
	local f = assert(io.open(path, "a"))
	f:write(line)
	f:close()
end

function M.setup()
	local mac = os.getenv("CAUSEWAY_DST_MAC")
	pktgen.screen("off")
	pktgen.stop("all")
	if mac then
		pktgen.set_mac("0", "dst", mac)
	end
	pktgen.set_ipaddr("0", "src", (os.getenv("CAUSEWAY_SRC_IP") or "10.1.0.2") .. "/16")
	pktgen.set_ipaddr("0", "dst", os.getenv("CAUSEWAY_DST_IP") or "10.2.0.2")
	pktgen.set_proto("0", "udp")
	pktgen.set_type("0", "ipv4")
	pktgen.set("0", "count", 0)
	pktgen.set("0", "ttl", 64)
	pktgen.set("0", "burst", 32)
	pktgen.set("0", "sport", 1024)
	pktgen.set("0", "dport", 9)
	pktgen.delay(500)
end

function M.size(bytes)
	pktgen.set("0", "size", bytes + M.FRAME)
end

-- Pktgen takes a share of the link's speed. bytes: of a packet, or the mean of a mix.
function M.rate(pps, bytes)
	local line = M.link() * 1e6 / 8 / (math.max(64, bytes + M.FRAME) + WIRE)
	pktgen.set("0", "rate", string.format("%.6f", math.min(100, 100 * pps / line)))
	return line
end

-- Mbit/s, as told; a link that does not say counts as 10 Gbit/s, for Pktgen as well.
function M.link()
	local told = tostring(pktgen.linkState("0")[0])
	return tonumber(string.match(told, "(%d+)")) or 10000
end

local function counts()
	local s = pktgen.portStats("0,1", "port")
	return s[0].opackets, s[1].ipackets
end

-- Sends for a while. Returns packets sent and received, and sent a second. Start and stop are
-- work for the very core that receives, so both happen at a rate that is next to nothing.
function M.trial(pps, bytes)
	local sent0, got0 = counts()
	M.rate(EASY_PPS, bytes)
	pktgen.start("0")
	pktgen.delay(EASY_MS)
	M.rate(pps, bytes)
	pktgen.delay(math.floor(M.seconds * 1000))
	M.rate(EASY_PPS, bytes)
	pktgen.delay(EASY_MS)
	pktgen.stop("0")
	pktgen.delay(STATS_MS)
	local sent, got = counts()
	sent, got = sent - sent0, got - got0
	return sent, got, math.max(0, sent - EASY_PPS * 2 * EASY_MS / 1000) / M.seconds
end

function M.passes(sent, got)
	return sent > 0 and 1 - got / sent <= LOSS_MAX
end

-- The highest rate without loss (RFC 2544), by halving; nil if there is none. A link that takes
-- less than it is offered holds the source back: what it took without loss is the answer then.
function M.throughput(bytes, highest)
	local low, high, best = 0, highest, nil
	local rate = highest
	while true do
		local sent, got, real = M.trial(rate, bytes)
		-- Once more: a core that was taken away for a moment says nothing about the rate.
		if not M.passes(sent, got) and got / sent > 0.99 then
			sent, got, real = M.trial(rate, bytes)
		end
		M.figure({{"figure", "trial"}, {"size", bytes}, {"rate", rate}, {"real", real},
			{"sent", sent}, {"received", got}})
		if M.passes(sent, got) then
			low, best = rate, real
			if rate >= highest or real < rate * (1 - PRECISION) then
				return best
			end
		else
			high = rate
		end
		if high - low <= PRECISION * (best and low or highest) then
			return best
		end
		rate = (low + high) / 2
	end
end

return M
