-- A healthy mesh that has nothing to do does nothing, and keeps nothing.
--
-- The claims are general: they bound what any node may do at rest, and know of no mistake.

local health = require("health")

local run = scenario {
  description = "A mesh at rest: few wake-ups, few handshakes, little CPU, nothing that is kept.",
  duration = "12s",
  timeout = "5m",
  params = { nodes = 4 },
  tags = { "health" },
}

test("nothing happens, and little is done", function()
  local swarm = mesh { nodes = run.params.nodes }
  expect.formed(swarm, { within = "60s" })
  sleep "5s" -- joining costs handshakes and answers; rest begins after them

  local before = health.now(swarm)
  sleep(run.duration)
  local seconds = run.duration:seconds()
  health.quiet(swarm, before, seconds, { ["telemetry.spans_ended"] = 4 })
  local busiest = 0
  for _, node in ipairs(swarm:live()) do
    local usage = node:usage { since = run.duration }
    check.at_most(usage.cpu, "4%", "CPU of " .. node.id .. " at rest")
    busiest = math.max(busiest, usage.cpu)
  end
  record.metric("CPU of the busiest node at rest, cores", busiest)
  health.telemetry(swarm)
  health.sizes(swarm)
  health.balanced(swarm)
  check.agreed(swarm, { within = "20s" })
end)

test("a digest costs little, however many processes the host has", function()
  local swarm = mesh { nodes = 2, digest_every = "100ms", digest_gated = false }
  -- A node that spends all of its time on digests hears none; what follows says so by its name.
  check.formed(swarm, { within = "30s" })
  local before = health.now(swarm)
  sleep "8s"
  health.spans(swarm, before, 8)
  for _, node in ipairs(swarm:live()) do
    local usage = node:usage { since = "6s" }
    check.at_most(usage.cpu, "16%", "CPU of " .. node.id .. " at ten digests a second")
    record.metric("CPU at ten digests a second, cores, of " .. node.id, usage.cpu)
  end
end)
