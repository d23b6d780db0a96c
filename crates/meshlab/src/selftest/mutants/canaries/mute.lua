-- So many packets of a node are lost that others hold it for dead, which nobody may of a bad line.

scenario { timeout = "90s" }

test("a node on a bad line stays a member", function()
  local swarm = mesh { nodes = 2, digest_every = "200ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  fault.lossy_link(swarm:node(2), { loss = "99%" }, function()
    sleep "6s"
  end)
end)
