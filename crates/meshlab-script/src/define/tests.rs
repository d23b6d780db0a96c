use std::{collections::BTreeSet, fs, sync::Arc};

use meshlab_wire::State;

use super::{find::words, *};
use crate::{Overrides, Rehearsed, Script, api, call::instant, context::Context};

/// What an example may load.
const LIBRARY: &str = "return { formed = function(swarm) expect.formed(swarm) end }\n";

/// Every condition, which no example has to show.
const ALL_OF_A_PART: &str = "expect.no_spans(\"node.ready\", { from = swarm, before = {
  \"node.ready\", under = \"node.ready\", where = {
    a = { above = 1, at_least = 2, below = 9, at_most = 8 },
    b = { contains = \"x\", one_of = { \"x\", \"y\" }, is_not = \"z\", present = true },
  },
} })";

fn load(source: &str) -> (tempfile::TempDir, Script) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lib")).unwrap();
    fs::write(folder.path().join("lib/steps.lua"), LIBRARY).unwrap();
    let file = folder.path().join("example.lua");
    fs::write(&file, source).unwrap();
    let script = Script::load(&file).unwrap_or_else(|error| panic!("{error}\nin\n{source}"));
    (folder, script)
}

fn rehearse(source: &str) -> Rehearsed {
    load(source).1.rehearse()
}

fn wrong(rehearsed: &Rehearsed) -> Vec<String> {
    rehearsed.errors.iter().chain(&rehearsed.warnings).map(ToString::to_string).collect()
}

#[test]
fn every_example_holds_and_every_option_that_is_defined_is_read() {
    let mut used = BTreeSet::from(["SpanPart.[1]".to_owned()]);
    let parts = in_test("parts", ALL_OF_A_PART);
    for example in examples().into_iter().chain([Example { name: "a part", source: parts }]) {
        let (_folder, script) = load(&example.source);
        let context = Arc::clone(&script.context);
        let rehearsed = script.rehearse();
        assert!(wrong(&rehearsed).is_empty(), "the example of {}: {rehearsed:#?}", example.name);
        used.extend(std::mem::take(&mut *context.used.lock().unwrap()));
    }
    for class in classes().filter(|class| class.written) {
        for field in class.fields {
            let name = format!("{}.{}", class.name, field.name);
            assert!(used.contains(&name), "{name} is defined, and no function asks for it");
        }
    }
}

#[test]
fn an_example_with_a_wrong_option_is_red() {
    let spans = examples().into_iter().find(|example| example.name == "expect.spans").unwrap();
    let broken = spans.source.replace("at_least", "atleast");
    assert_ne!(broken, spans.source);
    let wrong = wrong(&rehearse(&broken));
    assert!(wrong[0].contains("`expect.spans` has no option `atleast`"), "{wrong:?}");
    assert!(wrong[0].contains("did you mean `at_least`?"), "{wrong:?}");
}

#[test]
#[should_panic(expected = "`f` reads an option `within` that is not defined")]
fn an_option_that_is_read_and_not_defined_is_red() {
    const NONE: Class = Class::options("None", "", &[]);
    const F: Definition = Definition {
        name: "f",
        arguments: &[Field::optional("options", "None", "")],
        options: Some(&NONE),
        ..PLAIN
    };
    let context = Arc::new(Context::new(String::new(), String::new(), Overrides::default()));
    let lua = mlua::Lua::new();
    let f = instant(&lua, &context, &F, |call| Ok(call.options(0)?.count("within")?.is_some()));
    let _ = f.unwrap().call::<bool>(());
}

#[test]
fn what_is_bound_is_defined_and_what_is_defined_is_bound() {
    let (_folder, script) = load("");
    let bound = script.context.used.lock().unwrap().clone();
    let mut defined = BTreeSet::new();
    for name in definitions().map(|definition| definition.name).filter(|name| !name.contains(':')) {
        assert!(defined.insert(name.to_owned()), "{name} is defined twice");
        if let Some(claim) = name.strip_prefix("expect.") {
            defined.insert(format!("check.{claim}"));
        }
    }
    assert_eq!(bound, defined);
}

