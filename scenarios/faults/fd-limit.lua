-- A node may open few files more than it has. Its connections share one socket, so it stays.

scenario { description = "Few open files are enough to stay.", timeout = "3m" }

test("a node that may open few files stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.fd_limit(victim, { files = 64 }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
