-- No node that runs keeps to this.

scenario { timeout = "60s", sample_every = "300ms", ceilings = { cpu = "0.001%" } }

test("nodes use no CPU at all", function()
  local swarm = mesh { nodes = 2, digest_every = "100ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  sleep "3s"
end)
