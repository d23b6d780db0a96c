-- A node's packets are lost one by one, in bursts, doubled and out of order. What is lost is sent
-- again; digests still arrive.

scenario { description = "Lost packets are sent again.", timeout = "5m" }

test("a node with a bad line stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)
  local others = swarm:others(victim)
  local lines = {
    { loss = "10%", direction = "both" },
    { loss = "10%", burst = 5 },
    { duplicate = "20%", reorder = "20%" },
  }
  for _, line in ipairs(lines) do
    fault.lossy_link(victim, line, function(hit)
      expect.spans("gossip.digest_received", {
        from_each = others, where = { ["peer.name"] = victim.name },
        since = hit, at_least = 4, within = "15s",
      })
    end)
  end
  expect.formed(swarm, { within = "10s" })
end)
