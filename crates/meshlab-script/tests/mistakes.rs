//! What a mistake looks like: file, line, column, caret, what was meant, help.

mod fake;

use fake::error_of;

/// Each mistake as somebody made it, and all that is said about it.
#[test]
fn mistakes_are_shown_where_they_are() {
    let inside = |body: &str| {
        format!("test(\"kill\", function()\n  local swarm = mesh {{ nodes = 4 }}\n{body}\nend)\n")
    };
    let mistakes = [
        (
            "a comma is missing",
            "scenario {\n  timeout = \"2m\"\n  tags = { \"quick\" },\n}\n".to_owned(),
        ),
        ("a keyword as an option", inside("  fault.kill_node(swarm:pick(), { for = \"5s\" })")),
        ("the file ends too early", "test(\"kill\", function()\n".to_owned()),
        ("a bare number", inside("  expect.formed(swarm, { within = 30 })")),
        (
            "a misspelt option",
            inside(
                "  expect.spans(\"peer.connected\", {\n    from = swarm,\n    atleast = 3,\n    within = \"5s\",\n  })",
            ),
        ),
        ("a misspelt fault", inside("  fault.kill_nod(swarm:pick())")),
        ("a fault that is a method", inside("  swarm:pick():kill()")),
        (
            "a misspelt state",
            inside("  expect.state(swarm:pick(), \"Alvie\", { within = \"5s\" })"),
        ),
        ("a mesh for a node", inside("  fault.kill_node(swarm)")),
        (
            "text for a number",
            "test(\"x\", function()\n  mesh { nodes = \"4\" }\nend)\n".to_owned(),
        ),
        (
            "an accidental global",
            "test(\"x\", function()\n  swarm = mesh { nodes = 4 }\nend)\n".to_owned(),
        ),
        ("an undefined name", "test(\"x\", function()\n  expct.formed(1)\nend)\n".to_owned()),
        ("work at the top level", "local swarm = mesh { nodes = 4 }\n".to_owned()),
        (
            "from and from_each",
            inside("  expect.spans(\"x\", { from = swarm, from_each = swarm })"),
        ),
        ("a late typo", inside("  sleep \"4d\"\n  expect.formed(swarm, { whithin = \"2m\" })")),
        ("a nil value", inside("  local n = swarm.nodes[9]\n  n:start()")),
        ("an error of its own", inside("  error(\"not today\")")),
        ("a loss without its unit", inside("  fault.lossy_link(swarm:pick(), { loss = 10 })")),
        ("a loss as a fraction", inside("  fault.lossy_link(swarm:pick(), { loss = 0.1 })")),
        ("no loss at all", inside("  fault.lossy_link(swarm:pick())")),
        ("more than all", inside("  fault.lossy_link(swarm:pick(), { loss = \"101%\" })")),
        ("a misspelt loss", inside("  fault.lossy_link(swarm:pick(), { los = \"1%\" })")),
        ("a fault that is never taken back", inside("  fault.wedge_node(swarm:pick())")),
        (
            "links that stay slow",
            inside("  fault.slow_link(swarm:node(1), { delay = \"200ms\", direction = \"both\" })"),
        ),
        ("a link that stays cut", inside("  fault.partition(swarm:node(1), swarm:node(2))")),
        ("half a partition", inside("  fault.partition(swarm:pick(), { hold = \"5s\" })")),
        ("a restart that is held", inside("  fault.restart_node(swarm:pick(), { hold = \"5s\" })")),
        ("a size against a length", inside("  check.at_most(swarm:usage().rss, \"5s\")")),
        ("a number against a size", inside("  check.at_most(swarm:usage().cpu, \"64MiB\")")),
        ("a size below zero", inside("  print(swarm:node(1):usage().rss - swarm:usage().rss)")),
        ("a size without its unit", inside("  print(swarm:usage().rss / 2)")),
        ("a length by nothing", inside("  print(expect.formed(swarm).took / \"0s\")")),
        ("a length by a length", inside("  print(expect.formed(swarm).took * \"2s\")")),
        ("a length below zero", inside("  print(-1 * expect.formed(swarm).took)")),
        ("a length without its unit", inside("  print(expect.formed(swarm).took + 2)")),
        ("a misspelt list of states", inside("  expect.states(swarm:pick(), { \"Alvie\" })")),
        ("a state that is no list", inside("  expect.states(swarm:pick(), \"Alive\")")),
        (
            "within where it is during",
            inside("  expect.no_spans(\"seed.retry\", { within = \"2s\" })"),
        ),
        ("a usage of nothing", inside("  swarm:pick():usage { from = \"5s\" }")),
        (
            "a scenario twice",
            "scenario { timeout = \"1m\" }\nscenario { timeout = \"1m\" }\n".to_owned(),
        ),
    ];
    let mut all = String::new();
    for (name, text) in mistakes {
        all += &format!("## {name}\n{}\n\n", error_of(&text));
    }
    insta::assert_snapshot!(all);
}
