-- Where the memory goes that a node gains while others come and go: nodes are killed and started
-- again, and one that stays is asked before and after what its heap holds.
--
--     meshlab run scenarios/heap-under-churn.lua --profile heap
--
-- A node that keeps a kilobyte for each connection is named by the site that allocates it:
--
--     cargo build --bin mesh-node-heap --features mesh-node/defects
--     meshlab run scenarios/heap-under-churn.lua --profile heap \
--       --binary mesh-node=target/debug/mesh-node-heap \
--       --node-env '*:MESH_NODE_DEFECT=kilobyte-per-connection'

local run = scenario {
  timeout = "60m",
  params = { nodes = 6, churn = 200 },
  tags = { "profile" },
}

-- A site that gains half a kilobyte and more for each process that ended, after so many of them
-- that a table which doubles does not count.
local LEAK = 512

-- What any subsystem may gain for each process that ended, in bytes: a connection that is never
-- given up is seven times as much.
local BUCKET = 4096
-- Beside that: connections to the peers that ended within the last 30 s, which QUIC has not given
-- up yet (27 KiB each), and tables that double.
local LINGERS = 524288

test("what a node gains is not its peers' number", function()
  local swarm = mesh {
    nodes = run.params.nodes,
    digest_every = "500ms",
    digest_gated = false,
  }
  expect.formed(swarm, { within = "60s" })
  local stays = swarm:node(1)
  local others = swarm:others(stays)

  local before = stays:heap()
  step("kill and respawn", function()
    for round = 1, run.params.churn do
      local victim = others[(round - 1) % #others + 1]
      local hit = fault.kill_node(victim)
      expect.state(victim, "Dead", { since = hit, within = "60s" })
      victim:start()
      expect.formed(swarm, { within = "60s" })
      -- What is filled once, such as caches, is filled by then.
      if round == math.max(1, run.params.churn // 10) then before = stays:heap() end
    end
  end)

  local after = stays:heap()
  record.note(("before: %s, after %d ends: %s"):format(before.bytes, after.churn, after.bytes))
  for name, bytes in pairs(after.buckets) do
    record.note(("%-14s %s -> %s"):format(name, before.buckets[name], bytes))
  end
  check.at_least(after.attributed, 0.95, "share of the heap whose subsystem is known")
  local ends = after.churn - before.churn
  for name, bytes in pairs(after.buckets) do
    local gained = bytes:bytes() - before.buckets[name]:bytes()
    -- Red by its name: of a leak in a library no site of ours is to blame.
    local what = ("bytes gained by %s in %d ends"):format(name, ends)
    check.at_most(gained, BUCKET * ends + LINGERS, what)
  end
  for _, site in ipairs(after.grown) do
    if site.bucket == "app" then
      check.at_most(site.bytes:bytes(), LEAK * after.churn, "bytes gained by " .. site.site)
    end
  end
end)
