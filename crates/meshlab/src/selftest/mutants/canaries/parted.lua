-- A node is cut off, each side holds the other for dead, and they are one mesh again.

scenario { timeout = "90s" }

test("a node that is cut off is missed", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local cut = swarm:node(2)
  fault.partition({ cut }, swarm:others(cut), { hold = "5m" })
end)
