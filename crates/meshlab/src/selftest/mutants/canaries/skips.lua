-- A schedule of faults none of which can be done.

scenario { timeout = "60s" }

test("a schedule of skips", function()
  local swarm = mesh { nodes = 2, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
  chaos { on = swarm, every = "300ms", duration = "1s", faults = { partition_pair = 1 } }
end)
