-- A published iroh program, offline in the lab: a transfer survives that its receiver's address
-- changes, and loss. `cargo install dumbpipe --locked` puts it on PATH; `--binary
-- dumbpipe-send=PATH --binary dumbpipe-receive=PATH` takes it from elsewhere.

local pipe = require("dumbpipe")

local run = scenario {
  description = "A transfer by dumbpipe survives a NAT shift and loss.",
  duration = "8s",
  timeout = "4m",
  -- `--set heals=false` parts the two for good instead: then it must be red.
  params = { heals = true },
}

test("what was sent arrives whole", function()
  local pair = mesh { nodes = 1, kind = pipe.send }
  local receiver = pair:add { kind = pipe.receive }

  local function arrives()
    expect.file(receiver, { path = "got", holds = pipe.payload, within = "60s" })
  end

  if run.params.heals then
    chaos {
      on = { receiver },
      duration = run.duration,
      every = "3s",
      skip_budget = "100%",
      faults = { nat_shift = 1, lossy_link = { loss = "10%", hold = "2s" } },
    }
    arrives()
  else
    fault.partition_pair(pair:node(1), receiver, {}, arrives)
  end
end)
