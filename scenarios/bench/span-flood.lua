-- What the harness itself uses while its nodes send 500 spans a second: its memory must be as flat
-- after any length as after a minute.
--
--     meshlab run scenarios/bench/span-flood.lua
--     meshlab query span-flood/latest "SELECT at, rss_max FROM sample_minutes WHERE node = 'harness'"
--
-- The spans are digests: each of seven nodes sends ten a second and hears those of the six others.

local run = scenario {
  description = "The harness stays small under 500 spans a second.",
  duration = "10m",
  timeout = "1h",
  params = { nodes = 7 },
}

test("spans come at 500 a second and all are kept", function()
  local swarm = mesh { nodes = run.params.nodes, digest_every = "100ms", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  local before = spans("gossip.digest_received"):count()
  sleep(run.duration)
  local heard = spans("gossip.digest_received"):count() - before
  record.metric("digests heard", heard)
end)
