-- A node's disk fills up. It stays a member, says that it is degraded, and is well again when there
-- is room; its identity is the one from before.

scenario { description = "Full disk: degraded, told to all, whole after.", timeout = "3m" }

test("a node whose disk is full says so and stays", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)
  local others = swarm:others(victim)

  fault.disk_full(victim, {}, function()
    expect.state(victim, "Degraded", { seen_by = others, via = "message", within = "15s" })
  end)

  expect.state(victim, "Alive", { seen_by = others, within = "15s" })
  fault.restart_node(victim)
  expect.state(victim, "Alive", { seen_by = others, within = "10s" })
end)
