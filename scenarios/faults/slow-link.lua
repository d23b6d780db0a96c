-- Every packet of a node is late by 200 ms, more or less. It is slow, not dead.

scenario { description = "Slow is not dead.", timeout = "3m" }

test("a slow node stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.slow_link(victim, { delay = "200ms", jitter = "40ms", direction = "both" }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
