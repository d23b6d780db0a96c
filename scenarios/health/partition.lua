-- Two halves that were apart, and held each other for dead, are one mesh again.

local health = require("health")

scenario {
  description = "A partition that outlasts what either half remembers heals.",
  timeout = "5m",
  tags = { "health" },
}

test("both halves agree again", function()
  local swarm = mesh { nodes = 4, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  local left = { swarm:node(1), swarm:node(2) }
  local right = { swarm:node(3), swarm:node(4) }
  fault.partition(left, right, {}, function()
    for _, gone in ipairs(left) do
      expect.state(gone, "Dead", { seen_by = right, via = "inference", within = "15s" })
    end
    sleep "35s" -- longer than the transport keeps a silent connection, 30 s
  end)
  expect.agreed(swarm, { within = "60s" })
  health.balanced(swarm)
  health.sizes(swarm)
end)
