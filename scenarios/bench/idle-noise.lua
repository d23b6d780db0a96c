-- Records the noise of a fleet with nothing to do. What methods of `meshlab-stats` see in it and how
-- often they cry wolf, `cargo run --release -p meshlab-stats --example power` tells:
-- see docs/statistics.md.

local run = scenario {
  description = "18 idle nodes, left alone.",
  duration = "33m",
  timeout = "1h",
}

test("idle nodes, sampled each second", function()
  local swarm = mesh { nodes = 18 }
  expect.formed(swarm, { within = "60s" })
  sleep(run.duration)
end)
