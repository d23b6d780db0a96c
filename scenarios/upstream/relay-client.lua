-- A relay client may stay "connecting" for hours after its relay stood still
-- (n0-computer/iroh, issue 4476). Here the relay is frozen for longer than its clients wait, and
-- goes on; two nodes without a direct path must reach each other through it again.
--
--   meshlab run scenarios/upstream/relay-client.lua

local run = scenario {
  description = "A relay that stood still is used again.",
  timeout = "8m",
  params = { frozen = 40 },
  tags = { "upstream" },
}

--- How long until messages from `a` to `b` go through the relay once the direct path is cut.
local function until_relayed(a, b, within)
  local took
  fault.partition_pair(a, b, {}, function()
    took = check.eventually(within, "messages go through the relay", function()
      return a:deliver(b, "relayed").via == "relay"
    end).took
  end)
  expect.eventually("60s", "messages go direct again", function()
    return a:deliver(b, "direct").via == "direct"
  end)
  return took --[[@as meshlab.DurationValue]]
end

test("messages go through a relay that stood still", function()
  local swarm = mesh { nodes = 3, digest_every = "1s", digest_gated = false, relay = true }
  expect.formed(swarm, { within = "40s" })
  local a, b = swarm:node(2), swarm:node(3)
  record.metric("until a relay carries messages", until_relayed(a, b, "90s"))
  fault.wedge_node(swarm:relay(), {}, function()
    for _ = 1, run.params.frozen do
      sleep "1s"
    end
  end)
  record.metric("until a relay that stood still does", until_relayed(a, b, "120s"))
end)
