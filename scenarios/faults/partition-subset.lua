-- Named groups are parted from the rest: one node, a majority, those of a role. Each side buries
-- the other and goes on by itself; afterwards they are one mesh again. In a ring nobody is alone,
-- and nobody is buried.

scenario { description = "Groups apart and together again.", timeout = "10m" }

local function swarm_of(nodes)
  local swarm = mesh { nodes = nodes, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  return swarm
end

test("one node alone", function()
  local swarm = swarm_of(6)
  fault.partition_subset(swarm, { group = "one", hold = "6s" })
  sleep "6s"
  expect.formed(swarm, { within = "30s" })
end)

test("a majority and the rest", function()
  local swarm = swarm_of(7)
  fault.partition_subset(swarm, { group = "majority", hold = "6s" })
  sleep "6s"
  expect.formed(swarm, { within = "30s" })
end)

test("a ring, in which nobody is alone", function()
  local swarm = swarm_of(8)
  fault.partition_subset(swarm, { group = "ring" }, function()
    -- An overlay that loses most of its links may lose members for a while; it must find them.
    sleep "5s"
    expect.agreed(swarm, { within = "30s" })
  end)
  expect.formed(swarm, { within = "30s" })
end)

test("those of a role and the rest", function()
  local swarm = swarm_of { gateway = 3, broker = 4 }
  local gateways, brokers = {}, {}
  for _, node in ipairs(swarm:live()) do
    table.insert(node.role == "gateway" and gateways or brokers, node)
  end
  fault.partition_subset(swarm, { group = "role", role = "gateway" }, function()
    for _, gateway in ipairs(gateways) do
      expect.state(gateway, "Dead", { seen_by = brokers, via = "inference", within = "8s" })
    end
    for _, broker in ipairs(brokers) do
      expect.state(broker, "Dead", { seen_by = gateways, via = "inference", within = "8s" })
    end
  end)
  expect.formed(swarm, { within = "30s" })
end)
