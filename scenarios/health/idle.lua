-- A healthy mesh that has nothing to do does nothing, and keeps nothing.
--
-- The claims are general: they bound what any node may do at rest, and know of no mistake.

local health = require("health")

local run = scenario {
  description = "A mesh at rest: few wake-ups, few handshakes, little CPU, nothing that is kept.",
  duration = "12s",
  timeout = "5m",
  params = { nodes = 4, digest_ms = 2 },
  tags = { "health" },
}

test("nothing happens, and little is done", function()
  local swarm = mesh { nodes = run.params.nodes }
  -- A mesh that is too busy to form is measured all the same: what it is busy with has a name.
  check.formed(swarm, { within = "60s" })
  sleep "5s" -- joining costs handshakes and answers; rest begins after them

  local before = health.now(swarm)
  sleep(run.duration)
  local seconds = run.duration:seconds()
  health.quiet(swarm, before, seconds, { ["telemetry.spans_ended"] = 4 })
  local busiest = 0.0
  for _, node in ipairs(swarm:live()) do
    local usage = node:usage { since = run.duration }
    check.at_most(usage.cpu, "4%", "CPU of " .. node.id .. " at rest")
    busiest = math.max(busiest, usage.cpu)
  end
  record.metric("CPU of the busiest node at rest, cores", busiest)
  health.telemetry(swarm)
  health.sizes(swarm)
  health.balanced(swarm)
  check.agreed(swarm, { within = "60s" })
end)

test("a digest costs little, however many processes the host has", function()
  local swarm = mesh { nodes = 2, digest_every = "100ms", digest_gated = false }
  -- A node that spends all of its time on digests hears none; what follows says so by its name.
  check.formed(swarm, { within = "30s" })
  local before = health.now(swarm)
  sleep "8s"
  health.spans(swarm, before, 8)
  for _, node in ipairs(swarm:live()) do
    -- For each digest and not a second: on a busy host there are fewer of them, and each costs as
    -- much. A release build needs 0.8 ms, a debug build 3 to 7.
    local cost = 1000 * node:usage({ since = "8s" }).cpu / math.max(health.digests(node, before) / 8, 1)
    check.at_most(cost, run.params.digest_ms, "CPU of " .. node.id .. " for each digest, ms")
    record.metric("CPU for each digest, ms, of " .. node.id, cost)
  end
end)
