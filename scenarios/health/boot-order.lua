-- Nobody starts a mesh in the right order. A node whose seed is not there yet joins when it comes.

scenario {
  description = "A node that boots before its seed joins once the seed is there.",
  timeout = "5m",
  tags = { "health" },
}

test("whoever boots first waits for its seed", function()
  local swarm = mesh { nodes = 2, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  local seed = swarm:node(1)
  local early ---@type meshlab.Node
  fault.kill_node(seed, {}, function()
    expect.state(seed, "Dead", { via = "inference", within = "15s" })
    early = swarm:add { id = "early", seeds = seed }
    check.spans("seed.retry", { from = early, within = "12s" })
  end)
  expect.state(early, "Alive", { within = "20s" })
  expect.agreed(swarm, { within = "60s" })
end)
