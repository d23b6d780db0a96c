-- What a node's clock says is nobody's business: it is a member while it is heard, and no longer.

scenario {
  description = "A clock that is wrong neither ends a membership nor prolongs one.",
  timeout = "5m",
  tags = { "health" },
}

local function start()
  local swarm = mesh { nodes = 4, digest_every = "2s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  return swarm, swarm:node(3)
end

test("a node that is behind is not held for dead", function()
  local swarm, victim = start()
  fault.clock_skew(victim, { by = "-30s" }, function(hit)
    expect.never("node.state_inferred", { where = { state = "Dead" } }, function()
      expect.spans("gossip.digest_received", {
        from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
        since = hit, at_least = 8, within = "40s",
      })
    end)
  end)
end)

test("a node that is ahead is missed when it dies", function()
  local _, victim = start()
  fault.clock_skew(victim, { by = "45s" }, function()
    sleep "2s"
    local hit = fault.kill_node(victim)
    expect.state(victim, "Dead", { via = "inference", since = hit, within = "30s" })
  end)
end)
