-- A node may use a twentieth of a core. It is slow at its work, and not dead.

scenario { description = "Little CPU time is enough to stay.", timeout = "3m" }

test("a throttled node stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.cpu_limit(victim, { cpu = "5%" }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
