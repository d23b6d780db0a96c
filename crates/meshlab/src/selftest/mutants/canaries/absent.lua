-- What a node sent was refused, so that nothing came proves nothing.

scenario { timeout = "60s" }

test("nothing of the kind came", function()
  local swarm = mesh { nodes = 2, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
  check.no_spans("no.such.span", { from = swarm, during = "300ms" })
end)
