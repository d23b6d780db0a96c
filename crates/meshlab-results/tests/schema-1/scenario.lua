-- Four nodes find each other and start to gossip.

scenario { description = "Every node of a small mesh really gossips.", timeout = "2m" }

test("four nodes exchange 200 digests in 34 s", function()
  -- Every node sends each second, changed or not, so 12 digests a second are due: 200 need all
  -- four, and so do 40 at each node with every other node heard.
  local swarm = mesh { nodes = 4, digest_every = "1s", digest_gated = false }

  -- `check` goes on, so a mesh with one silent node shows all that is wrong with it.
  check.formed(swarm, { within = "10s" })
  check.spans("peer.connected", { from_each = swarm, at_least = 3, within = "10s" })
  expect.spans("gossip.digest_received", { from_each = swarm, at_least = 40, within = "34s" })
  expect.spans("gossip.digest_received", { from = swarm, at_least = 200, within = "34s" })
end)
