-- Nothing is sampled, so nothing is known of what nodes use.

scenario {
  timeout = "60s", sample_every = "10m", ceilings = { cpu = "90%" },
  trends = { rss = { max_growth = "1MiB/h", needs = "10m" } },
}

test("limits without a sample", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
end)
