-- 32 bi-streams of 1 KiB for 10 s: first in calm, then while bystanders fall over. The data plane
-- of two healthy nodes must not notice what happens to others.

scenario { description = "The data plane keeps its pace.", timeout = "4m", tags = { "benchmark" } }

test("32 streams keep their pace, calm and while bystanders fail", function()
  local swarm = mesh { nodes = 6, digest_every = "500ms" }
  expect.formed(swarm, { within = "20s" })
  local client, server = swarm:node(1), swarm:node(2)

  local function flood(ceilings)
    return traffic.bi_streams {
      from = client,
      to = server,
      streams = 32,
      size = "1KiB",
      duration = "10s",
      floors = { round_trips = 200 },
      ceilings = ceilings,
    }
  end

  local calm = step("calm", function()
    return flood { errors = 0, p50 = "25ms", p99 = "100ms", max = "2s" }
  end)

  local stormy ---@type meshlab.TrafficResult
  step("while bystanders fail", function()
    fault.kill_node(swarm:node(3))
    fault.wedge_node(swarm:node(4), { hold = "9s" })
    fault.lossy_link(swarm:node(5), { loss = "20%" }, function()
      stormy = flood { errors = 0, p50 = "50ms", p99 = "250ms", max = "3s" }
    end)
  end)

  record.metric("round trips a second, calm", calm.per_second)
  record.metric("round trips a second, storm", stormy.per_second)
  record.metric("p99, calm", calm.latency.p99)
  record.metric("p99, storm", stormy.latency.p99)
  check.at_most(stormy.latency.p99 / calm.latency.p99, 10, "p99, storm over calm")
end)
