---@meta meshlab
-- The language of meshlab's scenarios, for editors: written by `meshlab init` from the
-- definitions that check every call. Do not edit.

----------------------------------------------------------------------------------------------------
-- The scenario file
----------------------------------------------------------------------------------------------------

---What a scenario is and how long it may take.
---@class (exact) meshlab.ScenarioOptions
---@field description? string  what it is about, for lists and reports
---@field duration? meshlab.Duration  how long its plan lasts; `--duration` replaces it, `--time-scale` multiplies it
---@field timeout? meshlab.Duration  hard stop for the whole file, never scaled; its duration and 10 min by default
---@field sample_every? meshlab.Duration  between two samples, 100 ms at least; `"1s"` by default
---@field tags? string[]  words to choose it by, with `--tag`
---@field params? table<string, string|number|boolean>  defaults; `--set name=value` replaces one, which keeps its type
---@field binaries? string[]  programs it needs, as `--binary` names them
---@field ceilings? meshlab.Bounds  the most that a node may use at any sample
---@field floors? meshlab.Bounds  the least that a node needs, from ten seconds after its start
---@field trends? meshlab.Trends  what nodes may grow by

---The run of a scenario.
---@class (exact) meshlab.Run
---@field duration meshlab.DurationValue  of the plan, if it declares one
---@field params table<string, any>  its parameters, read-only
---@field binaries table<string, meshlab.Binary>  the programs that it declares

---Declares the file. It is called once, before the first test.
---
---The scenario's name is the file's.
---
---```lua
---local run = scenario {
---  description = "A mesh of any size forms.",
---  duration = "1m",
---  params = { nodes = 4 },
---  ceilings = { cpu = "80%", rss = "200MiB" },
---  trends = { rss = { max_growth = "256KiB/h", needs = "6h" } },
---}
---
---test("it forms", function()
---  local swarm = mesh { nodes = run.params.nodes }
---  expect.formed(swarm, { within = run.duration })
---end)
---```
---@param options? meshlab.ScenarioOptions
---@return meshlab.Run run
function scenario(options) end

---A claim to prove.
---
---Everything that is started inside is stopped when the body ends, however it ends.
---
---```lua
---test("four nodes find each other", function()
---  expect.formed(mesh { nodes = 4 })
---end)
---```
---@param claim string what should be true, in words
---@param body fun() how it is proven
function test(claim, body) end

---Names a part of a test, in the live view and in the report.
---
---It changes nothing else.
---
---```lua
---local hit = step("one dies", function()
---  return fault.kill_node(swarm:node(2))
---end)
---expect.state(swarm:node(2), "Dead", { since = hit })
---```
---@generic T
---@param name string what the part is
---@param body fun(): T what is done in it
---@return T result what the body returned
function step(name, body) end

----------------------------------------------------------------------------------------------------
-- Meshes and nodes
----------------------------------------------------------------------------------------------------

---One node, some nodes, or those of a mesh.
---@alias meshlab.From meshlab.Node|meshlab.Node[]|meshlab.Mesh

---What a node says of itself, or what others say of it.
---@alias meshlab.State "Joining"|"Alive"|"Degraded"|"Updating"|"Draining"|"Leaving"|"Dead"

---What a mesh is like.
---@class (exact) meshlab.MeshOptions
---@field nodes integer|table<string, integer>  how many, 1 to 250; or by role: `{ gateway = 2, broker = 2 }`
---@field name? string  its id; the second mesh of a test needs one; `"mesh1"` by default
---@field digest_every? meshlab.Duration  time between two digests, 100 ms at least; `"2s"` by default
---@field digest_gated? boolean  send on a change only, with a slow refresh; `true` by default
---@field env? table<string, string>  environment of each node
---@field backbone? boolean  take part in the topic that all meshes share; `false` by default
---@field operator? boolean  take orders that root in the run's operator; `false` by default
---@field relay? boolean  start a relay for its nodes; `false` by default
---@field disk? meshlab.Size  what fits on the disk of each node, in a lab; `"64MiB"` by default
---@field binary? meshlab.Binary  the program of its nodes; mesh-node by default
---@field kind? meshlab.Kind  how to run its nodes, for programs without an agent
---@field ceilings? meshlab.Ceilings  in the place of the scenario's, for its nodes

---A mesh of running nodes.
---@class (exact) meshlab.Mesh
---@field nodes meshlab.Node[]  every node, dead ones too, in the order of their start
local Mesh = {}

---One node, by its place (1 is the first) or its id.
---
---There is an error if there is none.
---
---```lua
---local first = swarm:node(1)
---print(first.id, first.role, first.name)
---```
---@param which integer|string its place, or its id
---@return meshlab.Node node
---@nodiscard
function Mesh:node(which) end

---Nodes whose process runs now.
---
---```lua
---for _, node in ipairs(swarm:live()) do
---  print(node.id)
---end
---```
---@return meshlab.Node[] nodes
---@nodiscard
function Mesh:live() end

---Every live node but these.
---
---```lua
---local victim = swarm:node(2)
---local survivors = swarm:others(victim)
---expect.equal(#survivors, 3, "the others")
---```
---@param ... meshlab.Node whom to leave out
---@return meshlab.Node[] nodes
---@nodiscard
function Mesh:others(...) end

---One live node, drawn by the run's seed.
---
---The same seed picks the same node on any machine.
---
---```lua
---local victim = swarm:pick()
---fault.kill_node(victim)
---```
---@return meshlab.Node node
---@nodiscard
function Mesh:pick() end

---Starts one more node and waits until its endpoint is bound.
---
---```lua
---local late = swarm:add { id = "late", role = "gateway" }
---expect.state(late, "Alive", { within = "10s" })
---```
---@param options? meshlab.NodeOptions
---@return meshlab.Node node
function Mesh:add(options) end

---What its live nodes use, summed, each averaged over a stretch of time.
---
---```lua
---sleep "5s"
---check.at_most(swarm:usage({ since = "5s" }).rss, "200MiB", "RSS of all")
---```
---@param options? meshlab.UsageOptions
---@return meshlab.Usage usage
---@nodiscard
function Mesh:usage(options) end

---The mesh's relay, as a node that faults can be done to.
---
---The mesh needs `relay = true`.
---
---```lua
---local relayed = mesh { name = "relayed", nodes = 2, relay = true }
---fault.slow_link(relayed:relay(), { delay = "50ms", hold = "2s" })
---```
---@return meshlab.Node relay
---@nodiscard
function Mesh:relay() end

---What one more node is like.
---@class (exact) meshlab.NodeOptions
---@field id? string  its id; `node-<n>` where it is not given
---@field role? string  its role; that of the mesh's first node by default
---@field env? table<string, string>  environment of this node
---@field binary? meshlab.Binary  its program; that of its mesh by default
---@field kind? meshlab.Kind  how to run it; as its mesh says by default
---@field seeds? meshlab.From  whom it joins by, dead ones too; two live nodes of its mesh by default

---A node of a mesh: a process. Two are equal if they are the same node.
---@class (exact) meshlab.Node
---@field id string  its id in the run: `node-3`
---@field role string  its role: `broker`
---@field binary meshlab.Binary  its program
---@field name string  its name in spans, which is its public key's; nil for a relay
---@field public_key? string  its public key, 64 hex digits, once it is known
local Node = {}

---Starts a node that was stopped or killed again, with the same identity.
---
---```lua
---local node = swarm:node(2)
---node:leave()
---node:start()
---expect.state(node, "Alive", { within = "15s" })
---```
function Node:start() end

---Asks the node to announce Leaving and to exit by itself.
---
---Waits until its process has ended.
---
---```lua
---local node = swarm:node(2)
---node:leave()
---expect.state(node, "Leaving", { via = "message" })
---```
function Node:leave() end

---Asks the node to announce Updating: it is about to be replaced.
---
---```lua
---swarm:node(2):update()
---expect.state(swarm:node(2), "Updating")
---```
function Node:update() end

---Asks the node to announce Draining and to take no new work.
---
---```lua
---swarm:node(2):drain()
---expect.state(swarm:node(2), "Draining")
---```
function Node:drain() end

---Asks the node to announce Alive again.
---
---```lua
---local node = swarm:node(2)
---node:drain()
---node:resume()
---expect.states(node, { "Draining", "Alive" })
---```
function Node:resume() end

---Lets this node order another one to shut down.
---
---It needs a capability that roots in the operator of the other's mesh: `operator.grant`. An order
---that is refused is no error; it is in what comes back.
---
---```lua
---local order = swarm:node(1):shutdown(swarm:node(2))
---print(order.accepted, order.reason)
---```
---@param other meshlab.Node the node that is ordered
---@return meshlab.Ordered order
function Node:shutdown(other) end

---Lets this node order another one into a state.
---
---As with `node:shutdown`, it needs a capability.
---
---```lua
---local order = swarm:node(1):set_state(swarm:node(2), "Draining")
---print(order.accepted, order.reason)
---```
---@param other meshlab.Node the node that is ordered
---@param state meshlab.State the state to enter
---@return meshlab.Ordered order
function Node:set_state(other, state) end

---Sends a message to another node, of any mesh, and waits until it was acknowledged.
---
---A message that does not arrive is no error; it is in what comes back.
---
---```lua
---local sent = swarm:node(1):deliver(swarm:node(2), "hello")
---expect.equal(sent.delivered, true, "the message arrives")
---```
---@param to meshlab.Node whom to
---@param text? string what it says
---@return meshlab.Delivered result
function Node:deliver(to, text) end

