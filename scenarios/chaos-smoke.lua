-- A minute of faults that the run's seed draws. Each must act, be noticed by every node that it
-- did not hurt, and heal: the schedule is printed before the first one, and `--seed` repeats it.
--
--   meshlab run scenarios/chaos-smoke.lua --seed 42
--   meshlab run scenarios/chaos-smoke.lua --duration 10m

local run = scenario {
  description = "The mesh notices and heals whatever comes.",
  duration = "1m",
  timeout = "30m",
}

test("the mesh notices and heals every fault", function()
  local swarm = mesh { nodes = 8, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })

  local storm = chaos {
    on = swarm,
    duration = run.duration,
    every = "8s",
    jitter = "2s",
    detect_within = "10s",
    faults = {
      kill_node = 2,
      restart_node = 1,
      wedge_node = 1,
      partition = 1,
      lossy_link = { loss = "20%", hold = "4s" },
    },
  }

  record.metric("faults that were noticed and healed", storm.detected)
  expect.agreed(swarm, { within = "15s" })
end)