#[test]
fn every_field_and_method_of_a_class_is_there() {
    let values = [
        ("Run", "run"),
        ("Mesh", "swarm"),
        ("Node", "swarm:node(1)"),
        ("Usage", "swarm:usage()"),
        ("View", "swarm:node(1):view()"),
        ("Ordered", "swarm:node(1):shutdown(swarm:node(2))"),
        ("Delivered", "swarm:node(1):deliver(swarm:node(2))"),
        ("Resolved", "swarm:node(1):resolve(swarm:node(2))"),
        ("Fetched", "swarm:node(1):fetch(swarm:node(2), \"x\")"),
        ("CpuProfile", "swarm:node(1):profile { cpu = \"1s\" }"),
        ("HotFunction", "swarm:node(1):profile({ cpu = \"1s\" }).hottest[1]"),
        ("Heap", "swarm:node(1):heap()"),
        ("HeapSite", "swarm:node(1):heap().sites[1]"),
        ("Spans", "spans(\"peer.connected\")"),
        ("Met", "expect.formed(swarm)"),
        ("Hit", "fault.nat_shift(swarm:node(1))"),
        (
            "ChaosReport",
            "(chaos { on = swarm, faults = { kill_node = 1 }, every = \"9s\", \
                         duration = \"9s\" })",
        ),
        (
            "TrafficResult",
            "traffic.requests { from = swarm:node(1), to = swarm:node(2), \
                           duration = \"1s\" }",
        ),
        (
            "BulkResult",
            "traffic.bulk { from = swarm:node(1), to = swarm:node(2), size = \"1MiB\" }",
        ),
        (
            "Latency",
            "traffic.requests({ from = swarm:node(1), to = swarm:node(2), \
                     duration = \"1s\" }).latency",
        ),
        ("Binary", "swarm:node(1).binary"),
        ("Kind", "made"),
        (
            "Comparison",
            "compare { before = run.binaries.a, after = run.binaries.b, rounds = 3, \
             round = function() return { it = 1 } end }",
        ),
        ("Task", "spawn(function() end)"),
        ("DurationValue", "run.duration"),
        ("SizeValue", "swarm:usage().rss"),
    ];
    for class in classes().filter(|class| !class.written) {
        // A rehearsal has no spans to list.
        let Some((_, value)) = values.iter().find(|(name, _)| *name == class.name) else {
            assert_eq!(class.name, "Span", "no value of it is looked at");
            continue;
        };
        let needed = class.fields.iter().filter(|field| field.is_needed()).map(|field| field.name);
        let names = needed.chain(class.methods.iter().map(|method| method.short()));
        let asserts: Vec<String> = names
            .map(|name| format!("assert(value.{name} ~= nil, \"{} has no {name}\")", class.name))
            .collect();
        let source = format!(
            "local run = scenario {{ duration = \"1m\", binaries = {{ \"a\", \"b\" }} }}\n\
             local made = kind {{ name = \"it\", program = \"it\", ready = {{ log = \"up\" }} }}\n\
             test(\"x\", function()\n\
             local swarm = mesh {{ nodes = 4 }}\nlocal value = {value}\n{}\n\
             if \"{}\" == \"Task\" then value:join() end\nend)\n",
            asserts.join("\n"),
            class.name
        );
        let wrong = wrong(&rehearse(&source));
        assert!(wrong.is_empty(), "{wrong:#?}\n{source}");
    }
}

#[test]
fn what_is_written_is_whole() {
    let known: BTreeSet<&str> = classes()
        .map(|class| class.name)
        .chain(families().iter().flat_map(|family| family.aliases.iter().map(|alias| alias.name)))
        .chain(["FaultMix", "T"])
        .collect();
    let check = |kind: &str, of: &str| {
        for word in words(&kind.replace(['"'], " "))
            .filter(|word| word.chars().next().is_some_and(char::is_uppercase))
        {
            assert!(known.contains(word), "{of}: there is no type `{word}`");
        }
    };
    let names: BTreeSet<&str> = definitions().map(|definition| definition.name).collect();
    for definition in definitions() {
        let name = definition.name;
        assert!(definition.summary.ends_with('.'), "{name}: its summary is a sentence");
        assert!(!definition.example.is_empty(), "{name} has no example");
        let spoken = name.rsplit(':').next().unwrap();
        assert!(definition.example.contains(spoken), "{name} is not in its example");
        let with_options = definition.arguments.iter().filter(|argument| {
            definition.options.is_some_and(|options| options.name == argument.kind)
        });
        assert_eq!(with_options.count(), usize::from(definition.options.is_some()), "{name}");
        for field in definition.arguments.iter().chain(definition.returns) {
            check(field.kind, name);
        }
        for other in definition.see_also {
            assert!(names.contains(other), "{name} says to see `{other}`, which is not there");
        }
    }
    for class in classes() {
        for field in class.fields {
            check(field.kind, class.name);
            assert!(field.inner.is_none_or(|inner| known.contains(inner.name)), "{}", field.name);
        }
        assert!(class.operators.iter().all(|operator| operator.contains('(')), "{}", class.name);
    }
}

#[test]
fn names_of_elsewhere_are_the_same_here() {
    assert_eq!(api::STATES, State::ALL.map(State::as_str));
}
