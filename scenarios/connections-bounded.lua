-- iroh-gossip 0.101 leaves a live connection behind at the end of many shuffles. A node that
-- watches over its connections closes them: live connections stay below twice the neighbours and a
-- little, at a shuffle each second, sixty times the usual pace.
--
--   meshlab run scenarios/connections-bounded.lua                 an hour
--   meshlab run scenarios/connections-bounded.lua --duration 2m   a look

local run = scenario {
  description = "Gossip connections stay bounded.",
  duration = "1h",
  timeout = "2h",
}

test("live connections stay below 2 x neighbours and a constant", function()
  local swarm = mesh { nodes = 18, env = { MESH_NODE_SHUFFLE_EVERY = "1s" } }
  expect.formed(swarm, { within = "30s" })
  sleep "10s"

  local rounds = math.max(1, math.floor(run.duration:seconds() / 10))
  local worst, most = 0, 0
  for _ = 1, rounds do
    sleep "10s"
    for _, node in ipairs(swarm.nodes) do
      local view = node:view()
      local limit = 2 * view.neighbors + 8
      worst = math.max(worst, view.connections - limit)
      most = math.max(most, view.connections)
      if view.connections > limit then
        expect.at_most(view.connections, limit, "live connections of " .. node.id
          .. " with " .. view.neighbors .. " neighbours")
      end
    end
  end
  check.at_most(worst, 0, "connections beyond 2 x neighbours + 8, worst node, worst moment")
  record.metric("most live connections of a node", most)

  -- The guard had something to do, or this proves nothing.
  local closed, opened = 0, 0
  for _, node in ipairs(swarm.nodes) do
    local counters = node:counters()
    closed = closed + counters["connections.guarded"]
    opened = opened + counters["connections.opened"]
  end
  check.at_least(closed, 1, "connections that the guard closed")
  record.metric("connections opened, all nodes", opened)
  record.metric("connections closed by the guard, all nodes", closed)
  expect.agreed(swarm, { within = "10s" })
end)
