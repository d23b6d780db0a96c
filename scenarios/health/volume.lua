-- What a node sends and opens follows its neighbours, at sixty times the usual pace of shuffles.

local health = require("health")

local run = scenario {
  description = "Connections follow neighbours, telemetry follows what is done.",
  duration = "20s",
  timeout = "5m",
  -- More than the overlay's active view of five, so that not everybody is a neighbour.
  params = { nodes = 8 },
  tags = { "health" },
}

test("connections follow neighbours, spans follow work", function()
  local swarm = mesh {
    nodes = run.params.nodes, env = { MESH_NODE_SHUFFLE_EVERY = "1s" },
  }
  expect.formed(swarm, { within = "60s" })
  local before = health.now(swarm)
  sleep(run.duration)
  health.quiet(swarm, before, run.duration:seconds(), {
    ["connections.opened"] = 4, ["tasks.spawned"] = 4, ["telemetry.spans_ended"] = 12,
  })
  for _, node in ipairs(swarm:live()) do
    local view = node:view()
    check.at_most(view.connections, 2 * view.neighbors + 8,
      "live gossip connections of " .. node.id .. ", which has " .. view.neighbors .. " neighbours")
  end
  health.balanced(swarm, 2)
  health.sizes(swarm, 8)
end)
