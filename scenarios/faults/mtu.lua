-- A node's line carries no packet larger than 1280 bytes, and says nothing of those that it drops.
-- QUIC finds out by itself what fits.

scenario { description = "A smaller line is found out.", timeout = "3m" }

test("a node on a smaller line stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.mtu(victim, { bytes = 1280, black_hole = true }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
