-- A node may not use more memory than a small board has. It fits, and stays.

scenario { description = "Bounded memory is enough to stay.", timeout = "3m" }

test("a node with little memory stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.memory_limit(victim, { memory = "128MiB" }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