---Asks the node where another one can be reached.
---
---```lua
---local found = swarm:node(1):resolve(swarm:node(2))
---expect.equal(found.found, true, "node-2 is known")
---```
---@param node meshlab.Node|string the other node, or its name
---@return meshlab.Resolved result
function Node:resolve(node) end

---Lets the node offer a directory of made-up files.
---
---```lua
---local from, to = swarm:node(1), swarm:node(2)
---local hash = from:share { files = 2, each = "64KiB" }
---expect.equal(to:fetch(from, hash).whole, true, "the directory arrives")
---```
---@param options? meshlab.ShareOptions
---@return string hash what another node fetches it by
function Node:share(options) end

---Lets the node fetch a directory that another one shares.
---
---A fetch that fails is no error; it is in what comes back.
---
---```lua
---local from, to = swarm:node(1), swarm:node(2)
---local fetched = to:fetch(from, from:share())
---print(fetched.whole, fetched.bytes, fetched.took)
---```
---@param from meshlab.Node who shares it
---@param hash string what `node:share` gave
---@return meshlab.Fetched result
function Node:fetch(from, hash) end

---Asks the node for its place in the overlay.
---
---```lua
---local view = swarm:node(1):view()
---check.at_most(view.connections, 2 * view.neighbors + 8, "live connections")
---```
---@return meshlab.View view
function Node:view() end

---Asks the node for its counters, by name.
---
---Which there are is the node's own word.
---
---```lua
---local before = swarm:node(1):counters()["directory.changes"]
---print("changes so far: " .. before)
---```
---@return table<string, integer> counters
function Node:counters() end

---Asks the node for its numbers that rise and fall, by name.
---
---Sizes of its maps, what is open. Which there are is its own word, so a claim over all of them
---(`pairs`) holds for one that nobody thought of.
---
---```lua
---for name, value in pairs(swarm:node(1):gauges()) do
---  check.at_most(value, 64, name .. " of node-1")
---end
---```
---@return table<string, integer> gauges
function Node:gauges() end

---Samples where the node's CPU time goes, for a while, and draws a flamegraph.
---
---By `perf`, or by the node itself where `perf` is not allowed. What waits is not seen: a node
---that is idle has few samples, and none is no error. For a phase, `spawn` it beside what goes on.
---
---```lua
---local taken = swarm:node(1):profile { cpu = "2s" }
---print(taken.samples, taken.sampler, taken.file)
---```
---@param options meshlab.ProfileOptions
---@return meshlab.CpuProfile profile
function Node:profile(options) end

---Asks the node what its heap holds now, by subsystem and by allocation site.
---
---It needs a program that keeps book of its heap: `meshlab run --profile heap` takes one. Each
---look is compared with the first one at the same process.
---
---```lua
---local node = swarm:node(1)
---local before = node:heap()
---sleep "5s"
---local after = node:heap()
---print(before.bytes, after.bytes)
---for _, site in ipairs(after.grown) do print(site.bytes, site.bucket, site.site) end
---```
---@return meshlab.Heap heap
function Node:heap() end

---What the node uses, averaged over a stretch of time.
---
---```lua
---sleep "5s"
---local usage = swarm:node(1):usage { since = "5s" }
---check.at_most(usage.cpu, "5%", "CPU")
---record.metric("RSS", usage.rss)
---```
---@param options? meshlab.UsageOptions
---@return meshlab.Usage usage
---@nodiscard
function Node:usage(options) end

---Which stretch of time is looked at.
---@class (exact) meshlab.UsageOptions
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given

---What processes used, from samples of the kernel's figures.
---@class (exact) meshlab.Usage
---@field cpu number  share of one core, 1.0 is a whole one
---@field cpu_time meshlab.DurationValue  CPU time, user and system; what two programs are compared by
---@field rss meshlab.SizeValue  resident memory
---@field open_files integer  open files
---@field threads integer  threads

---A directory of made-up files.
---@class (exact) meshlab.ShareOptions
---@field files? integer  how many files; `4` by default
---@field each? meshlab.Size  the size of each; `"1MiB"` by default

---What a node says of its place in the overlay.
---@class (exact) meshlab.View
---@field peers integer  peers in its directory
---@field neighbors integer  gossip neighbours
---@field connections integer  live gossip connections

---What came of an order.
---@class (exact) meshlab.Ordered
---@field accepted boolean  whether it is carried out
---@field reason? string  why not

---What came of a message.
---@class (exact) meshlab.Delivered
---@field delivered boolean  whether it arrived
---@field reason? string  why not
---@field trace string  the id of its trace, if it arrived
---@field via "direct"|"relay"  its path, if it arrived
---@field took meshlab.DurationValue  until it was acknowledged, if it arrived

---What came of a look-up.
---@class (exact) meshlab.Resolved
---@field found boolean  whether the node is known
---@field reason? string  why not
---@field name string  its name, if it was found
---@field addresses string[]  where it can be reached, if it was found

---What came of a fetch.
---@class (exact) meshlab.Fetched
---@field whole boolean  whether every byte arrived, by its BLAKE3 hash
---@field reason? string  why not
---@field files integer  files that arrived, if it did
---@field bytes meshlab.SizeValue  bytes that arrived, if it did
---@field took meshlab.DurationValue  how long it took, if it did

---What of a node is looked at.
---@class (exact) meshlab.ProfileOptions
---@field cpu meshlab.Duration  how long its CPU time is sampled, 10 minutes at most

---Where CPU time went for a while.
---@class (exact) meshlab.CpuProfile
---@field samples integer  samples that it rests on
---@field sampler string  what took them: `perf`, or `the node itself`
---@field file? string  the flamegraph; nil where there is no sample
---@field hottest meshlab.HotFunction[]  the functions that ran most, the first first

---A function and its share of the samples.
---@class (exact) meshlab.HotFunction
---@field name string  its name
---@field share number  of all samples, 0 to 1, in which it ran itself

---What a heap holds: what was allocated and not freed.
---@class (exact) meshlab.Heap
---@field bytes meshlab.SizeValue  all of it
---@field blocks integer  allocations that it is in
---@field attributed number  share whose subsystem is known, 0 to 1
---@field buckets table<string, meshlab.SizeValue>  by subsystem: quic, iroh, gossip, otel/tracing, sysinfo, app, other
---@field sites meshlab.HeapSite[]  where most was allocated, the largest first
---@field grown meshlab.HeapSite[]  what sites gained since the first look at this process, the most first
---@field churn integer  processes of nodes that ended since that look
---@field file string  the dump, which DHAT's viewer opens

---An allocation site.
---@class (exact) meshlab.HeapSite
---@field site string  the function and its line
---@field bucket string  the subsystem
---@field bytes meshlab.SizeValue  what it holds, or gained

---Starts real node processes and waits until every endpoint is bound.
---
---They are stopped at the end of the test. That they have found each other is a claim of its own:
---`expect.formed`.
---
---```lua
---local far = mesh { name = "mesh2", nodes = { gateway = 2, broker = 2 } }
---expect.formed(far, { within = "10s" })
---```
---@param options meshlab.MeshOptions
---@return meshlab.Mesh mesh
function mesh(options) end

----------------------------------------------------------------------------------------------------
-- Programs of somebody else's
----------------------------------------------------------------------------------------------------

---How to run a program. Texts have placeholders: {name}, {index}, {mesh}, {role}, {data}, {tmp},
---{program}, {captured}, {ip}, {port}, {bind}, {seed}, {seeds}, {otlp_http}, {otlp_grpc},
---{public_key}, {secret_key}, and both keys with _base64.
---@class (exact) meshlab.KindOptions
---@field name string  a word for it; `--binary NAME=PATH` replaces its program
---@field program string|meshlab.Binary  its path, or its name on PATH; "mesh-node" is our own, as a stranger
---@field arguments? (string|string[])[]  a list in it is left out where a placeholder in it is empty
---@field shell? string  in the place of `arguments`: a line for /bin/sh, with pipes and files, in which {program} is its program
---@field install? string  how to get the program, for whoever has not: `cargo install dumbpipe --locked`
---@field env? table<string, string>  beside PATH, HOME, TMPDIR and where spans go; left out where a placeholder is empty
---@field files? table<string, string>  written before each start, by their path below its data directory
---@field port? integer  that it binds; each node has its own network; `7777` by default
---@field seed? string  how others write it as a seed; `"{bind}"` by default
---@field seed_separator? string  between two seeds; `","` by default
---@field ready? meshlab.KindReady  what shows that it is ready; one thing is needed
---@field capture? string  a part of a line of its log with one `*`: what that stands for is {captured}; others are given it by `seed = "{captured}"`
---@field ends? boolean  it ends when it is done; with code 0 that is fine; `false` by default
---@field stop? meshlab.KindStop  how it is asked to end
---@field answers? meshlab.KindAnswers  what it answers to anybody, for `expect.answers`
---@field spans? "standard"|table<string, string|meshlab.SpanWord>  what its spans are in the standard names; without it nothing is taken from them
---@field dead_after? meshlab.Duration  silence until it infers a peer's death; `"10s"` by default
---@field clock? "preload"  loads a library before it that answers for the time, so that `clock_skew` works

