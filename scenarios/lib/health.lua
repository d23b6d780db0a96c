-- What holds of any healthy node, said without knowing what may be wrong with it. Each claim names
-- the node and the number.

local health = {}

-- Counters that may not run while nothing happens: a second, a node. Debug builds and busy hosts
-- are slower, never faster.
local QUIET = {
  ["connections.opened"] = 0.4, -- handshakes; a shuffle a minute costs one or two
  ["dials"] = 0.2,
  ["digests.sent"] = 0.8, -- each 2 s when something changed, each 8 s when nothing did
  ["tasks.spawned"] = 1,
}

-- What does not follow who is alive, and has a bound of its own: a cache that is full some day,
-- which is set so small here that it fills, and the spans that the transport holds open for each
-- connection.
health.KEPT = 4
local CACHES = { ["addresses.departed"] = health.KEPT, ["telemetry.spans_open"] = 48 }

--- Environment of nodes whose cache of addresses fills within a scenario.
health.ENV = { MESH_NODE_ADDRESSES_KEPT = tostring(health.KEPT) }

--- Counters of each live node, to be compared with what they come to later.
function health.now(swarm)
  local before = {}
  for _, node in ipairs(swarm:live()) do
    before[node.id] = node:counters()
  end
  return before
end

-- Spans that a busy host costs: a node that stood still says so, and what it missed meanwhile is
-- heard, dialled or held for dead a little later. It is the host's doing, and no work.
local function excused(node)
  return 2 * spans("node.paused", { from = node }):count()
end

--- While nothing happens, a node does little: rates of what it counts, over `seconds` since
--- `before`. `limits` are besides the usual ones, or in their place.
function health.quiet(swarm, before, seconds, limits)
  local all = {}
  for name, most in pairs(QUIET) do
    all[name] = most
  end
  for name, most in pairs(limits or {}) do
    all[name] = most
  end
  for _, node in ipairs(swarm:live()) do
    local now = node:counters()
    for name, most in pairs(all) do
      if before[node.id] then
        local rate = (now[name] - before[node.id][name]) / seconds
        if name == "telemetry.spans_ended" then most = most + excused(node) / seconds end
        check.at_most(rate, most, name .. " a second of " .. node.id)
      end
    end
  end
end

--- Telemetry costs less than the work: about a span for each digest that is sent or heard, so far
--- from one for each frame beside it.
function health.spans(swarm, before, seconds)
  for _, node in ipairs(swarm:live()) do
    local now = node:counters()
    local function gained(name)
      return now[name] - before[node.id][name]
    end
    local digests = gained("digests.sent") + gained("digests.received")
    check.at_most(gained("telemetry.spans_ended"), 1.25 * digests + 2 * seconds + excused(node),
      "spans of " .. node.id .. " for " .. digests .. " digests")
  end
end

--- Handshakes that are begun, whatever becomes of them: at most so many a second, each node.
function health.dials(swarm, before, seconds, most)
  for _, node in ipairs(swarm:live()) do
    local rate = (node:counters()["connections.tried"] - before[node.id]["connections.tried"]) / seconds
    check.at_most(rate, most, "connections.tried a second of " .. node.id)
  end
end

--- Every size that a node tells follows who is alive now, whoever there was before; whatever its
--- name is. What went a moment ago may still be there for six seconds.
function health.sizes(swarm, plus)
  local most = 2 * #swarm:live() + (plus or 4)
  local function beyond()
    for _, node in ipairs(swarm:live()) do
      for name, value in pairs(node:gauges()) do
        if name ~= "telemetry.events_held" and value > math.max(most, CACHES[name] or 0) then
          return node, name, value
        end
      end
    end
  end
  local tries = 24
  local node, name, value = beyond()
  while node and tries > 0 do
    sleep "250ms"
    tries = tries - 1
    node, name, value = beyond()
  end
  check.at_most(value or 0, math.max(most, CACHES[name] or 0),
    node and (name .. " of " .. node.id .. ", with " .. #swarm:live() .. " nodes alive")
      or "the largest of all sizes")
end

--- What is said in a span is kept until it ends, so spans that are open hold little.
function health.telemetry(swarm)
  for _, node in ipairs(swarm:live()) do
    check.at_most(node:gauges()["telemetry.events_held"] or 0, 16,
      "events that open spans of " .. node.id .. " keep")
  end
end

--- What was begun is ended: connections and tasks are bounded by who is in view.
function health.balanced(swarm, connections_each, tasks_plus)
  check.conserved(swarm, {
    created = "connections.opened", destroyed = "connections.closed", of = "neighbors",
    per_peer = connections_each or 1, plus = 3, within = "6s",
  })
  check.conserved(swarm, {
    created = "tasks.spawned", destroyed = "tasks.finished",
    per_peer = 0, plus = tasks_plus or 4, within = "6s",
  })
end

return health
