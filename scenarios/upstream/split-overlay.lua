-- After a partition longer than the idle timeout of QUIC (30 s) gossip's overlay may stay in two
-- parts: neither has anybody of the other in its view any more (n0-computer/iroh-gossip, issues 86
-- and 152). The node brings parts together by itself, by its seeds and by whom it knew; how long
-- that takes, and how often neighbours change meanwhile, is measured here, with its guard off.
--
--   meshlab run scenarios/upstream/split-overlay.lua
--   meshlab run scenarios/upstream/split-overlay.lua --set guard=true

local run = scenario {
  description = "Two parts of an overlay become one again.",
  timeout = "8m",
  params = { nodes = 8, parted = 40, guard = false },
  tags = { "upstream" },
}

test("an overlay that was parted for longer than QUIC waits is one again", function()
  local swarm = mesh {
    nodes = run.params.nodes, digest_every = "1s", digest_gated = false,
    env = { MESH_NODE_GUARD_CONNECTIONS = tostring(run.params.guard) },
  }
  expect.formed(swarm, { within = "40s" })
  local left, right = {}, {}
  for place, node in ipairs(swarm:live()) do
    table.insert(place % 2 == 1 and left or right, node)
  end
  fault.partition(left, right, {}, function()
    for _ = 1, run.params.parted do
      sleep "1s"
    end
  end)
  local downs = spans("neighbor.down"):count()
  local healed = check.formed(swarm, { within = "90s" })
  record.metric("until the parts are one again", healed.took)
  sleep "30s"
  record.metric("neighbours lost in 30 s after it, all nodes", spans("neighbor.down"):count() - downs)
  local connections, neighbors = 0, 0
  for _, node in ipairs(swarm:live()) do
    local view = node:view()
    connections, neighbors = connections + view.connections, neighbors + view.neighbors
  end
  record.metric("live connections 30 s after it, all nodes", connections)
  record.metric("neighbours 30 s after it, all nodes", neighbors)
  check.formed(swarm, { within = "20s" })
end)