---What shows that a program is ready: one of these, and how long it may take.
---@class (exact) meshlab.KindReady
---@field log? string  a part of a line of its log; `*` is anything between
---@field span? string  a span of that name
---@field port? "tcp"|"udp"  something has bound its port
---@field command? string[]  a command in its place ends with code 0
---@field answers? boolean  it answers, as `answers` says
---@field within? meshlab.Duration  how long that may take; `"20s"` by default

---How a program is asked to end.
---@class (exact) meshlab.KindStop
---@field signal? string  what is sent; `"SIGTERM"` by default
---@field grace? meshlab.Duration  until it is killed; `"4s"` by default

---A question that a program answers to anybody.
---@class (exact) meshlab.KindAnswers
---@field tcp? string  what is sent over a connection; may be empty
---@field udp? string  what is sent as a packet
---@field contains? string  a part of the answer

---What a span of a program is in the standard names.
---@class (exact) meshlab.SpanWord
---@field is string  the standard name: `peer.connected`
---@field attributes? table<string, string>  from its own names to the standard ones: `{ ["remote"] = "peer.id" }`
---@field with? table<string, string>  attributes that go without saying: `{ state = "Dead" }`

---Who asks, and until when.
---@class (exact) meshlab.AnswersClaim
---@field from? meshlab.From  from whose network; one other of its mesh by default
---@field within? meshlab.Duration  how long to wait; `"10s"` by default

---Which file, what it holds, and until when.
---@class (exact) meshlab.FileClaim
---@field path string  below the node's data directory
---@field holds string  all of its bytes
---@field within? meshlab.Duration  how long to wait; `"10s"` by default

---A kind of node.
---@class (exact) meshlab.Kind
---@field name string  its name

---Says how to run a program that has no agent.
---
---It stands at the top of a file or in a library. `mesh { kind = ... }` makes nodes of it. The
---harness makes an Ed25519 key for each node: `{secret_key}` in a file or an argument,
---`node.public_key` in a scenario.
---
---```lua
---local web = kind {
---  name = "web", program = "/usr/bin/python3",
---  arguments = { "-m", "http.server", "{port}", "--bind", "{ip}" },
---  port = 8000, ready = { port = "tcp" },
---  answers = { tcp = "GET / HTTP/1.0\r\n\r\n", contains = "200 OK" },
---}
---
---test("it serves", function()
---  local servers = mesh { nodes = 2, kind = web }
---  expect.answers(servers, { within = "5s" })
---end)
---```
---@param options meshlab.KindOptions
---@return meshlab.Kind kind
function kind(options) end

----------------------------------------------------------------------------------------------------
-- Spans
----------------------------------------------------------------------------------------------------

---The name of a span. Ours has these; another subject may have others.
---@alias meshlab.SpanName string
---| "node.ready"
---| "endpoint_created"
---| "alpn_registered"
---| "gossip_started"
---| "accept_loop_started"
---| "seed.dialed"
---| "seed.retry"
---| "neighbor.up"
---| "neighbor.down"
---| "peer.connected"
---| "peer.disconnected"
---| "peer.restarted"
---| "gossip.digest_sent"
---| "gossip.digest_received"
---| "gossip.digest_refused"
---| "node.state_changed"
---| "node.state_heard"
---| "node.state_inferred"
---| "node.paused"
---| "connection.closed"
---| "order.accepted"
---| "order.refused"
---| "order.sent"
---| "backbone.claimed"
---| "backbone.yielded"
---| "backbone.published"
---| "backbone.refused"
---| "mesh.discovered"
---| "mesh.lost"
---| "cross.peer_connected"
---| "cross.deliver"
---| "cross.delivered"
---| "path.changed"
---| "frame.refused"
---| "work.refused"
---| "traffic.finished"
---| "bulk.received"
---| "directory.fetched"

---What attributes must be: equal to a value, or what a condition says; `{ ["peer.name"] =
---node.name, bytes = { above = 200 } }`.
---@alias meshlab.Where table<string, string|number|boolean|meshlab.Condition>

---A span in a claim about several: its name, or `{ "name", where = { ... } }`.
---@alias meshlab.Part string|meshlab.SpanPart

---The moment at which a fault began to act, or a length of time before now.
---@alias meshlab.Since meshlab.Hit|meshlab.Duration

---Which spans.
---@class (exact) meshlab.SpanFilter
---@field from? meshlab.From  their senders; else everybody
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given

---A question for spans.
---@class (exact) meshlab.Spans
local Spans = {}

---How many there are now.
---
---```lua
---print(spans("gossip.digest_sent"):count())
---```
---@return integer count
---@nodiscard
function Spans:count() end

---The spans themselves, the newest 10,000.
---
---```lua
---for _, span in ipairs(spans("peer.connected"):list()) do
---  print(span.node, span.attributes["peer.name"], span.took)
---end
---```
---@return meshlab.Span[] spans
---@nodiscard
function Spans:list() end

---A span as it was received.
---@class (exact) meshlab.Span
---@field name string  its name
---@field node string  the id of the node that sent it
---@field attributes table<string, any>  its attributes
---@field trace string  the id of its trace
---@field id string  its id
---@field parent string  the id of its parent; empty for a root
---@field started number  its start, in seconds since 1970
---@field took meshlab.DurationValue  how long it took

---What an attribute must be. Of several, all must hold.
---@class (exact) meshlab.Condition
---@field contains? string  text with this in it
---@field above? number  a number above this
---@field at_least? number  a number not below this
---@field below? number  a number below this
---@field at_most? number  a number not above this
---@field one_of? (string|number|boolean)[]  one of these values
---@field is_not? string|number|boolean  any other value
---@field present? boolean  whether the attribute is there

---A span in a claim about several.
---@class (exact) meshlab.SpanPart
---@field [1] meshlab.SpanName  its name, which stands first
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace

---Asks for spans that have arrived so far.
---
---It does not wait; to wait for spans, claim them with `expect.spans`.
---
---```lua
---local met = spans("peer.connected", { from = swarm:node(1) })
---print(met:count())
---```
---@param name meshlab.SpanName their name
---@param filter? meshlab.SpanFilter
---@return meshlab.Spans spans
---@nodiscard
function spans(name, filter) end

----------------------------------------------------------------------------------------------------
-- Claims
----------------------------------------------------------------------------------------------------

---How an observer came to hold a state: told by the node itself, or worked out.
---@alias meshlab.Via "message"|"inference"

---What can be ordered: a count, a length of time, a size, a share.
---@alias meshlab.Quantity number|string|meshlab.DurationValue|meshlab.SizeValue

---Which spans, and how many.
---@class (exact) meshlab.SpanClaim
---@field from? meshlab.From  their senders; else everybody
---@field from_each? meshlab.From  senders that must reach the number each by itself
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given
---@field at_least? integer  how many; `1` by default
---@field within? meshlab.Duration  how long to wait for it; never scaled; `"10s"` by default

---Which spans there must not be.
---@class (exact) meshlab.NoSpanClaim
---@field from? meshlab.From  their senders; else everybody
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given
---@field during? meshlab.Duration  keep watching for so long; else look once, which misses what is under way
---@field before? meshlab.Part  watch until the first of these, at each node by itself
---@field within? meshlab.Duration  how soon `before` must come; 10 s by default

---Whose spans, and by when.
---@class (exact) meshlab.SequenceClaim
---@field from? meshlab.From  one of these must show it; else anybody
---@field from_each? meshlab.From  each of these must show it by itself
---@field by? string  an attribute that must have one value in all of them
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given
---@field within? meshlab.Duration  how long to wait for it; never scaled; `"10s"` by default

---What is to be followed, and how soon.
---@class (exact) meshlab.FollowsClaim
---@field after meshlab.Part  the span that is to be followed, each of them
---@field from? meshlab.From  their senders; else everybody
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace
---@field by? string  an attribute that must have one value in all of them
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given
---@field within? meshlab.Duration  how soon it must follow; never scaled; `"10s"` by default
---@field during? meshlab.Duration  look for new ones for so long; else those there are

---How many, in how long. It needs `at_least` or `at_most`.
---@class (exact) meshlab.CountsClaim
---@field window meshlab.Duration  the length of each stretch
---@field at_least? integer  so many in each stretch that is over
---@field at_most? integer  no more in any stretch
---@field from? meshlab.From  their senders; else everybody
---@field from_each? meshlab.From  each of these must show it by itself
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given
---@field during? meshlab.Duration  keep watching for so long; else look at what is there

---Which spans.
---@class (exact) meshlab.NeverClaim
---@field from? meshlab.From  their senders; else everybody
---@field where? meshlab.Where  what their attributes must be
---@field under? meshlab.SpanName  a span that must be above them in their trace

---Who must have seen it, and how.
---@class (exact) meshlab.StateClaim
---@field seen_by? meshlab.From  the observers; every other live node of its mesh where it is not given
---@field via? meshlab.Via  how they must have come to it; else either will do
---@field since? meshlab.Since  from when on; the start of the innermost test, fault body or round where it is not given
---@field within? meshlab.Duration  how long to wait for it; never scaled; `"10s"` by default

---By when.
---@class (exact) meshlab.WithinClaim
---@field within? meshlab.Duration  how long to wait for it; never scaled; `"10s"` by default

