-- What the node itself can do: boot, echo, requests, transfers, and how fast a change of state
-- reaches everybody. `meshlab bench scenarios/bench/node.lua` prints it with its spread.

scenario { timeout = "10m" }

-- The value that a share of all values does not exceed.
local function percentile(values, share)
  table.sort(values)
  return values[math.max(1, math.ceil(#values * share))]
end

local function boots(count)
  expect.spans("node.ready", { at_least = count, within = "20s" })
  local took = {}
  for _, span in ipairs(spans("node.ready"):list()) do
    took[#took + 1] = span.took:seconds() * 1000
  end
  return took
end

test("boot, one at a time", function()
  local swarm = mesh { nodes = 1 }
  for _ = 1, 9 do
    swarm:add {}
    sleep "100ms" -- what the last one does after it is ready is not the next one's boot
  end
  local took = boots(10)
  record.metric("boot to ready in process, one at a time, median, ms", percentile(took, 0.5))
  record.metric("boot to ready in process, one at a time, worst of 10, ms", percentile(took, 1))
end)

test("boot, all at once", function()
  mesh { nodes = 18 }
  local took = boots(18)
  record.metric("boot to ready in process, 18 at once, median, ms", percentile(took, 0.5))
  record.metric("boot to ready in process, 18 at once, worst, ms", percentile(took, 1))
end)

test("a change of state reaches everybody", function()
  local swarm = mesh { nodes = 18 }
  expect.formed(swarm, { within = "30s" })
  sleep "5s"
  local delays = {}
  for round = 1, 9 do
    local walker = swarm:node(2 * round)
    local others = swarm:others(walker)
    for _, change in ipairs { "Updating", "Alive" } do
      if change == "Updating" then walker:update() else walker:resume() end
      expect.state(walker, change, { seen_by = others, via = "message", within = "10s" })
    end
  end
  sleep "1s" -- the last spans are on their way
  -- The clocks are one host's, so the spans' own times can be compared.
  local changed = {}
  for _, span in ipairs(spans("node.state_changed"):list()) do
    changed[span.node] = changed[span.node] or {}
    table.insert(changed[span.node], span)
  end
  for round = 1, 9 do
    local walker = swarm:node(2 * round)
    for _, change in ipairs { "Updating", "Alive" } do
      local said ---@type number
      for _, span in ipairs(changed[walker.id]) do
        if span.attributes.state == change then said = span.started end
      end
      local heard = spans("node.state_heard", { where = { state = change } }):list()
      for _, span in ipairs(heard) do
        local delay = span.started - said
        if span.attributes["peer.name"] == walker.name and delay >= 0 and delay < 10 then
          delays[#delays + 1] = delay * 1000
        end
      end
    end
  end
  check.at_least(#delays, 9 * 2 * 17, "times that a change was heard")
  record.metric("a state change reaches a node of 18, p50, ms", percentile(delays, 0.5))
  record.metric("a state change reaches a node of 18, p99, ms", percentile(delays, 0.99))
end)

test("round trips, requests and transfers", function()
  local swarm = mesh { nodes = 2 }
  expect.formed(swarm, { within = "20s" })
  local a, b = swarm:node(1), swarm:node(2)
  local echo = traffic.bi_streams {
    from = a, to = b, streams = 1, size = "1KiB", duration = "5s", ceilings = { errors = 0 },
  }
  record.metric("echo of 1 KiB, one stream, p50", echo.latency.p50)
  record.metric("echo of 1 KiB, one stream, p99", echo.latency.p99)
  for _, concurrency in ipairs { 1, 4, 16, 64, 128 } do
    local result = traffic.requests {
      from = a, to = b, concurrency = concurrency, size = "1KiB", duration = "5s",
      ceilings = { errors = 0 },
    }
    record.metric(string.format("requests a second, concurrency %3d", concurrency),
      result.per_second)
  end
  local bulk = traffic.bulk { from = a, to = b, size = "64MiB" }
  check.equal(bulk.whole, true, "64 MiB arrive")
  record.metric("64 MiB in one transfer, MiB/s", 64 / bulk.took:seconds())
end)
