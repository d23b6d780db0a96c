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

test("messages go through a relay that stood still", function()
  local swarm = mesh { nodes = 3, digest_every = "1s", relay = true }
  expect.formed(swarm, { within = "40s" })
  local a, b = swarm:node(2), swarm:node(3)
  fault.wedge_node(swarm:relay(), {}, function()
    for _ = 1, run.params.frozen do
      sleep "1s"
    end
  end)
  fault.partition_pair(a, b, {}, function()
    local met = check.eventually("120s", "messages go through the relay again", function()
      return a:deliver(b, "relayed").via == "relay"
    end)
    record.metric("until the relay carries messages again", met.took)
  end)
end)
