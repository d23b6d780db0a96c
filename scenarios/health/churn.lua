-- Peers come and go, each of them new. What a node keeps follows who is there, not who ever was.

local health = require("health")

local run = scenario {
  description = "Strangers come and go, and nothing of them stays.",
  timeout = "5m",
  params = { nodes = 3, strangers = 9 },
  tags = { "health" },
}

test("what a node keeps follows who is alive", function()
  local swarm = mesh {
    nodes = run.params.nodes, digest_every = "1s", digest_gated = false, env = health.ENV,
  }
  expect.formed(swarm, { within = "60s" })

  for _ = 1, run.params.strangers do
    local stranger = swarm:add()
    expect.formed(swarm, { within = "60s" })
    stranger:leave()
  end
  health.sizes(swarm, 1) -- 7, with 3 alive and 12 ever seen
  health.balanced(swarm)
  health.telemetry(swarm)
  check.agreed(swarm, { within = "20s" })
end)

test("a node that died is dialled in moderation", function()
  local swarm = mesh { nodes = run.params.nodes, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  local victim = swarm:node(run.params.nodes)
  fault.kill_node(victim)
  expect.state(victim, "Dead", { via = "inference", within = "15s" })
  sleep "3s"
  local before = health.now(swarm)
  sleep "10s"
  health.dials(swarm, before, 10, 1)
end)
