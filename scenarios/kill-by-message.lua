-- Authority is a message, not a handle: a console of one mesh ends a gateway of another that it
-- never started. Without a capability that roots in the operator, nothing happens.

scenario { description = "Orders need a capability that roots in the operator.", timeout = "3m" }

test("an authorised console of mesh1 shuts down a gateway of mesh2", function()
  local near = mesh { name = "mesh1", nodes = 2, digest_every = "500ms" }
  local far = mesh {
    name = "mesh2",
    nodes = { gateway = 2, broker = 2 },
    digest_every = "500ms",
    operator = true,
  }
  expect.formed(near, { within = "10s" })
  expect.formed(far, { within = "10s" })

  local console = near:add { id = "console", role = "console" }
  local intruder = near:add { id = "intruder", role = "console" }
  local gateway = far:node(3)
  expect.equal(gateway.role, "gateway", "the role of the third node of mesh2")
  local others = far:others(gateway)

  step("nobody may order without the operator's word", function()
    local order = intruder:shutdown(gateway)
    expect.equal(order.accepted, false, "an order without a capability is accepted")
    expect.equal(order.reason, "unrooted", "the reason")
    expect.spans("order.refused", { from = gateway, where = { reason = "unrooted" } })
  end)

  step("a capability for another mesh, or for something else, does not do", function()
    operator.grant(intruder, { may = { "shutdown" }, mesh = "mesh1" })
    expect.equal(intruder:shutdown(gateway).reason, "not-permitted", "for mesh1 only")
    operator.grant(intruder, { may = { "set_state" }, mesh = "mesh2" })
    expect.equal(intruder:shutdown(gateway).reason, "not-permitted", "to set states only")
  end)

  step("an expired capability does not do", function()
    operator.grant(intruder, { may = { "shutdown" }, valid_for = "1s" })
    sleep "2500ms" -- a second is the unit of a capability's time
    expect.equal(intruder:shutdown(gateway).reason, "expired", "the reason")
  end)

  -- After all that the gateway is still there, and everybody knows it.
  expect.no_spans("node.state_changed", { from = gateway, where = { state = "Leaving" } })
  expect.agreed(far, { within = "5s" })

  step("with it, an order is carried out, and everybody hears", function()
    operator.grant(console, { may = { "shutdown", "set_state" } })
    expect.equal(console:set_state(gateway, "Draining").accepted, true, "the order to drain")
    expect.state(gateway, "Draining", { seen_by = others, via = "message", within = "5s" })
    expect.equal(console:shutdown(gateway).accepted, true, "the order to shut down")
    expect.state(gateway, "Leaving", { seen_by = others, via = "message", within = "5s" })
    expect.spans("order.accepted", { from = gateway, at_least = 2 })
  end)

  -- The orders of both meshes' nodes are one trace each: sent here, accepted there.
  expect.spans("order.sent", { from = console, at_least = 2 })
  local function in_order(list)
    table.sort(list, function(a, b) return a.started < b.started end)
    return list
  end
  local sent = in_order(spans("order.sent", { from = console }):list())
  local accepted = in_order(spans("order.accepted", { from = gateway }):list())
  for i, span in ipairs(accepted) do
    check.equal(span.trace, sent[i].trace, "the trace of order " .. i)
    check.equal(span.parent, sent[i].id, "the parent of order " .. i)
  end
  expect.agreed(far, { within = "10s" })
end)
