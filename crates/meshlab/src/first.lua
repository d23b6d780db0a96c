-- NAME: what it proves, in a sentence.
--
--   meshlab check scenarios/NAME.lua      is it written right? takes no time, starts nothing
--   meshlab run scenarios/NAME.lua        runs it on real nodes; ends with a verdict and a report

scenario {
  description = "The others notice a death and take the node back.",
  timeout = "2m", -- a hard stop for the whole file
}

-- A test is a claim to prove. What is started inside ends with it.
test("the others notice a death and take the node back", function()
  -- Four real processes that gossip. Amounts have their units.
  local swarm = mesh { nodes = 4, digest_every = "500ms" }

  -- `expect` stops the test when it fails, `check` goes on; both fail the run.
  expect.formed(swarm, { within = "20s" })

  local victim = swarm:node(2)
  local others = swarm:others(victim)

  -- A fault lasts as long as its body, however that ends; or give it `hold = "5s"`.
  fault.kill_node(victim, {}, function()
    -- What counts is what the others say in their own spans since the fault began.
    local dead = expect.state(victim, "Dead", {
      seen_by = others,
      via = "inference",
      within = "10s",
    })
    record.metric("time to Dead", dead.took)
  end) -- the node is started again here

  expect.state(victim, "Alive", { seen_by = others, within = "15s" })
  expect.agreed(swarm, { within = "15s" })
end)
