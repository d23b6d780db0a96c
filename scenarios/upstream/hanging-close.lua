-- noq up to 1.0.1 counts a connection down twice when its peer answers with a stateless reset, and
-- then `Endpoint::close` waits for ever. Fixed in 1.1.0.
--
-- A node leaves while nothing reaches it, so its peer forgets the connection; when the line is whole
-- again the peer answers what it does not know any more. The node's own deadline for closing is put
-- far away, or that would end the wait.
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

test("a node that leaves ends soon after its line is whole again", function()
  local worst = nil
  for round = 1, run.params.rounds do
    local swarm = mesh {
      name = "round" .. round, nodes = 2, digest_every = "500ms", digest_gated = false,
      env = { MESH_NODE_CLOSE_WITHIN = "60s" },
    }
    expect.formed(swarm, { within = "40s" })
    local stays, leaver = swarm:node(1), swarm:node(2)
    local leaving
    fault.lossy_link(stays, { loss = "100%", to = leaver, direction = "out" }, function()
      leaving = spawn(function() leaver:leave() end)
      sleep "1500ms"
    end)
    local gone = check.eventually("30s", "the node that leaves has ended", function()
      return #swarm:live() == 1
    end)
    worst = (worst == nil or gone.took > worst) and gone.took or worst
    leaving:cancel()
  end
  record.metric("longest until a node that leaves has ended", worst)
end)
