-- dumbpipe, as it is published: one side pipes its standard input to whoever has its ticket. There is
-- no relay and no name to be looked up in the lab, so the ticket's addresses are all it has. The
-- sender takes its time, so that faults act in the midst of the transfer.

local blocks, bytes = 150, 20000
local payload = {}
for block = 1, blocks do
  payload[block] = string.format("%08d ", block):rep(bytes):sub(1, bytes)
end

local install = "cargo install dumbpipe --locked"

local send = kind {
  name = "dumbpipe-send",
  program = "dumbpipe",
  install = install,
  shell = "i=0; while [ $i -lt "
    .. blocks
    .. " ]; do dd if=payload bs="
    .. bytes
    .. " skip=$i count=1 2>/dev/null || exit; i=$((i+1)); sleep 0.1; done"
    .. " | {program} listen --ipv4-addr {bind}",
  env = { IROH_SECRET = "{secret_key}" },
  files = { payload = table.concat(payload) },
  ready = { log = "dumbpipe connect ", within = "60s" },
  capture = "dumbpipe connect *",
  seed = "{captured}",
  ends = true,
}

local receive = kind {
  name = "dumbpipe-receive",
  program = "dumbpipe",
  install = install,
  shell = "echo it connects; exec {program} connect --recv-only --ipv4-addr {bind} {seed} > got",
  env = { IROH_SECRET = "{secret_key}" },
  ready = { log = "it connects" },
  ends = true,
}

return { send = send, receive = receive, payload = table.concat(payload) }