---What is counted, and by what it is bounded.
---@class (exact) meshlab.ConservedClaim
---@field created string  the name of what counts what is made
---@field destroyed string  the name of what counts what has ended
---@field counted? string  where they are counted: the node's own `"counters"`, or its `"spans"`; `"counters"` by default
---@field of? string  what it sees: its `"peers"`, or `"neighbors"`; `"peers"` by default
---@field per_peer? integer  how many for each that it sees; `1` by default
---@field plus? integer  how many besides; `0` by default
---@field within? meshlab.Duration  how long to wait for it; never scaled; `"10s"` by default

---How a claim went.
---@class (exact) meshlab.Met
---@field took meshlab.DurationValue  from `since` until the last part of it was true
---@field passed boolean  whether it held; a `check` goes on either way

----------------------------------------------------------------------------------------------------
-- Faults
----------------------------------------------------------------------------------------------------

---Which packets of a node are meant.
---@alias meshlab.Direction "out"|"in"|"both"

---Who is parted from the others: one node, more than half, those of a role, a whole mesh; in a
---ring each keeps the links to its neighbours.
---@alias meshlab.Group "one"|"majority"|"ring"|"mesh"|"role"

---A fault that was injected. As `since` it stands for the moment from which on it acted.
---@class (exact) meshlab.Hit
---@field fault string  its name, `kill_node`
---@field targets string[]  the ids of the nodes that it was aimed at
---@field acted boolean  false where this run cannot do it and has skipped it

---@class (exact) meshlab.FaultOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---@class (exact) meshlab.InstantFaultOptions

---@class (exact) meshlab.BurstKillOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field count? integer  of these nodes so many, which the run's seed draws; all of them where it is not given (in a `chaos`: 2)

---@class (exact) meshlab.ClockSkewOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field by? meshlab.Duration  how far, `"-30s"` for back
---@field drift? meshlab.Percent  how much faster it runs, `"-1%"` for slower; -50 % to 50 %

---@class (exact) meshlab.CpuLimitOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field cpu meshlab.Percent  a share of one core, 1 % at least

---@class (exact) meshlab.DiskFullOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field limit? meshlab.Size  writes at most this; a disk with more room than that cannot be filled; `"64MiB"` by default

---@class (exact) meshlab.FdLimitOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field files integer  files that it may have open

---@class (exact) meshlab.FlapLinkOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field count? integer  cycles, at most 10,000; `3` by default
---@field down? meshlab.Duration  cut for so long, 50 ms to 1 h; `"1s"` by default
---@field up? meshlab.Duration  whole for so long, 50 ms to 1 h; `"1s"` by default

---@class (exact) meshlab.LatencySpikeOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field delay meshlab.Duration  how late a packet is, at most 1 h
---@field spike? meshlab.Duration  late for so long, 50 ms to 1 h; `"1s"` by default
---@field calm? meshlab.Duration  on time for so long, 50 ms to 1 h; `"1s"` by default
---@field count? integer  cycles, at most 10,000; `3` by default
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default
---@field to? meshlab.From  only on the links to these; else on all links

---@class (exact) meshlab.LossyLinkOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field loss? meshlab.Percent  the share that is lost, more than 0 %
---@field burst? number  the mean number lost in a row, 1 at least
---@field duplicate? meshlab.Percent  the share that arrives twice
---@field reorder? meshlab.Percent  the share that is overtaken
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default
---@field to? meshlab.From  only on the links to these; else on all links

---@class (exact) meshlab.MemoryLimitOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field memory meshlab.Size  bytes that it may have

---@class (exact) meshlab.MtuOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field bytes? integer  the largest packet, 68 to 1499; `1280` by default
---@field black_hole? boolean  says nothing of what it drops; `false` by default

---@class (exact) meshlab.PacketCorruptOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field corrupt meshlab.Percent  the share that arrives altered
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default
---@field to? meshlab.From  only on the links to these; else on all links

---@class (exact) meshlab.PartitionSubsetOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field group meshlab.Group  who is parted from the others
---@field role? string  whose group, with `group = "role"`

---@class (exact) meshlab.RateLimitOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field rate meshlab.ByteRate  bytes that cross in a second
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default
---@field to? meshlab.From  only on the links to these; else on all links

---@class (exact) meshlab.SlowLinkOptions
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field delay meshlab.Duration  how late a packet is, at most 1 h
---@field jitter? meshlab.Duration  how far the delay varies, at most 1 h; `"0s"` by default
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default
---@field to? meshlab.From  only on the links to these; else on all links

----------------------------------------------------------------------------------------------------
-- Chaos
----------------------------------------------------------------------------------------------------

---Which faults, how often, and what is forgiven.
---@class (exact) meshlab.ChaosOptions
---@field on meshlab.From  who may be hurt
---@field faults meshlab.FaultMix  which faults, each with its weight or its options
---@field every meshlab.Duration  the mean time between two of them
---@field jitter? meshlab.Duration  how far that varies; `"0s"` by default
---@field duration? meshlab.Duration  how long it lasts; needed where there is no body
---@field at_once? integer  faults that act at the same time, at most 100; `1` by default
---@field detect_within? meshlab.Duration  how soon one must be noticed, and heal; `"30s"` by default
---@field flake_budget? meshlab.Percent  the share that may go unnoticed; `"0%"` by default
---@field skip_budget? meshlab.Percent  the share that may be skipped or undecided; `"10%"` by default

---What came of a chaos, in faults.
---@class (exact) meshlab.ChaosReport
---@field planned integer  drawn
---@field injected integer  that acted, or should have
---@field detected integer  noticed and healed
---@field missed integer  unnoticed, or not healed
---@field skipped integer  not applied: none of them counts as passed
---@field inconclusive integer  whose evidence came too late to judge

---`fault.burst_kill` in a `chaos`.
---@class (exact) meshlab.BurstKillInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field count? integer  of these nodes so many, which the run's seed draws; all of them where it is not given (in a `chaos`: 2)

---`fault.clock_skew` in a `chaos`.
---@class (exact) meshlab.ClockSkewInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field by? meshlab.Duration  how far, `"-30s"` for back
---@field drift? meshlab.Percent  how much faster it runs, `"-1%"` for slower; -50 % to 50 %

---`fault.cpu_limit` in a `chaos`.
---@class (exact) meshlab.CpuLimitInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field cpu meshlab.Percent  a share of one core, 1 % at least

---`fault.disk_full` in a `chaos`.
---@class (exact) meshlab.DiskFullInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field limit? meshlab.Size  writes at most this; a disk with more room than that cannot be filled; `"64MiB"` by default

---`fault.fd_limit` in a `chaos`.
---@class (exact) meshlab.FdLimitInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field files integer  files that it may have open

---`fault.firewall_inbound` in a `chaos`.
---@class (exact) meshlab.FirewallInboundInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---`fault.flap_link` in a `chaos`.
---@class (exact) meshlab.FlapLinkInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field count? integer  cycles, at most 10,000; `3` by default
---@field down? meshlab.Duration  cut for so long, 50 ms to 1 h; `"1s"` by default
---@field up? meshlab.Duration  whole for so long, 50 ms to 1 h; `"1s"` by default

---`fault.kill_node` in a `chaos`.
---@class (exact) meshlab.KillNodeInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---`fault.latency_spike` in a `chaos`.
---@class (exact) meshlab.LatencySpikeInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field delay meshlab.Duration  how late a packet is, at most 1 h
---@field spike? meshlab.Duration  late for so long, 50 ms to 1 h; `"1s"` by default
---@field calm? meshlab.Duration  on time for so long, 50 ms to 1 h; `"1s"` by default
---@field count? integer  cycles, at most 10,000; `3` by default
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default

---`fault.lossy_link` in a `chaos`.
---@class (exact) meshlab.LossyLinkInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field loss? meshlab.Percent  the share that is lost, more than 0 %
---@field burst? number  the mean number lost in a row, 1 at least
---@field duplicate? meshlab.Percent  the share that arrives twice
---@field reorder? meshlab.Percent  the share that is overtaken
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default

---`fault.memory_limit` in a `chaos`.
---@class (exact) meshlab.MemoryLimitInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field memory meshlab.Size  bytes that it may have

---`fault.mtu` in a `chaos`.
---@class (exact) meshlab.MtuInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field bytes? integer  the largest packet, 68 to 1499; `1280` by default
---@field black_hole? boolean  says nothing of what it drops; `false` by default

---`fault.nat_shift` in a `chaos`.
---@class (exact) meshlab.NatShiftInChaos
---@field weight? number  how often it is drawn; `1` by default

---`fault.packet_corrupt` in a `chaos`.
---@class (exact) meshlab.PacketCorruptInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field corrupt meshlab.Percent  the share that arrives altered
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default

---`fault.partition` in a `chaos`.
---@class (exact) meshlab.PartitionInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---`fault.partition_pair` in a `chaos`.
---@class (exact) meshlab.PartitionPairInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---`fault.partition_subset` in a `chaos`.
---@class (exact) meshlab.PartitionSubsetInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field group meshlab.Group  who is parted from the others
---@field role? string  whose group, with `group = "role"`

---`fault.rate_limit` in a `chaos`.
---@class (exact) meshlab.RateLimitInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field rate meshlab.ByteRate  bytes that cross in a second
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default

---`fault.relay_down` in a `chaos`.
---@class (exact) meshlab.RelayDownInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---`fault.restart_node` in a `chaos`.
---@class (exact) meshlab.RestartNodeInChaos
---@field weight? number  how often it is drawn; `1` by default

