-- noq up to 1.0.1 counts a connection down twice when its peer answers with a stateless reset, and
-- then `Endpoint::close` waits for ever. Fixed in 1.1.0.
--
-- A node leaves while nothing reaches it, and is answered when the line is whole again; and a node
-- leaves as soon as its peer was restarted, so that what it closes is answered by somebody who does
-- not know it. The node's own deadline for closing is put far away, or that would end the wait.
--
--   meshlab ab scenarios/upstream/hanging-close.lua --rounds 1 \
--     --before-dep iroh=1.0.2 --before-dep iroh-relay=1.0.2 --before-dep noq=1.0.1 \
--     --after-dep iroh=1.0.3 --after-dep iroh-relay=1.0.3 --after-dep noq=1.1.0

local run = scenario {
  description = "A node that leaves while nothing reaches it exits all the same.",
  timeout = "10m",
  params = { rounds = 4 },
  tags = { "upstream" },
}

local function some(name, nodes)
  local swarm = mesh {
    name = name, nodes = nodes, digest_every = "250ms", digest_gated = false,
    env = { MESH_NODE_CLOSE_WITHIN = "60s" },
  }
  expect.formed(swarm, { within = "40s" })
  return swarm, swarm:node(1), swarm:node(2)
end

--- Waits until the node that leaves has ended; how long that took.
local function ended(swarm, leaving)
  local gone = check.eventually("30s", "the node that leaves has ended", function()
    return #swarm:live() == #swarm.nodes - 1
  end)
  leaving:cancel()
  return gone.took
end

local function longest(rounds, of)
  local worst = of(1)
  for round = 2, rounds do
    local took = of(round)
    worst = took > worst and took or worst
  end
  return worst
end

test("a node that leaves while nothing reaches it ends soon after", function()
  record.metric("longest until it ended, not reached", longest(run.params.rounds, function(round)
    local swarm, stays, leaver = some("cut" .. round, 2)
    local leaving
    fault.lossy_link(stays, { loss = "100%", to = leaver, direction = "out" }, function()
      leaving = spawn(function() leaver:leave() end)
      sleep "300ms"
    end)
    return ended(swarm, leaving)
  end))
end)

test("a node that leaves as soon as its peer was restarted ends soon", function()
  record.metric("longest until it ended, peer restarted", longest(run.params.rounds, function(round)
    local swarm, stays, leaver = some("restart" .. round, 3)
    fault.restart_node(stays)
    return ended(swarm, spawn(function() leaver:leave() end))
  end))
end)
