-- A large transfer survives loss byte for byte, and a dead peer fails it within 2 s: the transport
-- alone would take 30.

scenario { description = "Bulk transfers arrive whole or fail soon.", timeout = "4m" }

test("16 MiB arrive byte for byte with a tenth of all packets lost", function()
  local swarm = mesh { nodes = 3, digest_every = "1s" }
  expect.formed(swarm, { within = "20s" })
  local from, to = swarm:node(2), swarm:node(3)

  local clean = traffic.bulk { from = from, to = to, size = "16MiB" }
  expect.equal(clean.whole, true, "a transfer over a clean link arrives whole")
  record.metric("16 MiB, clean", clean.took)

  fault.lossy_link(from, { loss = "10%" }, function()
    local lossy = traffic.bulk { from = from, to = to, size = "16MiB", within = "60s" }
    expect.equal(lossy.whole, true, "it arrives whole at 10 % loss: " .. tostring(lossy.reason))
    record.metric("16 MiB, 10 % loss", lossy.took)
    -- The receiver's own word: it has checked the BLAKE3 hash.
    expect.spans("bulk.received", { from = to, where = { bytes = 16 * 1024 * 1024 } })
  end)
end)

test("a transfer to a peer that dies fails within 2 s", function()
  local swarm = mesh { nodes = 3, digest_every = "1s" }
  expect.formed(swarm, { within = "20s" })
  local from, to = swarm:node(2), swarm:node(3)
  local first = traffic.bulk { from = from, to = to, size = "1MiB" }
  expect.equal(first.whole, true, "a transfer to a live peer")

  fault.kill_node(to)
  local dead = traffic.bulk { from = from, to = to, size = "16MiB", within = "30s" }
  expect.equal(dead.whole, false, "a transfer to a dead peer arrives")
  expect.at_most(dead.took, "2s", "time until the transfer fails")
  print("it failed with: " .. dead.reason)
end)

test("a directory is fetched whole, and memory stays where it was", function()
  -- Twice what is fetched: once in the store, once as files.
  local swarm = mesh { nodes = 2, digest_every = "1s", disk = "512MiB" }
  expect.formed(swarm, { within = "20s" })
  local from, to = swarm:node(1), swarm:node(2)

  -- The store is opened by the first directory; what the second one costs is the transfer's.
  local small = from:share { files = 1, each = "64KiB" }
  expect.equal(to:fetch(from, small).whole, true, "a small directory")

  local hash = from:share { files = 8, each = "16MiB" }
  local fetched = to:fetch(from, hash)
  expect.equal(fetched.whole, true, "the directory arrives: " .. tostring(fetched.reason))
  expect.equal(fetched.files, 8, "files that arrived")
  sleep "2s" -- two samples
  record.metric("128 MiB in 8 files", fetched.took)
  record.metric("RSS of the fetching node after it", to:usage({ since = "2s" }).rss)
  check.at_most(to:usage({ since = "2s" }).rss, "64MiB", "RSS after fetching 128 MiB")
end)
