-- A mesh's relay ends. Nodes that reach each other directly do not notice; when it runs again it
-- carries messages between nodes that cannot.

scenario { description = "Without its relay the mesh goes on.", timeout = "5m" }

test("a mesh does without its relay and has it back", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false, relay = true }
  expect.formed(swarm, { within = "20s" })
  local a, b = swarm:node(2), swarm:node(4)

  fault.relay_down(swarm, {}, function()
    sleep "5s"
    expect.equal(a:deliver(b, "direct").delivered, true, "messages go directly")
  end)

  fault.partition_pair(a, b, {}, function()
    expect.eventually("60s", "messages go through the relay that is back", function()
      return a:deliver(b, "relayed").via == "relay"
    end)
  end)
  expect.formed(swarm, { within = "10s" })
end)
