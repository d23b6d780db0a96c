-- Packets of a node are late by a tenth of a second. Nobody holds it for dead.

scenario { timeout = "90s" }

test("a slow node stays a member", function()
  local swarm = mesh { nodes = 2, digest_every = "200ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  fault.slow_link(swarm:node(2), { delay = "100ms" }, function()
    sleep "200ms"
  end)
end)