---`fault.slow_link` in a `chaos`.
---@class (exact) meshlab.SlowLinkInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled
---@field delay meshlab.Duration  how late a packet is, at most 1 h
---@field jitter? meshlab.Duration  how far the delay varies, at most 1 h; `"0s"` by default
---@field direction? meshlab.Direction  which packets of the node; `"out"` by default

---`fault.wedge_node` in a `chaos`.
---@class (exact) meshlab.WedgeNodeInChaos
---@field weight? number  how often it is drawn; `1` by default
---@field hold? meshlab.Duration  takes it back by itself after this long; a deadline of its own, never scaled

---Faults with their weight, or with their options.
---@class (exact) meshlab.FaultMix
---@field burst_kill? number|meshlab.BurstKillInChaos
---@field clock_skew? meshlab.ClockSkewInChaos
---@field cpu_limit? meshlab.CpuLimitInChaos
---@field disk_full? number|meshlab.DiskFullInChaos
---@field fd_limit? meshlab.FdLimitInChaos
---@field firewall_inbound? number|meshlab.FirewallInboundInChaos
---@field flap_link? number|meshlab.FlapLinkInChaos
---@field kill_node? number|meshlab.KillNodeInChaos
---@field latency_spike? meshlab.LatencySpikeInChaos
---@field lossy_link? meshlab.LossyLinkInChaos
---@field memory_limit? meshlab.MemoryLimitInChaos
---@field mtu? number|meshlab.MtuInChaos
---@field nat_shift? number|meshlab.NatShiftInChaos
---@field packet_corrupt? meshlab.PacketCorruptInChaos
---@field partition? number|meshlab.PartitionInChaos
---@field partition_pair? number|meshlab.PartitionPairInChaos
---@field partition_subset? meshlab.PartitionSubsetInChaos
---@field rate_limit? meshlab.RateLimitInChaos
---@field relay_down? number|meshlab.RelayDownInChaos
---@field restart_node? number|meshlab.RestartNodeInChaos
---@field slow_link? meshlab.SlowLinkInChaos
---@field wedge_node? number|meshlab.WedgeNodeInChaos

---Injects faults by a schedule that the run's seed draws, and judges each.
---
---What still acts at its end is taken back, and the mesh must be formed then. A chaos in which
---nothing acted fails. `--time-scale` multiplies `duration`, `every` and `jitter`; a `--duration`
---in which no fault would be due draws two, after a third each.
---
---```lua
---local storm = chaos {
---  on = swarm, duration = "1m", every = "10s", flake_budget = "15%",
---  faults = { kill_node = 1, slow_link = { delay = "200ms", hold = "4s" } },
---}
---record.metric("faults that were noticed and healed", storm.detected)
---```
---@generic T
---@param options meshlab.ChaosOptions
---@param body? fun(): T the chaos lasts as long as this runs
---@return meshlab.ChaosReport report
---@return T result what the body returned
function chaos(options, body) end

----------------------------------------------------------------------------------------------------
-- Before and after
----------------------------------------------------------------------------------------------------

---What is compared, and how often.
---@class (exact) meshlab.CompareOptions
---@field before meshlab.Binary  the one program
---@field after meshlab.Binary  the other one
---@field rounds integer  with each of them, at most 200
---@field warmup? integer  rounds that come first and do not count; `1` by default
---@field round fun(binary: meshlab.Binary): table<string, number|meshlab.DurationValue|meshlab.SizeValue>  measures, each above zero

---What rounds with two programs measured.
---@class (exact) meshlab.Comparison
---@field rounds integer  with each of them
local Comparison = {}

---The median of a measure with the one program.
---
---```lua
---local run = scenario { binaries = { "before", "after" } }
---
---test("a mesh forms sooner", function()
---  local result = compare {
---    before = run.binaries.before,
---    after = run.binaries.after,
---    rounds = 5,
---    round = function(binary)
---      local swarm = mesh { nodes = 4, binary = binary }
---      return { formed = expect.formed(swarm).took }
---    end,
---  }
---  record.metric("before", result:before("formed"))
---  record.metric("after", result:after("formed"))
---  record.note("ratio " .. result:effect("formed"))
---end)
---```
---@param measure string its name
---@return number|meshlab.DurationValue|meshlab.SizeValue median
---@nodiscard
function Comparison:before(measure) end

---The median of a measure with the other program.
---
---```lua
---local run = scenario { binaries = { "before", "after" } }
---
---test("a mesh forms sooner", function()
---  local result = compare {
---    before = run.binaries.before,
---    after = run.binaries.after,
---    rounds = 5,
---    round = function(binary)
---      local swarm = mesh { nodes = 4, binary = binary }
---      return { formed = expect.formed(swarm).took }
---    end,
---  }
---  record.metric("before", result:before("formed"))
---  record.metric("after", result:after("formed"))
---  record.note("ratio " .. result:effect("formed"))
---end)
---```
---@param measure string its name
---@return number|meshlab.DurationValue|meshlab.SizeValue median
---@nodiscard
function Comparison:after(measure) end

---The ratio of after to before, by rounds.
---
---```lua
---local run = scenario { binaries = { "before", "after" } }
---
---test("a mesh forms sooner", function()
---  local result = compare {
---    before = run.binaries.before,
---    after = run.binaries.after,
---    rounds = 5,
---    round = function(binary)
---      local swarm = mesh { nodes = 4, binary = binary }
---      return { formed = expect.formed(swarm).took }
---    end,
---  }
---  record.metric("before", result:before("formed"))
---  record.metric("after", result:after("formed"))
---  record.note("ratio " .. result:effect("formed"))
---end)
---```
---@param measure string its name
---@return number ratio below 1 is better
---@nodiscard
function Comparison:effect(measure) end

---How much, and how sure.
---@class (exact) meshlab.Gain
---@field by meshlab.Percent  of what it was before
---@field confidence? meshlab.Percent  of the interval, 50% to 99.99%; `"95%"` by default

---A program that meshes can be made of.
---@class (exact) meshlab.Binary
---@field name string  as `--binary` names it
---@field path string  where it lies; empty in a rehearsal
---@field version string  the first digits of its SHA-256

---The most that a node may use at any sample; the run ends at the first above.
---@class (exact) meshlab.Ceilings
---@field cpu? meshlab.Percent  share of one core, averaged over one sample period
---@field rss? meshlab.Size  resident memory
---@field open_files? integer  open files
---@field threads? integer  threads
---@field counters? table<string, integer>  what nodes count themselves, by the names of `node:counters()`

---Limits of every node, and others of some roles or of some of the time. All that are about a node
---hold for it; the run ends at the first sample beyond one.
---@class (exact) meshlab.Bounds
---@field cpu? meshlab.Percent  share of one core, averaged over one sample period
---@field rss? meshlab.Size  resident memory
---@field open_files? integer  open files
---@field threads? integer  threads
---@field counters? table<string, integer>  what nodes count themselves, by the names of `node:counters()`
---@field roles? table<string, meshlab.Ceilings>  of the nodes of a role
---@field phases? meshlab.Phases  of a part of the test, without ten seconds after each start

---The parts of a test.
---@class (exact) meshlab.Phases
---@field idle? meshlab.Ceilings  until the first fault
---@field chaos? meshlab.Ceilings  while a fault acts or heals, or a chaos goes on
---@field recovered? meshlab.Ceilings  after that, once all have healed

---The most that nodes may grow by: the upper end of the 95 % interval of their mean slope.
---@class (exact) meshlab.Trend
---@field max_growth meshlab.Rate  an amount per time: `"256KiB/h"`, `"1/h"`; or `"64KiB/peer"` that goes away, of the least value between two of them
---@field after? meshlab.Duration  left out at the start of each process; `"10m"` by default
---@field needs? meshlab.Duration  with less data it is inconclusive; `"1h"` by default
---@field stop_when_certain? boolean  end the run once it is certain that more is grown by: looks from a quarter of `needs` on, with 1 % false alarms over all of them; `false` by default

---What nodes may grow by.
---@class (exact) meshlab.Trends
---@field cpu? meshlab.Trend  share of one core
---@field rss? meshlab.Trend  resident memory
---@field open_files? meshlab.Trend  open files
---@field threads? meshlab.Trend  threads
---@field counters? table<string, meshlab.Trend>  what nodes count themselves, by the names of `node:counters()`

---Runs the same round with two programs: before, after, after, before, and so on.
---
---What a round starts ends with it, and evidence counts from its start. A round that fails fails
---the comparison and is told with its number.
---
---```lua
---local run = scenario { binaries = { "before", "after" } }
---
---test("a mesh forms sooner", function()
---  local result = compare {
---    before = run.binaries.before,
---    after = run.binaries.after,
---    rounds = 10,
---    round = function(binary)
---      local swarm = mesh { nodes = 4, binary = binary }
---      return { formed = expect.formed(swarm).took }
---    end,
---  }
---  expect.improved(result, "formed", { by = "20%" })
---end)
---```
---@param options meshlab.CompareOptions
---@return meshlab.Comparison comparison
function compare(options) end

----------------------------------------------------------------------------------------------------
-- Workloads
----------------------------------------------------------------------------------------------------

