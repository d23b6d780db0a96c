-- A node's packets are late by half a second now and then. It is slow for a while, not dead.

scenario { description = "Slow for a while is not dead.", timeout = "3m" }

test("a node with spikes of latency stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.latency_spike(victim, { delay = "500ms", spike = "1s", calm = "1s", count = 3 }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
