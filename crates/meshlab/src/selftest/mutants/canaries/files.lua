-- The program of the nodes holds more files open than this.

scenario { timeout = "60s", sample_every = "300ms", ceilings = { open_files = 900 } }

test("nodes have few files open", function()
  local swarm = mesh { nodes = 2, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
  sleep "2s"
end)
