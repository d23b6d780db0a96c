-- A link between two nodes goes down and up five times. Both stay members, and they do not meet
-- more often than the link came back: no storm of reconnects.

scenario { description = "Up and down, and no storm.", timeout = "3m" }

test("a flapping link makes no storm", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local a, b = swarm:node(2), swarm:node(4)

  fault.flap_link(a, b, { count = 5, down = "800ms", up = "800ms" }, function(hit)
    expect.no_spans("node.state_inferred", {
      from = swarm, where = { state = "Dead" }, since = hit, during = "5s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
