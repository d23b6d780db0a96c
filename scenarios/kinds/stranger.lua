-- Our own node as a stranger: no agent, no control channel. Its exported spans are all that the
-- harness has, and they are enough to say that each fault was noticed and healed.

local stranger = require("stranger")

local run = scenario {
  description = "A node without an agent is held to the same evidence.",
  duration = "35s",
  timeout = "4m",
}

test("every fault is noticed and healed by nodes without an agent", function()
  local swarm = mesh { nodes = 4, kind = stranger }
  expect.formed(swarm, { within = "15s" })
  local second = swarm:node(2)
  expect.spans("peer.connected", {
    from = swarm:others(second),
    where = { ["peer.id"] = second.public_key or "" },
    at_least = 3,
  })

  chaos {
    on = swarm,
    duration = run.duration,
    every = "5s",
    detect_within = "15s",
    faults = {
      kill_node = 1,
      restart_node = 1,
      wedge_node = { hold = "9s" },
      clock_skew = { by = "-1h", hold = "2s" },
    },
  }

  expect.formed(swarm, { within = "15s" })
end)
