-- Where two nodes have no direct path, traffic goes through the relay, and back to direct when the
-- path returns. The spans of both ends say which way it went.

scenario { description = "Relay when there is no direct path.", timeout = "5m" }

test("a message takes the relay while the direct path is cut, and goes direct again", function()
  local swarm = mesh { nodes = 4, digest_every = "1s", relay = true }
  expect.formed(swarm, { within = "20s" })
  local a, b = swarm:node(2), swarm:node(3)

  local calm = a:deliver(b, "calm")
  expect.equal(calm.delivered, true, "a message over an open path is delivered")
  expect.eventually("10s", "messages go direct while the path is open", function()
    return a:deliver(b, "calm").via == "direct"
  end)

  fault.partition(a, b, {}, function()
    local took = expect.eventually("40s", "messages go through the relay", function()
      return a:deliver(b, "cut").via == "relay"
    end)
    record.metric("until the relay carries messages", took.took)
    expect.spans("cross.delivered", { from = b, where = { via = "relay" }, within = "5s" })
    expect.spans("path.changed", { from = a, where = { via = "relay" }, within = "5s" })
  end)

  local took = expect.eventually("90s", "messages go direct again", function()
    return a:deliver(b, "open").via == "direct"
  end)
  record.metric("until messages go direct again", took.took)
  expect.spans("path.changed", { from = a, where = { via = "direct" }, within = "5s" })
  expect.formed(swarm, { within = "10s" })
end)

test("two nodes that never had a direct path reach each other through the relay", function()
  local swarm = mesh { nodes = 4, digest_every = "1s", relay = true }
  expect.formed(swarm, { within = "20s" })
  local a = swarm:node(2)
  local late = swarm:add { id = "late" }
  expect.formed(swarm, { within = "20s" })
  fault.partition(a, late, {}, function()
    expect.eventually("40s", "a first message goes through the relay", function()
      local result = a:deliver(late, "hello")
      return result.delivered and result.via == "relay"
    end)
  end)
end)
