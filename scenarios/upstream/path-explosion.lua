-- iroh up to 1.3.0 notes a path that it cannot open yet again for each connection, and tries all
-- notes on all connections: with two connections to one peer the list doubles three times a second.
-- Fixed in 1.4.0, which notes each path once.
--
-- Paths run out where addresses change under a lossy line; the connections are those of gossip and
-- of streams between all nodes.
--
--   meshlab ab scenarios/upstream/path-explosion.lua --rounds 1 \
--     --before-dep iroh=1.3.0 --after-dep iroh=1.4.0

local run = scenario {
  description = "Addresses that change under a lossy line cost no memory.",
  duration = "60s",
  timeout = "6m",
  params = { nodes = 4 },
  tags = { "upstream" },
}

test("memory follows the nodes, not the paths that were tried", function()
  local swarm = mesh {
    nodes = run.params.nodes, digest_every = "500ms", digest_gated = false,
    env = { MESH_NODE_SHUFFLE_EVERY = "1s", MESH_NODE_GUARD_CONNECTIONS = "false" },
  }
  expect.formed(swarm, { within = "40s" })
  for _, node in ipairs(swarm.nodes) do
    for _, other in ipairs(swarm:others(node)) do
      node:deliver(other, "a connection beside that of gossip")
    end
  end

  local most = swarm:node(1):usage({ since = "1s" }).rss
  local rounds = math.max(1, math.floor(run.duration:seconds() / 6))
  for round = 1, rounds do
    local mover = swarm.nodes[1 + round % #swarm.nodes]
    fault.lossy_link(mover, { loss = "30%", direction = "both" }, function()
      fault.nat_shift(mover)
      sleep "6s"
    end)
    for _, node in ipairs(swarm:live()) do
      local rss = node:usage({ since = "2s" }).rss
      if rss > most then most = rss end
    end
  end
  record.metric("most resident memory of a node", most)
  check.at_most(most, "128MiB", "resident memory of the largest node")
end)
