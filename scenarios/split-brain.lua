-- A mesh falls into two halves that both go on, and both think that the other is dead. Each half
-- must agree within itself; when the cut is mended they must be one mesh again, with nobody left
-- out and nobody twice.
--
--   meshlab run scenarios/split-brain.lua
--   meshlab run scenarios/split-brain.lua --seed 7        (another pair of halves)

scenario { description = "Two halves, each whole, and one mesh again.", timeout = "10m" }

local function half_of(swarm)
  local left, right = {}, {}
  for place, node in ipairs(swarm:live()) do
    table.insert(place % 2 == 1 and left or right, node)
  end
  return left, right
end

test("two halves bury each other, go on, and become one mesh again", function()
  local swarm = mesh { nodes = 10, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local left, right = half_of(swarm)

  fault.partition(left, right, {}, function(hit)
    step("each half buries the other", function()
      for _, node in ipairs(left) do
        expect.state(node, "Dead", { seen_by = right, via = "inference", within = "10s" })
      end
      for _, node in ipairs(right) do
        expect.state(node, "Dead", { seen_by = left, via = "inference", within = "10s" })
      end
    end)

    step("each half goes on by itself", function()
      for _, half in ipairs { left, right } do
        for _, node in ipairs(half) do
          for _, other in ipairs(half) do
            if other.id ~= node.id then
              expect.spans("gossip.digest_received", {
                from = node, where = { ["peer.name"] = other.name }, since = hit,
                at_least = 4, within = "20s",
              })
            end
          end
        end
      end
    end)

    step("a node dies in one half, and the other half cannot know", function()
      -- It is long dead to the right half; that it comes back as somebody new is for later.
      fault.restart_node(left[2])
      expect.state(left[2], "Alive", { seen_by = left[1], within = "10s" })
    end)
  end)

  step("one mesh again", function()
    local met = expect.formed(swarm, { within = "30s" })
    record.metric("from the mend to one mesh", met.took)
    expect.agreed(swarm, { within = "30s" })
  end)
end)
