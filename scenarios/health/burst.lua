-- Many strangers come at once and go at once. That is a great deal of work, and no leak.

local health = require("health")

local run = scenario {
  description = "A burst of strangers costs what it costs, and is over with them.",
  timeout = "5m",
  params = { nodes = 3, strangers = 4, bursts = 2 },
  tags = { "health" },
}

test("a burst is over when it is over", function()
  local swarm = mesh { nodes = run.params.nodes, env = health.ENV }
  expect.formed(swarm, { within = "60s" })
  for _ = 1, run.params.bursts do
    local strangers = {}
    for place = 1, run.params.strangers do
      strangers[place] = swarm:add()
    end
    expect.formed(swarm, { within = "60s" })
    local leaving = {}
    for place, stranger in ipairs(strangers) do
      leaving[place] = function() stranger:leave() end
    end
    parallel(leaving)
  end
  check.agreed(swarm, { within = "60s" })
  -- The overlay fills the places of those who went, and that they went is known for 24 s, so that no
  -- late word of theirs brings them back. Rest begins after that.
  sleep "20s"

  local before = health.now(swarm)
  sleep "8s"
  -- A stranger whose farewell was not heard is held for dead, and asked again for a while.
  health.quiet(swarm, before, 8, { ["telemetry.spans_ended"] = 4, ["dials"] = 1 })
  health.sizes(swarm, 1)
  health.balanced(swarm)
end)
