-- Eighteen nodes and nothing to do: no membership change, no retries, no watcher woken, little
-- CPU and little memory.

local run = scenario {
  description = "An idle mesh is quiet.",
  duration = "5m",
  timeout = "10m",
}

test("18 idle nodes are quiet", function()
  local swarm = mesh { nodes = 18 }
  expect.formed(swarm, { within = "30s" })
  sleep "15s" -- joining costs handshakes and answers; rest begins after them

  local before = {}
  for _, node in ipairs(swarm.nodes) do
    before[node.id] = node:counters()["directory.changes"]
  end

  step("nothing happens", function()
    local quiet = { "peer.connected", "peer.disconnected", "peer.restarted", "seed.retry" }
    local length = run.duration
    check.no_spans("node.state_changed", { since = "1s", during = length })
    for _, name in ipairs(quiet) do
      check.no_spans(name, { since = length })
    end
    check.no_spans("node.state_inferred", { since = length })
  end)

  local worst_cpu, worst_rss = 0.0, swarm:node(1):usage({ since = run.duration }).rss
  for _, node in ipairs(swarm.nodes) do
    local usage = node:usage { since = run.duration }
    worst_cpu = math.max(worst_cpu, usage.cpu)
    if usage.rss > worst_rss then
      worst_rss = usage.rss
    end
    check.at_most(usage.cpu, "1%", "CPU of " .. node.id)
    check.at_most(usage.rss, "32MiB", "RSS of " .. node.id)
    local changes = node:counters()["directory.changes"] - before[node.id]
    check.equal(changes, 0, "times that a watcher of " .. node.id .. " was woken")
  end
  record.metric("CPU of the busiest node, cores", worst_cpu)
  record.metric("RSS of the largest node", worst_rss)
  check.agreed(swarm, { within = "5s" })
end)
