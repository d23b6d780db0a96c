-- A firewall at a node lets nothing new in. The node keeps the flows that it opens itself, and so
-- stays a member.

scenario { description = "Nothing new comes in, and it stays a member.", timeout = "3m" }

test("a node behind a firewall stays a member by its own dials", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.firewall_inbound(victim, {}, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
  end)

  expect.formed(swarm, { within = "10s" })
end)
