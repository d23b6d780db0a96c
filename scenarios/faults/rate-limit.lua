-- A node's line carries 32 KiB a second in each direction. Gossip fits; bulk waits.

scenario { description = "A thin line is enough for gossip.", timeout = "3m" }

test("a node on a thin line stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.rate_limit(victim, { rate = "32KiB/s", direction = "both" }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
