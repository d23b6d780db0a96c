-- A node that ends and comes back is known again, by all and once.

local health = require("health")

scenario {
  description = "Who is killed and comes back is a member again, and nothing of its past stays.",
  timeout = "5m",
  params = { nodes = 4 },
  tags = { "health" },
}

test("a node that was dead for a while is a member again", function()
  local swarm = mesh { nodes = 4, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  for place = 3, 4 do
    local victim = swarm:node(place)
    fault.kill_node(victim, {}, function()
      expect.state(victim, "Dead", { via = "inference", within = "15s" })
    end)
    expect.agreed(swarm, { within = "30s" })
  end
  health.balanced(swarm)
  health.sizes(swarm)
end)
