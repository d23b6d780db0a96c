-- Three of nine nodes end in one instant. Every survivor buries each of them by itself; they come
-- back and the mesh is one again.

scenario { description = "Three at once, buried and back.", timeout = "3m" }

test("the survivors of a burst bury all who fell, and take them back", function()
  local swarm = mesh { nodes = 9, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local fallen = { swarm:node(3), swarm:node(5), swarm:node(8) }
  local survivors = swarm:others(table.unpack(fallen))

  fault.burst_kill(fallen, {}, function()
    for _, victim in ipairs(fallen) do
      expect.state(victim, "Dead", { seen_by = survivors, via = "inference", within = "6s" })
    end
  end)

  expect.formed(swarm, { within = "15s" })
end)
