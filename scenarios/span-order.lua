-- What comes after what, how often, and never: claims about the order and the density of spans.

scenario {
  description = "A node's life has an order, its voice a rhythm, and silence a limit.",
  timeout = "3m",
  tags = { "spans" },
}

test("a node boots, speaks, leaves, in this order", function()
  local swarm = mesh { nodes = 4, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "10s" })

  step("each node boots in order, and hears nobody before it is ready", function()
    expect.sequence({ "endpoint_created", "alpn_registered", "node.ready" }, { from_each = swarm })
    expect.no_spans("gossip.digest_received", { from = swarm:live(), before = "node.ready" })
  end)

  step("it speaks steadily, neither too seldom nor too often", function()
    expect.counts("gossip.digest_sent", {
      from_each = swarm, window = "5s", at_least = 5, at_most = 30, since = "1ms", during = "8s",
    })
  end)

  step("while nothing happens nobody is held dead", function()
    expect.never("node.state_inferred", { where = { state = "Dead" } }, function()
      sleep "2s"
      expect.spans("gossip.digest_received", { from_each = swarm, at_least = 5 })
    end)
  end)

  step("who leaves is heard to leave and then gone, at each of the others", function()
    local walker = swarm:node(4)
    local others = swarm:others(walker)
    walker:leave()
    expect.sequence({
      { "node.state_heard", where = { state = "Leaving" } },
      { "peer.disconnected", where = { reason = { one_of = { "left", "leaving" } } } },
    }, { from_each = others, by = "peer.name", within = "10s" })
    check.follows("peer.disconnected", {
      after = { "node.state_heard", where = { state = "Leaving" } },
      from = others, by = "peer.name", within = "5s",
    })
  end)
end)
