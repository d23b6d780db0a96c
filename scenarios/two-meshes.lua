-- Two meshes on one host do not hear each other, and find each other through the backbone: no
-- bridge node, no shared directory. The fleet is unbalanced on purpose.

scenario { description = "Isolation, and delivery across meshes.", timeout = "5m" }

local function start()
  local big = mesh { name = "mesh1", nodes = 7, digest_every = "1s", backbone = true }
  local small = mesh { name = "mesh2", nodes = 3, digest_every = "1s", backbone = true }
  expect.formed(big, { within = "20s" })
  expect.formed(small, { within = "20s" })
  return big, small
end

test("the meshes stay apart and deliver to each other, both ways", function()
  local big, small = start()

  step("each finds the other on the backbone", function()
    for _, from in ipairs { big, small } do
      local other = from == big and "mesh2" or "mesh1"
      expect.spans("mesh.discovered", {
        from_each = from,
        where = { mesh = other },
        within = "20s",
      })
    end
  end)

  step("and neither is in the other's directory", function()
    for _, node in ipairs(big.nodes) do
      expect.equal(node:view().peers, 6, node.id .. " knows its own mesh only")
    end
    for _, node in ipairs(small.nodes) do
      expect.equal(node:view().peers, 2, node.id .. " knows its own mesh only")
    end
    expect.no_spans("gossip.digest_refused", {})
  end)

  step("at least 100 messages arrive from nodes of the other mesh within 57 s", function()
    local delivered = 0
    for round = 1, 3 do
      for _, a in ipairs(big.nodes) do
        for _, b in ipairs(small.nodes) do
          for _, pair in ipairs { { a, b }, { b, a } } do
            local result = pair[1]:deliver(pair[2], "round " .. round)
            if not result.delivered then
              print(pair[1].id .. " to " .. pair[2].id .. ": " .. tostring(result.reason))
            else
              delivered = delivered + 1
            end
          end
        end
      end
    end
    record.metric("messages delivered", delivered)
    expect.equal(delivered, 126, "messages delivered")
    expect.spans("cross.delivered", { from = big, at_least = 63, within = "5s" })
    expect.spans("cross.delivered", { from = small, at_least = 63, within = "5s" })
    expect.spans("cross.peer_connected", { at_least = 42, within = "5s" })
    local all = spans("cross.delivered"):list()
    local length = all[#all].started - all[1].started
    expect.at_most(length, 57, "seconds from the first to the last")
  end)

  step("each message is one trace over two processes", function()
    local result = big:node(7):deliver(small:node(3), "traced")
    expect.equal(result.delivered, true, "the message is delivered")
    expect.eventually("5s", "both spans of the message have arrived", function()
      local found = 0
      for _, name in ipairs { "cross.deliver", "cross.delivered" } do
        for _, span in ipairs(spans(name):list()) do
          if span.trace == result.trace then
            found = found + 1
          end
        end
      end
      return found == 2
    end)
  end)
end)

test("the publisher of a mesh dies and another takes over within the lease", function()
  local big, small = start()
  expect.spans("backbone.published", { from = small, within = "20s" })
  expect.spans("mesh.discovered", { from_each = big, where = { mesh = "mesh2" }, within = "20s" })

  local published = spans("backbone.published", { from = small }):list()
  local victim = small:node(published[#published].node)
  local others = small:others(victim)
  local hit = fault.kill_node(victim)

  -- At this cadence a summary comes each 2 s and its lease is 6 s; a dead publisher is noticed
  -- after 12 s at the latest, and its lease runs out before that.
  local took = expect.spans("backbone.claimed", { from = others, since = hit, within = "8s" })
  record.metric("another node publishes after", took.took)
  expect.no_spans("mesh.lost", { from = big, where = { mesh = "mesh2" }, since = hit })
  local survivor = others[2]
  expect.eventually("10s", "a survivor is found by its name from the other mesh", function()
    return big:node(1):resolve(survivor).found
  end)
  expect.equal(big:node(2):deliver(survivor, "still here").delivered, true, "a message arrives")
end)
