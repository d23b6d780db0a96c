-- The program of node-2 ends by itself.

scenario { timeout = "60s" }

test("nodes stay", function()
  local swarm = mesh { nodes = 2, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
  sleep "4s"
end)
