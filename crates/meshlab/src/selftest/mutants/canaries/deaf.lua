-- A node dies, and node-3, which hears nobody, cannot know it.

scenario { timeout = "90s" }

test("somebody notices", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.spans("peer.connected", { from = swarm:node(1), within = "20s" })
  fault.kill_node(swarm:node(2))
end)
