-- A node announces every state it enters. Only death is worked out by the others.

scenario { description = "States are announced, deaths inferred.", timeout = "5m" }

test("a node announces each state, and everyone hears them in order", function()
  local swarm = mesh { nodes = 4, digest_every = "500ms" }
  expect.formed(swarm, { within = "10s" })

  local others = swarm:live()
  local walker = swarm:add { id = "walker" }

  local function everyone_hears(state)
    expect.state(walker, state, { seen_by = others, via = "message", within = "10s" })
  end

  everyone_hears("Alive")
  walker:update()
  everyone_hears("Updating")
  walker:drain()
  everyone_hears("Draining")
  walker:resume()
  everyone_hears("Alive")
  walker:leave()
  everyone_hears("Leaving")

  local walk = { "Joining", "Alive", "Updating", "Draining", "Alive", "Leaving" }
  expect.states(walker, walk, { seen_by = others, via = "message" })

  -- Leaving evicts at once: nobody waits for its silence.
  expect.spans("peer.disconnected", {
    from_each = others,
    where = { ["peer.name"] = walker.name, reason = "left" },
    within = "2s",
  })
  expect.agreed(swarm, { within = "5s" })
end)

test("a node that vanishes is inferred Dead, never announced", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms" }
  expect.formed(swarm, { within = "10s" })

  local victim = swarm:pick()
  local others = swarm:others(victim)

  fault.kill_node(victim, {}, function()
    local dead = expect.state(victim, "Dead", {
      seen_by = others,
      via = "inference",
      within = "10s",
    })
    record.metric("time to Dead", dead.took)
    expect.no_spans("node.state_heard", {
      from = others,
      where = { ["peer.name"] = victim.name, state = "Dead" },
      during = "3s",
    })
  end) -- the node is started again here

  expect.state(victim, "Alive", { seen_by = others, via = "message", within = "15s" })
  expect.agreed(swarm, { within = "15s" })
end)

test("a node over its budget says that it is Degraded, and goes on", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms" }
  expect.formed(swarm, { within = "10s" })
  local others = swarm:live()
  local heavy = swarm:add { id = "heavy", env = { MESH_NODE_BUDGET_RSS = "1" } }
  expect.state(heavy, "Degraded", { seen_by = others, via = "message", within = "10s" })
  local flood = traffic.bi_streams {
    from = others[1],
    to = heavy,
    streams = 2,
    size = "1KiB",
    duration = "1s",
    ceilings = { errors = 0 },
    floors = { round_trips = 10 },
  }
  print("round trips against a degraded node: " .. flood.round_trips)
end)
