-- A process is stopped in its tracks: its sockets are open, and nobody is at home. The others take
-- it for dead; when it is let go on it is a member again without a restart.

scenario { description = "Stopped, missed by all, back without a restart.", timeout = "3m" }

test("a wedged node is missed and comes back by itself", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)
  local survivors = swarm:others(victim)

  fault.wedge_node(victim, {}, function()
    expect.state(victim, "Dead", { seen_by = survivors, via = "inference", within = "6s" })
  end)

  expect.state(victim, "Alive", { seen_by = survivors, within = "10s" })
  check.no_spans("peer.restarted", { from = survivors })
  expect.spans("node.paused", { from = victim, within = "5s" })
  expect.formed(swarm, { within = "10s" })
end)
