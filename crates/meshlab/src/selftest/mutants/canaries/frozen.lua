-- A node is frozen, missed, goes on when the test ends, and is a member again. All of it is green.

scenario { timeout = "90s" }

test("a frozen node is missed and comes back", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  for _, name in ipairs { "node.ready", "endpoint_created", "alpn_registered", "gossip_started" } do
    expect.spans(name, { from_each = swarm, within = "2s" })
  end
  fault.wedge_node(swarm:node(2), { hold = "5m" })
end)
