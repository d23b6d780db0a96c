-- Nine kinds of trouble on 18 nodes, drawn by the run's seed. Each must act, be noticed by all whom
-- it left alone or harm nobody, and heal; what goes wrong now and then is counted against a budget.
--
--   meshlab run scenarios/chaos-soak.lua --seed 42
--   meshlab run scenarios/chaos-soak.lua --duration 1h

local run = scenario {
  description = "The mesh notices and heals every fault.",
  duration = "5m",
  timeout = "2h",
}

test("the mesh heals after every fault", function()
  local swarm = mesh {
    nodes = { gateway = 4, broker = 4, compute = 4, registry = 4, bridge = 2 },
    digest_every = "1s",
    digest_gated = false,
  }
  expect.formed(swarm, { within = "60s" })

  local storm = chaos {
    on = swarm,
    duration = run.duration,
    every = "20s",
    jitter = "5s",
    detect_within = "30s",
    flake_budget = "15%",
    faults = {
      kill_node    = 1,
      restart_node = 1,
      burst_kill   = { count = 2 },
      disk_full    = { limit = "64MiB" },
      wedge_node   = { weight = 2 },
      clock_skew   = { by = "30s", hold = "10s" },
      slow_link    = { delay = "200ms", hold = "10s" },
      lossy_link   = { loss = "10%", hold = "10s" },
      nat_shift    = 1,
    },
  }

  record.metric("faults that were noticed and healed", storm.detected)
  record.metric("faults that were missed", storm.missed)
  expect.formed(swarm, { within = "60s" })
end)
