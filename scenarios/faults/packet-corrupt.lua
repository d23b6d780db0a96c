-- One in twenty packets of a node arrives with a flipped bit and a checksum that fits. The node's
-- own integrity check is all that is left; what it throws away is sent again.

scenario { description = "Flipped bits are thrown away and sent again.", timeout = "3m" }

test("a node whose packets are corrupted stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)

  fault.packet_corrupt(victim, { corrupt = "5%", direction = "both" }, function(hit)
    expect.spans("gossip.digest_received", {
      from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
      since = hit, at_least = 8, within = "15s",
    })
    check.no_spans("gossip.digest_refused", { from = swarm, since = hit })
  end)

  expect.formed(swarm, { within = "10s" })
end)
