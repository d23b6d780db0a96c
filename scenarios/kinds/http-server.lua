-- A stock web server under faults. It says nothing of its peers, so that a fault was noticed is not
-- available: each is counted as undecided, which `skip_budget` allows here. What is proven is that
-- every fault acted, and that after each of them the server answers again over the network.

local web = require("http-server")

local run = scenario {
  description = "A program that is no mesh node comes back after every fault.",
  duration = "20s",
  timeout = "3m",
  ceilings = { rss = "100MiB", open_files = 100 },
}

test("a web server answers again after each fault", function()
  local servers = mesh { nodes = 3, kind = web }
  expect.answers(servers, { from = servers, within = "5s" })

  chaos {
    on = servers,
    duration = run.duration,
    every = "4s",
    skip_budget = "100%",
    faults = {
      restart_node = 2,
      kill_node = { hold = "1s" },
      wedge_node = { hold = "1s" },
      lossy_link = { loss = "20%", hold = "2s" },
      nat_shift = 1,
      clock_skew = { by = "-1h", hold = "2s" },
    },
  }

  expect.answers(servers, { from = servers, within = "10s" })
end)
