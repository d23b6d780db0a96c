-- A node's wall clock is half a minute ahead, then behind, then runs away. It evicts nobody and
-- nobody evicts it: liveness goes by when something was heard, never by what a clock says.

scenario { description = "A wrong clock harms nobody.", timeout = "5m" }

test("a node whose clock is wrong stays a member", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(3)
  for _, wrong in ipairs { { by = "30s" }, { by = "-30s" }, { by = "2h", drift = "10%" } } do
    fault.clock_skew(victim, wrong, function(hit)
      expect.spans("gossip.digest_received", {
        from_each = swarm:others(victim), where = { ["peer.name"] = victim.name },
        since = hit, at_least = 4, within = "15s",
      })
    end)
  end
  expect.formed(swarm, { within = "10s" })
end)
