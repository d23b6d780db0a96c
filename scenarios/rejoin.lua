-- The four ways to come back. After each, every book of every node (directory, neighbours,
-- connections) agrees again within 15 s, with nobody twice and nobody who is not there.

scenario { description = "Membership heals.", timeout = "15m" }

local function start(count)
  local swarm = mesh { nodes = count, digest_every = "1s" }
  expect.formed(swarm, { within = "20s" })
  expect.agreed(swarm, { within = "15s" })
  return swarm
end

test("a node that restarts within a second, same identity", function()
  local swarm = start(6)
  local victim = swarm:node(4)
  local hit = fault.restart_node(victim)
  local healed = expect.agreed(swarm, { within = "15s" })
  record.metric("agreed after a restart", healed.took)
  -- It came back before anybody could miss it: nobody held it for dead.
  expect.no_spans("node.state_inferred", { from = swarm:others(victim), since = hit })
end)

test("a node that was frozen for longer than the idle timeout of its connections", function()
  local swarm = start(6)
  local victim = swarm:node(5)
  local others = swarm:others(victim)
  fault.wedge_node(victim, {}, function()
    expect.state(victim, "Dead", { seen_by = others, via = "inference", within = "25s" })
    sleep "35s" -- QUIC gives a connection up after 30 s of silence
  end)
  local healed = expect.agreed(swarm, { within = "15s" })
  record.metric("agreed after a freeze", healed.took)
  expect.spans("node.paused", { from = victim, since = "20s" })
  -- It was not there to hear them, and holds nobody for dead because of that.
  expect.no_spans("node.state_inferred", { from = victim })
end)

test("the seed of everybody restarts", function()
  local swarm = start(6)
  local seed = swarm:node(1)
  fault.kill_node(seed, {}, function()
    expect.state(seed, "Dead", { seen_by = swarm:others(seed), within = "25s" })
  end) -- started again here
  local healed = expect.agreed(swarm, { within = "15s" })
  record.metric("agreed after the seed's restart", healed.took)
end)

test("a partition that is healed after minutes", function()
  local swarm = start(8)
  local left = { swarm:node(1), swarm:node(2), swarm:node(3) }
  local right = swarm:others(left[1], left[2], left[3])
  fault.partition(left, right, {}, function()
    for _, gone in ipairs(left) do
      expect.state(gone, "Dead", { seen_by = right, via = "inference", within = "30s" })
    end
    sleep "90s"
  end)
  local healed = expect.agreed(swarm, { within = "15s" })
  record.metric("agreed after a partition", healed.took)
end)
