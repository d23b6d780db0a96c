-- A node comes out of another address, as when its line redials. It is the same node and the same
-- process; its connections move over.

scenario { description = "Another address, the same node.", timeout = "3m" }

test("a node that moves stays a member without a restart", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)
  local others = swarm:others(victim)

  local hit = fault.nat_shift(victim)
  expect.no_spans("node.state_inferred", {
    from = others, where = { state = "Dead" }, since = hit, during = "5s",
  })
  check.no_spans("peer.restarted", { from = others, since = hit })
  expect.formed(swarm, { within = "10s" })
end)
