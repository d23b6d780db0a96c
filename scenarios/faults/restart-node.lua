-- A node is killed and started again at once, same identity and address. The others see one return
-- and no second node.

scenario { description = "Restarted, and known to be the same.", timeout = "3m" }

test("a restarted node is back once", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.restart_node(victim)

  expect.state(victim, "Alive", { seen_by = swarm:others(victim), within = "10s" })
  expect.formed(swarm, { within = "10s" })
  for _, node in ipairs(swarm:live()) do
    local heard = spans("peer.connected", { from = node, since = "1m" }):count()
    expect.at_most(heard, 8, node.id .. " met nobody more than twice")
  end
end)
