-- mesh-node, started as if nobody had written it for this harness: by flags, environment and
-- files, without a control channel. Its spans have the standard names, so that they
-- are evidence all the same.

return kind {
  name = "stranger",
  program = "mesh-node",
  arguments = {
    "--mesh", "{mesh}", "--role", "{role}", "--data", "{data}", "--bind", "{bind}",
    "--digest-every", "1s", "--digest-gated", "false",
  },
  env = { MESH_NODE_SEEDS = "{seeds}" },
  files = { ["identity.key"] = "{secret_key}\n" },
  seed = "{public_key}@{bind}",
  seed_separator = ";",
  ready = { span = "node.ready" },
  spans = "standard",
  clock = "preload",
  dead_after = "4s", -- four times its digest, as its manual says
  stop = { grace = "6s" }, -- it takes 4.1 s to end where nobody takes its spans
}
