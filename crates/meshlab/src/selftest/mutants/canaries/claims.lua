-- Nothing here holds: node-3 is in the topic and says nothing. Each claim is red with words of its
-- own.

scenario { timeout = "90s" }

test("claims that do not hold", function()
  local swarm = mesh { nodes = 3, digest_every = "300ms", digest_gated = false }
  local one, two = swarm:node(1), swarm:node(2)
  expect.spans("gossip.digest_received", { from_each = { one, two }, within = "20s" })
  check.formed(swarm, { within = "500ms" })
  check.agreed(swarm, { within = "500ms" })
  check.spans("node.ready", { from = swarm, at_least = 4, within = "300ms" })
  check.spans("endpoint_created", { from = one, at_least = 2, within = "300ms" })
  check.spans("gossip_started", { from = swarm, where = { nobody = "x" }, within = "300ms" })
  check.spans("alpn_registered", { from = one, since = "1ms", within = "300ms" })
  check.no_spans("gossip.digest_received", { from = two, during = "1s" })
  check.counts("gossip.digest_sent", { from = one, window = "2s", at_most = 1, during = "2s" })
  check.conserved({ one }, {
    created = "connections.opened", destroyed = "connections.closed", per_peer = 0,
    within = "300ms",
  })
  two:leave()
  check.state(two, "Leaving", { seen_by = { one }, via = "message", within = "5s" })
  check.state(two, "Leaving", { seen_by = { one }, via = "inference", within = "300ms" })
end)
