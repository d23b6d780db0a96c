-- iroh keeps an address of its own for each id that it ever dialled, and never gives one up
-- (n0-computer/iroh, issue 4293, pull request 4447; versions 0.96 to 1.4.1). With n0-watcher 1.0.0
-- the remains of a task come to it (n0-computer/n0-watcher, issue 62).
--
-- Two meshes side by side dial ids that nobody has, equally often: in one each dial has another id,
-- in the other all have the same few. They dial in bursts and rest between them for longer than
-- iroh keeps what a dial needed. What one rest has more than the first is held against a limit.
--
--   meshlab run scenarios/upstream/address-map.lua
--   meshlab ab scenarios/upstream/address-map.lua --rounds 1 \
--     --after-patch scenarios/upstream/iroh-1.4.1-mapped-addresses.patch

local run = scenario {
  description = "What a node dialled once it does not keep for ever.",
  timeout = "20m",
  sample_every = "1s",
  params = {
    nodes = 2, -- of each mesh
    rate = 150, -- dials a second
    burst = 3000, -- dials between two rests; all that they need is held at the end of one
    bursts = 3,
    at = "", -- where ids are dialled; a dial ends at once if nowhere
    heap = false, -- with `--profile heap`: what is allocated, in the place of resident memory
  },
  tags = { "upstream" },
}

-- Bytes for each dial: less than the two tables of iroh take, which is 112 to 224 by how full they
-- are, and more than resident memory is told in: the kernel counts it in steps of 128 KiB, which is 22
-- bytes for each of 6,000 dials, and a look may be some steps off.
local LIMIT = 100
-- iroh ends what it keeps of an id 60 s after that was last needed; the node rests for 90 s.
local RESTED = 75

local function mesh_of(name, ids)
  return mesh {
    name = name, nodes = run.params.nodes, digest_every = "1s", digest_gated = false,
    env = {
      MESH_NODE_STRANGE_DIALS = run.params.rate .. "/s",
      MESH_NODE_STRANGE_IDS = tostring(ids),
      MESH_NODE_STRANGE_BURST = tostring(run.params.burst),
      MESH_NODE_STRANGE_AT = run.params.at ~= "" and run.params.at or nil,
    },
  }
end

--- What a node holds, in bytes, and the site that gained most, where the heap is recorded.
---@return integer, string
local function look(node)
  if run.params.heap then
    local heap = node:heap()
    local site = heap.grown[1]
    return heap.bytes:bytes(), site and (", most of all by " .. site.site) or ""
  end
  return node:usage({ since = "5s" }).rss:bytes(), ""
end

--- Waits until a node has dialled so often, and then until it has rested; what it holds then.
---@return integer, string
local function after_burst(node, burst)
  local wanted = burst * run.params.burst
  expect.eventually("4m", node.id .. " has dialled " .. wanted .. " ids", function()
    sleep "2s"
    return (node:counters()["dials.strange"] or 0) >= wanted
  end)
  for _ = 1, RESTED do
    sleep "1s"
  end
  local count = node:counters()["dials.strange"] or 0
  check.equal(count, wanted, "dials.strange of " .. node.id .. " at the end of a rest")
  return look(node)
end

--- What is kept of each dial after the first burst, in bytes.
local function kept(node, dialled)
  local first = after_burst(node, 1)
  local last, site = first, ""
  for burst = 2, run.params.bursts do
    last, site = after_burst(node, burst)
  end
  local more = math.max(1, (run.params.bursts - 1) * run.params.burst)
  local each = math.floor((last - first) / more + 0.5)
  check.at_most(each, LIMIT, ("bytes that %s kept of each of %d dials.strange, %s%s"):format(
    node.id, more, dialled, site))
  return each
end

test("an id that was dialled once takes no memory for ever", function()
  local tasks = {}
  for place, ids in ipairs { 0, 8 } do
    local swarm = mesh_of(place == 1 and "new" or "few", ids)
    local dialled = place == 1 and "another id each time" or "the same 8 ids"
    for _, node in ipairs(swarm.nodes) do
      table.insert(tasks, { dialled, spawn(function() return kept(node, dialled) end) })
    end
  end
  for number, task in ipairs(tasks) do
    local dialled, of = task[1], task[2]
    record.metric(("bytes kept of a dial, %s, node-%d"):format(dialled, number), of:join())
  end
end)
