-- How fast a mesh forms and what it costs at rest. `meshlab bench` runs this several times and
-- prints the figures with their spread; it reads the steps named "idle ..." and the metrics.

scenario { timeout = "5m" }

test("4 nodes form", function()
  local swarm = mesh { nodes = 4 }
  local formed = expect.formed(swarm, { within = "60s" })
  record.metric("formed, 4 nodes", formed.took)
end)

test("18 nodes form, then idle for 60 s", function()
  local swarm = mesh { nodes = 18 }
  local formed = expect.formed(swarm, { within = "60s" })
  record.metric("formed, 18 nodes", formed.took)

  sleep "10s" -- joining costs handshakes; the idle figures begin after it
  step("idle, 18 nodes", function()
    sleep "60s"
  end)
  expect.formed(swarm, { within = "10s" })
end)