---Streams that stay open.
---@class (exact) meshlab.BiStreamOptions
---@field from meshlab.Node  who drives it
---@field to meshlab.Node  who answers
---@field streams integer  how many at once
---@field size? meshlab.Size  of each message, and of each answer; `"1KiB"` by default
---@field duration meshlab.Duration  for how long; never scaled
---@field rate? meshlab.Rate  send on a clock; else the next follows the answer
---@field floors? meshlab.TrafficFloors  what it must reach
---@field ceilings? meshlab.TrafficCeilings  what it must not exceed

---A stream for each request.
---@class (exact) meshlab.RequestOptions
---@field from meshlab.Node  who drives it
---@field to meshlab.Node  who answers
---@field concurrency? integer  requests at once; `1` by default
---@field size? meshlab.Size  of each message, and of each answer; `"1KiB"` by default
---@field duration meshlab.Duration  for how long; never scaled
---@field rate? meshlab.Rate  send on a clock; else the next follows the answer
---@field floors? meshlab.TrafficFloors  what it must reach
---@field ceilings? meshlab.TrafficCeilings  what it must not exceed

---One large transfer.
---@class (exact) meshlab.BulkOptions
---@field from meshlab.Node  who drives it
---@field to meshlab.Node  who answers
---@field size meshlab.Size  how much
---@field within? meshlab.Duration  given up after so long; never scaled; `"60s"` by default

---What a workload must reach.
---@class (exact) meshlab.TrafficFloors
---@field round_trips? integer  round trips, at least

---What a workload must not exceed. A time of no round trips at all is none that held.
---@class (exact) meshlab.TrafficCeilings
---@field errors? integer  errors, at most
---@field p50? meshlab.Duration  of the round-trip times, at most
---@field p90? meshlab.Duration  of the round-trip times, at most
---@field p99? meshlab.Duration  of the round-trip times, at most
---@field p999? meshlab.Duration  of the round-trip times, at most
---@field max? meshlab.Duration  of the round-trip times, at most

---What a workload measured.
---@class (exact) meshlab.TrafficResult
---@field round_trips integer  messages that were answered
---@field errors integer  messages that were not
---@field bytes meshlab.SizeValue  bytes that crossed
---@field took meshlab.DurationValue  how long it took
---@field per_second number  round trips a second
---@field latency meshlab.Latency  the round-trip times

---What came of a transfer.
---@class (exact) meshlab.BulkResult
---@field whole boolean  whether every byte arrived, by its BLAKE3 hash
---@field reason? string  why not
---@field took meshlab.DurationValue  how long it took
---@field bytes meshlab.SizeValue  bytes that crossed

---A distribution of round-trip times, from an HDR histogram.
---@class (exact) meshlab.Latency
---@field p50 meshlab.DurationValue  half of them took at most this
---@field p90 meshlab.DurationValue  9 of 10
---@field p99 meshlab.DurationValue  99 of 100
---@field p999 meshlab.DurationValue  999 of 1000
---@field max meshlab.DurationValue  the longest
---@field count integer  how many there are
local Latency = {}

---The time that so many percent of them took at most.
---
---```lua
---local asked = traffic.requests {
---  from = swarm:node(1), to = swarm:node(2), duration = "1s",
---}
---print(asked.latency:at(75))
---```
---@param percentile number 0 to 100
---@return meshlab.DurationValue time
---@nodiscard
function Latency:at(percentile) end

----------------------------------------------------------------------------------------------------
-- Orders
----------------------------------------------------------------------------------------------------

---What a node may order another to do.
---@alias meshlab.Act "shutdown"|"set_state"

---A capability.
---@class (exact) meshlab.GrantOptions
---@field may meshlab.Act[]  what it may order
---@field mesh? string  nodes of this mesh only; else of each of the operator's
---@field valid_for? meshlab.Duration  for so many whole seconds; else for ever

----------------------------------------------------------------------------------------------------
-- Time, and beside each other
----------------------------------------------------------------------------------------------------

---A body that runs beside the test.
---@class (exact) meshlab.Task
local Task = {}

---Waits for the task; its error is yours.
---
---```lua
---local task = spawn(function() return swarm:pick() end)
---print(task:join().id)
---```
---@return any ... what its body returned
function Task:join() end

---Ends the task at its next call, and waits until it has taken back what it did.
---
---```lua
---local task = spawn(function()
---  fault.wedge_node(swarm:node(2), {}, function() sleep "1h" end)
---end)
---sleep "2s"
---task:cancel()
---```
function Task:cancel() end

---Waits.
---
---`--time-scale` multiplies a length that is written as text. To wait for something, use a claim
---with `within`: it ends as soon as it can.
---
---```lua
---sleep "2s"
---```
---@param length meshlab.Duration for how long
function sleep(length) end

---Runs the body at the end of each period until the total is over.
---
---In the body, `since` is the start of its period by default. Of a body that lasts beyond the next
---period, one round follows at once for all that has passed. `--time-scale` multiplies both
---lengths; a `--duration` that is shorter than a period has one round, at its end.
---
---```lua
---every("10s", "1m", function(round)
---  check.spans("gossip.digest_received", { from_each = swarm })
---  record.metric("RSS in round " .. round, swarm:usage().rss)
---end)
---```
---@param period meshlab.Duration more than nothing
---@param total meshlab.Duration the period at least
---@param body fun(round: integer) it is told its number, from 1 on
function every(period, total, body) end

---Starts the body now and goes on.
---
---```lua
---local task = spawn(function()
---  sleep "1s"
---  return 7
---end)
---expect.equal(task:join(), 7, "what the task returned")
---```
---@param body fun(): ... what runs beside the test
---@return meshlab.Task task
function spawn(body) end

---Runs all bodies at once and waits for all.
---
---The first failure cancels the others.
---
---```lua
---parallel {
---  function() swarm:node(1):drain() end,
---  function() swarm:node(2):update() end,
---}
---```
---@param bodies (fun())[] what runs, at most 1000 of them
function parallel(bodies) end

---Runs all bodies at once; the first to finish wins and the others are cancelled.
---
---```lua
---local winner = race {
---  function() sleep "5s" end,
---  function() expect.formed(swarm, { within = "20s" }) end,
---}
---print(winner)
---```
---@param bodies (fun())[] what runs, at most 1000 of them
---@return integer winner the place of the first to finish
function race(bodies) end

----------------------------------------------------------------------------------------------------
-- The record
----------------------------------------------------------------------------------------------------

----------------------------------------------------------------------------------------------------
-- Values with units
----------------------------------------------------------------------------------------------------

---A length of time: `"250ms"`, `"30s"`, `"1h30m"`, `"4d"`, or a value that meshlab gave.
---@alias meshlab.Duration string|meshlab.DurationValue

---An amount of bytes: `"1KiB"`, `"200MiB"`, or a value that meshlab gave.
---@alias meshlab.Size string|meshlab.SizeValue

---A share: `"15%"`. Of CPU, 100 % is one core, as `top` shows it.
---@alias meshlab.Percent string

---An amount per time: `"500/s"`, `"30/min"`, `"2/h"`.
---@alias meshlab.Rate string

---Bytes a second: `"256KiB/s"`.
---@alias meshlab.ByteRate string

---A length of time that meshlab gave. It compares, adds, divides and prints.
---@class (exact) meshlab.DurationValue
---@operator add(meshlab.Duration): meshlab.DurationValue
---@operator sub(meshlab.Duration): meshlab.DurationValue
---@operator mul(number): meshlab.DurationValue
---@operator div(meshlab.Duration): number
local DurationValue = {}

---The length of time in seconds, as a number.
---
---```lua
---local met = expect.formed(swarm)
---print(met.took, met.took:seconds())
---```
---@return number seconds
---@nodiscard
function DurationValue:seconds() end

---An amount of bytes that meshlab gave. It compares, subtracts, divides and prints.
---@class (exact) meshlab.SizeValue
---@operator sub(meshlab.Size): meshlab.SizeValue
---@operator div(meshlab.Size): number
local SizeValue = {}

---The amount as a number of bytes.
---
---```lua
---print(swarm:usage().rss:bytes())
---```
---@return integer bytes
---@nodiscard
function SizeValue:bytes() end

---@class (exact) meshlab.Expect
local Expect = {}

---At least so many such spans arrive before a deadline.
---
---Spans count from the start of the test, of the fault's body or of the round that it is in: old
---spans cannot satisfy a new claim. `from` counts all together, `from_each` each by itself; only
---one of them can be given.
---
---```lua
---expect.spans("gossip.digest_received", { from_each = swarm, at_least = 3 })
---```
---@param name meshlab.SpanName the span's name
---@param claim? meshlab.SpanClaim
---@return meshlab.Met met
function Expect.spans(name, claim) end

---There is no such span.
---
---```lua
---expect.no_spans("node.state_inferred", { from = swarm, during = "3s" })
---```
---@param name meshlab.SpanName the span's name
---@param claim? meshlab.NoSpanClaim
---@return meshlab.Met met
function Expect.no_spans(name, claim) end

---These spans come in this order; others may lie between.
---
---It is asked of each node by itself: spans of two nodes have no order.
---
---```lua
---expect.sequence({ "endpoint_created", "node.ready" }, { from_each = swarm })
---```
---@param spans meshlab.Part[] the spans, two at least
---@param claim? meshlab.SequenceClaim
---@return meshlab.Met met
function Expect.sequence(spans, claim) end

