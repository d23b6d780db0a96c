-- iroh-gossip 0.101 leaves a live connection behind at the end of many shuffles: its send loop
-- waits for ever once nobody can send, and nobody closes the connection (n0-computer/iroh-gossip,
-- issue 145). Nobody needs to die for it; more members than the active view of 5 are enough.
--
-- The node's own guard is off, and shuffles come each second in the place of each minute.
--
--   meshlab ab scenarios/upstream/gossip-leak.lua \
--     --after-patch scenarios/upstream/iroh-gossip-0.101-send-loop.patch --rounds 1

local run = scenario {
  description = "Gossip closes the connections that it needs no more.",
  duration = "60s",
  timeout = "4m",
  params = { nodes = 12 },
  tags = { "upstream" },
}

---@class Held
---@field id string
---@field connections integer
---@field neighbors integer
---@field limit number

--- How far a node is beyond what its neighbours need.
---@param one Held
local function beyond(one) return one.connections - one.limit end

--- Connections and neighbours of all nodes together, and the node with most beyond its neighbours.
---@return integer, integer, Held
local function now(swarm)
  local connections, neighbors = 0, 0
  local worst = { id = "no node", connections = 0, neighbors = 0, limit = math.huge }
  for _, node in ipairs(swarm:live()) do
    local view = node:view()
    connections, neighbors = connections + view.connections, neighbors + view.neighbors
    local one = {
      id = node.id, connections = view.connections, neighbors = view.neighbors,
      limit = 2 * view.neighbors + 8,
    }
    if beyond(one) > beyond(worst) then worst = one end
  end
  return connections, neighbors, worst
end

test("live connections stay below 2 x neighbours and a constant", function()
  local swarm = mesh {
    nodes = run.params.nodes,
    env = { MESH_NODE_SHUFFLE_EVERY = "1s", MESH_NODE_GUARD_CONNECTIONS = "false" },
  }
  sleep "10s" -- joining is over: what is there now is needed
  local first = now(swarm)

  local rounds = math.max(1, math.floor(run.duration:seconds() / 10))
  local _, _, most = now(swarm)
  for _ = 1, rounds do
    sleep "10s"
    local _, _, worst = now(swarm)
    if beyond(worst) > beyond(most) then most = worst end
  end
  local connections, neighbors = now(swarm)
  record.metric("live connections at first, all nodes", first)
  record.metric("live connections at last, all nodes", connections)
  record.metric("neighbours at last, all nodes", neighbors)
  check.at_most(most.connections, most.limit,
    "live connections of " .. most.id .. " with " .. most.neighbors .. " neighbours")
  -- What was opened ends, or does not: the leak by itself, whatever a view looks like.
  check.conserved(swarm, {
    created = "connections.opened", destroyed = "connections.closed", of = "neighbors",
    per_peer = 2, plus = 8, within = "6s",
  })
end)
