-- Half of a mesh dies at once; the other half notices by itself and goes on.

scenario { description = "Survivors infer each death themselves.", timeout = "3m" }

test("three of six nodes die, and each survivor infers each death", function()
  local swarm = mesh { nodes = 6, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "10s" })

  local victims = { swarm:node(2), swarm:node(4), swarm:node(6) }
  local survivors = swarm:others(victims[1], victims[2], victims[3])

  local hits = {}
  for i, victim in ipairs(victims) do
    hits[i] = fault.kill_node(victim)
  end

  -- A node infers death after four digest intervals of silence. It heard the victim up to one
  -- interval before the kill at the earliest; the rest is for the span to be flushed.
  for i, victim in ipairs(victims) do
    local dead = expect.state(victim, "Dead", {
      seen_by = survivors,
      via = "inference",
      since = hits[i],
      within = "6s",
    })
    record.metric("time to Dead, " .. victim.id, dead.took)
  end

  step("the survivors go on", function()
    -- Two digests a second are due at each survivor, one from each of the others: 12 in 10 s
    -- need both of them.
    expect.formed(swarm, { within = "5s" })
    sleep "10s"
    expect.spans("gossip.digest_received", {
      from_each = survivors,
      at_least = 12,
      since = "10s",
      within = "2s",
    })
  end)
end)