---Each span of one kind is followed by one of another, at the same node.
---
---```lua
---swarm:node(4):leave()
---expect.follows("peer.disconnected", {
---  after = { "node.state_heard", where = { state = "Leaving" } },
---  from = swarm:live(), by = "peer.name", within = "5s",
---})
---```
---@param name meshlab.SpanName what must follow
---@param claim meshlab.FollowsClaim
---@return meshlab.Met met
function Expect.follows(name, claim) end

---In every stretch of time of that length there are so many such spans.
---
---```lua
---expect.counts("gossip.digest_sent", {
---  from_each = swarm, window = "10s", at_most = 40, during = "20s",
---})
---```
---@param name meshlab.SpanName the span's name
---@param claim meshlab.CountsClaim
---@return meshlab.Met met
function Expect.counts(name, claim) end

---There is no such span while the body runs.
---
---A failed `expect` ends the body. Where spans of that time were lost, the answer is inconclusive.
---
---```lua
---expect.never("node.state_inferred", { where = { state = "Dead" } }, function()
---  sleep "10s"
---end)
---```
---@generic T
---@param name meshlab.SpanName the span's name
---@param claim? meshlab.NeverClaim
---@param body fun(): T what is watched
---@return meshlab.Met met
---@return T result what the body returned
function Expect.never(name, claim, body) end

---Every live node holds every other live node to be there.
---
---It does not say that each is connected to each: a gossip view is partial.
---
---```lua
---local met = expect.formed(swarm, { within = "20s" })
---record.metric("until formed", met.took)
---```
---@param swarm meshlab.Mesh the mesh
---@param claim? meshlab.WithinClaim
---@return meshlab.Met met
function Expect.formed(swarm, claim) end

---Every node's own books agree with who is there: nobody missing, nobody too many.
---
---It asks each live node for its directory, its neighbours and its connections.
---
---```lua
---fault.restart_node(swarm:node(2))
---expect.agreed(swarm, { within = "15s" })
---```
---@param swarm meshlab.Mesh the mesh
---@param claim? meshlab.WithinClaim
---@return meshlab.Met met
function Expect.agreed(swarm, claim) end

---Each node answers what its kind says, asked over the network.
---
---The harness asks, from the network of another node: what faults do to links is done to the
---question too. It is asked again each 100 ms until the deadline.
---
---```lua
---local echo = kind {
---  name = "echo", program = "/usr/local/bin/udp-echo",
---  arguments = { "{bind}" }, ready = { port = "udp" },
---  answers = { udp = "hello", contains = "hello" },
---  spans = {
---    up = { is = "peer.connected", attributes = { remote = "peer.id" } },
---  },
---}
---
---test("it comes back", function()
---  local echoes = mesh { nodes = 2, kind = echo }
---  fault.restart_node(echoes:node(1))
---  expect.answers(echoes:node(1), { from = echoes:node(2) })
---end)
---```
---@param nodes meshlab.From who is asked; of a mesh, the live ones
---@param claim? meshlab.AnswersClaim
---@return meshlab.Met met
function Expect.answers(nodes, claim) end

---A file that each node wrote holds these bytes and nothing else.
---
---The harness reads it on the node's own disk, whether or not the node runs. What is missing, or
---differs, is told by its place.
---
---```lua
---local copy = kind {
---  name = "copy", program = "cat",
---  files = { from = "hello" },
---  shell = "echo it copies; {program} from > to; sleep 600",
---  ready = { log = "it copies" },
---}
---
---test("it copies", function()
---  local copies = mesh { nodes = 1, kind = copy }
---  expect.file(copies, { path = "to", holds = "hello" })
---end)
---```
---@param nodes meshlab.From whose; of a mesh, the live ones
---@param claim meshlab.FileClaim
---@return meshlab.Met met
function Expect.file(nodes, claim) end

---What each node made and did not end is bounded by what it sees.
---
---A leak in a count is seen long before its bytes are: 174 tasks spawned, 52 finished, 15 peers in
---view. Every node is held to it by itself, over its present life, and the one that leaks is
---named. It is asked again each 250 ms until the deadline: what is under way is no leak. A count
---that nobody has fails.
---
---```lua
---expect.conserved(swarm, {
---  created = "connections.opened", destroyed = "connections.closed",
---  per_peer = 2, plus = 4, within = "10s",
---})
---check.conserved(swarm, {
---  created = "peer.connected", destroyed = "peer.disconnected", counted = "spans",
---})
---```
---@param nodes meshlab.Node|meshlab.Node[]|meshlab.Mesh whose; of a mesh, the live ones
---@param claim meshlab.ConservedClaim
---@return meshlab.Met met
function Expect.conserved(nodes, claim) end

---Every observer holds the node to be in this state.
---
---```lua
---local victim = swarm:node(2)
---local hit = fault.kill_node(victim)
---expect.state(victim, "Dead", { via = "inference", since = hit, within = "8s" })
---```
---@param node meshlab.Node whose state
---@param state meshlab.State the state
---@param claim? meshlab.StateClaim
---@return meshlab.Met met
function Expect.state(node, state, claim) end

---Every observer saw exactly these states of the node, in this order.
---
---```lua
---local node = swarm:node(2)
---node:drain()
---node:resume()
---expect.states(node, { "Draining", "Alive" }, { via = "message" })
---```
---@param node meshlab.Node whose state
---@param states meshlab.State[] the states; none of them twice in a row
---@param claim? meshlab.StateClaim
---@return meshlab.Met met
function Expect.states(node, states, claim) end

---A condition of your own becomes true before the deadline.
---
---It is asked again each 100 ms, and once more at the end.
---
---```lua
---local a, b = swarm:node(1), swarm:node(2)
---expect.eventually("10s", "messages go direct", function()
---  return a:deliver(b).via == "direct"
---end)
---```
---@param within meshlab.Duration how long to wait; never scaled
---@param label string what becomes true, for the report
---@param condition fun(): boolean true or false, nothing else
---@return meshlab.Met met
function Expect.eventually(within, label, condition) end

---Two values are the same.
---
---```lua
---expect.equal(#swarm:live(), 4, "live nodes")
---```
---@param actual any what is
---@param wanted any what should be
---@param label? string what it is, for the report
---@return meshlab.Met met
function Expect.equal(actual, wanted, label) end

---A quantity is not below its bound.
---
---Both are of one kind: numbers, lengths of time, sizes or shares. A plain number beside text is a
---share: 0.5 is `"50%"`.
---
---```lua
---expect.at_least(spans("peer.connected"):count(), 0, "meetings so far")
---```
---@param actual meshlab.Quantity what is
---@param bound meshlab.Quantity the least that will do
---@param label? string what it is, for the report
---@return meshlab.Met met
function Expect.at_least(actual, bound, label) end

---A quantity is not above its bound.
---
---As with `expect.at_least`, both are of one kind.
---
---```lua
---expect.at_most(swarm:node(1):usage().rss, "32MiB", "RSS of node-1")
---```
---@param actual meshlab.Quantity what is
---@param bound meshlab.Quantity the most that will do
---@param label? string what it is, for the report
---@return meshlab.Met met
function Expect.at_most(actual, bound, label) end

---A measure is less after than before, by so much at least.
---
---What the rounds cannot decide is inconclusive, never passed, and is told with how many rounds
---might.
---
---```lua
---local run = scenario { binaries = { "before", "after" } }
---
---test("a mesh forms as soon", function()
---  local result = compare {
---    before = run.binaries.before,
---    after = run.binaries.after,
---    rounds = 10,
---    round = function(binary)
---      local swarm = mesh { nodes = 4, binary = binary }
---      return { formed = expect.formed(swarm).took }
---    end,
---  }
---  expect.improved(result, "formed", { by = "20%" })
---end)
---```
---@param comparison meshlab.Comparison what `compare` returned
---@param measure string its name
---@param gain meshlab.Gain
---@return meshlab.Met met
function Expect.improved(comparison, measure, gain) end

---A measure is not more after than before by so much.
---
---As with `expect.improved`, what cannot be decided is inconclusive.
---
---```lua
---local run = scenario { binaries = { "before", "after" } }
---
---test("a mesh forms as soon", function()
---  local result = compare {
---    before = run.binaries.before,
---    after = run.binaries.after,
---    rounds = 10,
---    round = function(binary)
---      local swarm = mesh { nodes = 4, binary = binary }
---      return { formed = expect.formed(swarm).took }
---    end,
---  }
---  expect.not_worse(result, "formed", { by = "5%" })
---end)
---```
---@param comparison meshlab.Comparison what `compare` returned
---@param measure string its name
---@param gain meshlab.Gain
---@return meshlab.Met met
function Expect.not_worse(comparison, measure, gain) end

---Claims that must hold: at one that fails the test stops, cleans up and fails.
---@type meshlab.Expect
expect = Expect

---The claims of `expect`: at one that fails the test is failed and goes on.
---@type meshlab.Expect
check = Expect

---@class (exact) meshlab.Fault
local Fault = {}

---Ends several nodes in one instant (SIGKILL).
---
---Taken back, they are started again. Without `hold` and a body they stay dead. The others must
---infer that each of them is dead.
---
---```lua
---fault.burst_kill(swarm, { count = 2 }, function(hit)
---  print(table.concat(hit.targets, ", "))
---end)
---```
---@param nodes meshlab.From whom it hurts
---@param options? meshlab.BurstKillOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.burst_kill(nodes, options, body) end

