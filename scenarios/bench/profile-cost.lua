-- What 99 samples in a second of CPU time cost the node that is looked at: windows with a profile
-- and without, in turn, on one node that is kept busy, so that whatever else changes changes both.
-- Which of two comes first changes from pair to pair.
--
--     meshlab bench scenarios/bench/profile-cost.lua
--
-- The figure is a share of the node's CPU time, 0.03 is 3 %; its quartiles say how much the pairs
-- differ. On a busy host they differ by more than a profile costs: it says nothing there.

local run = scenario {
  timeout = "30m",
  params = { pairs = 20, window = "10s" },
  tags = { "profile" },
}

-- The value that a share of all values does not exceed.
local function percentile(values, share)
  table.sort(values)
  return values[math.max(1, math.ceil(#values * share))]
end

test("the cost of 99 samples a second", function()
  local swarm = mesh { nodes = 4, digest_every = "100ms", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  local node = swarm:node(1)
  local function used(profiled)
    if profiled then
      node:profile { cpu = run.params.window }
    else
      sleep(run.params.window)
    end
    return node:usage({ since = run.params.window }).cpu
  end
  local costs = {}
  for pair = 1, run.params.pairs do
    local first = used(pair % 2 == 0)
    local second = used(pair % 2 == 1)
    local on, off = first, second
    if pair % 2 == 1 then on, off = second, first end
    costs[#costs + 1] = on / off - 1
  end
  record.metric("cost of 99 Hz, lower quartile", percentile(costs, 0.25))
  record.metric("cost of 99 Hz, median", percentile(costs, 0.5))
  record.metric("cost of 99 Hz, upper quartile", percentile(costs, 0.75))
end)
