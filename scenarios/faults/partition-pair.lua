-- The link between two nodes of a mesh is cut. Both stay members by way of the others, and nobody
-- is taken for dead.

scenario { description = "Two apart, by way of others together.", timeout = "3m" }

test("two nodes that cannot reach each other stay members", function()
  local swarm = mesh { nodes = 6, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local a, b = swarm:node(2), swarm:node(5)

  fault.partition_pair(a, b, {}, function(hit)
    expect.no_spans("node.state_inferred", {
      from = swarm, where = { state = "Dead" }, since = hit, during = "6s",
    })
    expect.spans("gossip.digest_received", {
      from = a, where = { ["peer.name"] = b.name }, since = hit, at_least = 8, within = "1s",
    })
    expect.spans("gossip.digest_received", {
      from = b, where = { ["peer.name"] = a.name }, since = hit, at_least = 8, within = "1s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