---Sets the node's wall clock wrong, or lets it run away.
---
---It needs `by` or `drift`. Nobody may be evicted for it.
---
---```lua
---fault.clock_skew(swarm:node(2), { by = "-30s", hold = "10s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.ClockSkewOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.clock_skew(node, options, body) end

---Bounds the node's CPU time.
---
---It needs control groups. Nobody may say that the node is dead.
---
---```lua
---fault.cpu_limit(swarm:node(2), { cpu = "10%", hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.CpuLimitOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.cpu_limit(node, options, body) end

---Fills the disk that is the node's data directory.
---
---The node must say that it is Degraded, and stay a member.
---
---```lua
---fault.disk_full(swarm:node(2), {}, function(hit)
---  expect.state(swarm:node(2), "Degraded", { since = hit })
---end)
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.DiskFullOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.disk_full(node, options, body) end

---Bounds how many files the node may have open.
---
---Nobody may say that the node is dead.
---
---```lua
---fault.fd_limit(swarm:node(2), { files = 64, hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.FdLimitOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.fd_limit(node, options, body) end

---Lets in only what answers the node.
---
---The node must stay a member.
---
---```lua
---fault.firewall_inbound(swarm:node(2), { hold = "10s" })
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.FaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.firewall_inbound(node, options, body) end

---Cuts a link and mends it, in a cycle.
---
---Both must stay members by way of the others.
---
---```lua
---fault.flap_link(swarm:node(1), swarm:node(2), { down = "500ms", hold = "6s" })
---```
---@param a meshlab.Node one end of the link
---@param b meshlab.Node the other end
---@param options? meshlab.FlapLinkOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.flap_link(a, b, options, body) end

---Ends a node's process at once (SIGKILL).
---
---Taken back, it is started again with the same identity. Without `hold` and a body it stays dead.
---The others must infer that it is dead.
---
---```lua
---local victim = swarm:pick()
---local hit = fault.kill_node(victim)
---expect.state(victim, "Dead", { via = "inference", since = hit })
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.FaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.kill_node(node, options, body) end

---Delays the node's packets for a while, and again.
---
---Nobody may say that the node is dead.
---
---```lua
---fault.latency_spike(swarm:node(2), { delay = "500ms", count = 2, hold = "4s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.LatencySpikeOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.latency_spike(node, options, body) end

---Loses, doubles or reorders a share of the node's packets.
---
---It needs `loss`, `duplicate` or `reorder`. Nobody may say that the node is dead.
---
---```lua
---local from, to = swarm:node(1), swarm:node(2)
---fault.lossy_link(from, { loss = "10%", to = to }, function()
---  traffic.bulk { from = from, to = to, size = "1MiB" }
---end)
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.LossyLinkOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.lossy_link(node, options, body) end

---Bounds the node's memory.
---
---It needs control groups. Nobody may say that the node is dead.
---
---```lua
---fault.memory_limit(swarm:node(2), { memory = "64MiB", hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.MemoryLimitOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.memory_limit(node, options, body) end

---Lets no larger packet cross the node's line.
---
---Nobody may say that the node is dead.
---
---```lua
---fault.mtu(swarm:node(2), { bytes = 1280, black_hole = true, hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.MtuOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.mtu(node, options, body) end

---Moves the node to another address, as its peers see it.
---
---The node must stay a member without a restart.
---
---```lua
---fault.nat_shift(swarm:node(2))
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.InstantFaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.nat_shift(node, options, body) end

---Flips a bit in a share of the node's packets and makes the checksum fit.
---
---Nobody may say that the node is dead.
---
---```lua
---fault.packet_corrupt(swarm:node(2), { corrupt = "1%", hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.PacketCorruptOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.packet_corrupt(node, options, body) end

---Cuts every link between two sides.
---
---Who is parted from the rest buries it; healed, they must be one mesh again.
---
---```lua
---local left = { swarm:node(1), swarm:node(2) }
---fault.partition(left, swarm:others(left[1], left[2]), {}, function()
---  expect.state(swarm:node(1), "Dead", { seen_by = swarm:node(3) })
---end)
---```
---@param left meshlab.From one side
---@param right meshlab.From the other side
---@param options? meshlab.FaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.partition(left, right, options, body) end

---Cuts one link.
---
---Both must stay members by way of the others.
---
---```lua
---fault.partition_pair(swarm:node(1), swarm:node(2), { hold = "5s" })
---```
---@param a meshlab.Node one end of the link
---@param b meshlab.Node the other end
---@param options? meshlab.FaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.partition_pair(a, b, options, body) end

---Parts a named group from the others.
---
---Where the group has to be drawn, the run's seed does it.
---
---```lua
---fault.partition_subset(swarm, { group = "majority", hold = "6s" })
---```
---@param nodes meshlab.From whom it hurts
---@param options meshlab.PartitionSubsetOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.partition_subset(nodes, options, body) end

---Bounds what crosses the node's line in a second.
---
---Nobody may say that the node is dead.
---
---```lua
---fault.rate_limit(swarm:node(2), { rate = "256KiB/s", hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.RateLimitOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.rate_limit(node, options, body) end

---Ends the mesh's relay; taken back, it is started again.
---
---The mesh needs `relay = true`. Nobody may say that a node is dead.
---
---```lua
---local relayed = mesh { name = "relayed", nodes = 2, relay = true }
---fault.relay_down(relayed, { hold = "5s" })
---```
---@param swarm meshlab.Mesh whose relay
---@param options? meshlab.FaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.relay_down(swarm, options, body) end

---Kills the node and starts it again, with the same identity and address.
---
---The others must see it return, once.
---
---```lua
---fault.restart_node(swarm:node(2))
---expect.agreed(swarm, { within = "15s" })
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.InstantFaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.restart_node(node, options, body) end

---Delays the node's packets.
---
---Nobody may say that the node is dead.
---
---```lua
---fault.slow_link(swarm:node(2), { delay = "200ms", jitter = "40ms", hold = "5s" })
---```
---@param node meshlab.Node whom it hurts
---@param options meshlab.SlowLinkOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.slow_link(node, options, body) end

---Freezes the node's process (SIGSTOP); taken back, it goes on.
---
---The others must infer that it is dead; it is back without a restart.
---
---```lua
---fault.wedge_node(swarm:node(2), {}, function(hit)
---  expect.state(swarm:node(2), "Dead", { via = "inference", since = hit })
---end)
---```
---@param node meshlab.Node whom it hurts
---@param options? meshlab.FaultOptions
---@param body? fun(hit: meshlab.Hit) the fault lasts as long as this runs
---@return meshlab.Hit hit what was done
function Fault.wedge_node(node, options, body) end

---Faults: `fault.name(target, options, body)`. With a body a fault lasts as long as the body and
---is undone after it, however the body ends.
---@type meshlab.Fault
fault = Fault

---@class (exact) meshlab.Traffic
local Traffic = {}

---Round trips over concurrent bidirectional streams that stay open.
---
---```lua
---local flood = traffic.bi_streams {
---  from = swarm:node(1), to = swarm:node(2),
---  streams = 8, size = "1KiB", duration = "2s",
---  floors = { round_trips = 100 }, ceilings = { errors = 0, p99 = "50ms" },
---}
---record.metric("p50", flood.latency.p50)
---```
---@param options meshlab.BiStreamOptions
---@return meshlab.TrafficResult result
function Traffic.bi_streams(options) end

---Requests with an answer, a new stream for each.
---
---```lua
---local asked = traffic.requests {
---  from = swarm:node(1), to = swarm:node(2),
---  concurrency = 4, duration = "2s", rate = "500/s",
---}
---record.metric("requests a second", asked.per_second)
---```
---@param options meshlab.RequestOptions
---@return meshlab.TrafficResult result
function Traffic.requests(options) end

---One large transfer, checked byte for byte.
---
---A transfer that fails is no error; it is in what comes back.
---
---```lua
---local sent = traffic.bulk { from = swarm:node(1), to = swarm:node(2), size = "4MiB" }
---expect.equal(sent.whole, true, "it arrives whole: " .. tostring(sent.reason))
---```
---@param options meshlab.BulkOptions
---@return meshlab.BulkResult result
function Traffic.bulk(options) end

---Workloads between two nodes.
---@type meshlab.Traffic
traffic = Traffic

---@class (exact) meshlab.Operator
local Operator = {}

---Gives a node a capability to order others.
---
---```lua
---local far = mesh { name = "mesh2", nodes = 2, operator = true }
---local console = swarm:node(1)
---operator.grant(console, { may = { "shutdown" }, mesh = "mesh2" })
---expect.equal(console:shutdown(far:node(2)).accepted, true, "the order")
---```
---@param node meshlab.Node who may order
---@param options meshlab.GrantOptions
function Operator.grant(node, options) end

---The operator of a mesh, who says which node may order others.
---@type meshlab.Operator
operator = Operator

---@class (exact) meshlab.Record
local Record = {}

---A figure for the results and their charts, in the unit of its value.
---
---```lua
---record.metric("until formed", expect.formed(swarm).took)
---```
---@param name string what it is
---@param value number|meshlab.DurationValue|meshlab.SizeValue how much, finite
function Record.metric(name, value) end

---A line in the timeline.
---
---```lua
---record.note("the calm before")
---```
---@param text string what it says
function Record.note(text) end

---What a scenario writes into the record of its run.
---@type meshlab.Record
record = Record
