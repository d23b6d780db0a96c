-- A fault of links where there is no switch: it is skipped, and nothing else is asked.

scenario { timeout = "60s" }

test("a fault that cannot be done", function()
  local swarm = mesh { nodes = 2, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
  fault.partition_pair(swarm:node(1), swarm:node(2), { hold = "1s" })
end)
