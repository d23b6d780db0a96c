-- Each of two faults is noticed and heals.

scenario { timeout = "90s" }

test("a schedule of faults", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  chaos { on = swarm, every = "1s", jitter = "300ms", duration = "2500ms", detect_within = "20s",
    faults = { wedge_node = 1 } }
end)
