-- Who burns what, when there is nothing to do: a mesh that has formed and is left alone.
--
--     meshlab run scenarios/profile-idle.lua --profile cpu,heap --profile-hz 4999
--
-- leaves a flamegraph of each node and of all, and what each heap holds by subsystem. An idle node
-- uses a few thousandths of a core: at 99 Hz half a minute of it is a handful of samples. Without
-- `--profile` it profiles one node by itself, by `perf` or by the node's own sampler.

local run = scenario {
  duration = "30s",
  timeout = "10m",
  params = { nodes = 18 },
  tags = { "profile" },
}

test("idle nodes are watched", function()
  local swarm = mesh { nodes = run.params.nodes }
  expect.formed(swarm, { within = "60s" })

  local profile = swarm:node(1):profile { cpu = "30s" }
  record.metric("samples of node-1", profile.samples)
  for _, hot in ipairs(profile.hottest) do
    record.note(("%5.1f%%  %s"):format(hot.share * 100, hot.name))
  end
  local usage = swarm:node(1):usage { since = "30s" }
  check.at_most(usage.cpu, "50%", "CPU of an idle node")
end)
