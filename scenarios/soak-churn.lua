-- Two nodes are killed and started again on a tight loop. What the others use after each death and
-- give back again is no leak; what they keep of it is: the least memory between two deaths (the
-- trough) must stay flat, and so must what they count.
--
--   meshlab run scenarios/soak-churn.lua                     an hour, some 350 deaths
--   meshlab run scenarios/soak-churn.lua --duration 3m       a look, some 18 deaths
--
-- A run ends as soon as a leak is certain.

local run = scenario {
  description = "Peers come and go, and leave nothing behind.",
  duration = "1h",
  timeout = "2h",
  trends = {
    rss        = { max_growth = "64KiB/peer", after = "30s", needs = "3m", stop_when_certain = true },
    open_files = { max_growth = "0.5/peer", after = "30s", needs = "3m", stop_when_certain = true },
    threads    = { max_growth = "0.2/peer", after = "30s", needs = "3m", stop_when_certain = true },
  },
  params = { nodes = 6 },
}

test("what peers leave behind does not grow", function()
  local swarm = mesh { nodes = run.params.nodes }
  expect.formed(swarm, { within = "60s" })

  local others = swarm:others(swarm:node(1))
  local deaths = 0
  every("10s", run.duration, function(round)
    fault.restart_node(others[#others - round % 2])
    deaths = deaths + 1
    expect.formed(swarm, { within = "30s" })
  end)
  record.metric("deaths", deaths)

  check.conserved(swarm, {
    created = "connections.opened", destroyed = "connections.closed",
    per_peer = 2, plus = 4, within = "30s",
  })
  check.conserved(swarm, {
    created = "tasks.spawned", destroyed = "tasks.finished",
    per_peer = 4, plus = 32, within = "30s",
  })
  check.conserved(swarm, {
    created = "peer.connected", destroyed = "peer.disconnected", counted = "spans",
    within = "30s",
  })
  expect.agreed(swarm, { within = "30s" })
end)
