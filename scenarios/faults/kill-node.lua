-- A node's process ends at once. Every other node works out that it is dead, by silence alone; it
-- comes back with the same identity and is a member again.

scenario { description = "Killed, buried by all others, back.", timeout = "3m" }

test("all survivors bury a killed node and take it back", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)
  local survivors = swarm:others(victim)

  fault.kill_node(victim, {}, function()
    expect.state(victim, "Dead", { seen_by = survivors, via = "inference", within = "6s" })
  end)

  expect.state(victim, "Alive", { seen_by = survivors, within = "10s" })
  expect.formed(swarm, { within = "10s" })
end)
