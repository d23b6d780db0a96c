//! What the command line puts in the place of what a file declares.

mod fake;

use std::{sync::Arc, time::Duration};

use fake::{Fake, load_with, run_with};
use meshlab_model::ParamValue;
use meshlab_script::Overrides;

const FILE: &str = "local run = scenario {\n  duration = \"1m\",\n  params = { nodes = 4, \
                    share = 0.5, loss = \"10%\", strict = true },\n}\ntest(\"t\", function()\n  \
                    local p = run.params\n  print(p.nodes + 1, p.share, p.loss, not p.strict)\nend)\n";

fn set(params: &[(&str, &str)]) -> Overrides {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Overrides { params: params.iter().map(pair).collect(), ..Overrides::default() }
}

#[test]
fn parameters_are_of_the_type_of_their_defaults() {
    for (params, printed) in [
        (&[][..], "note 5 0.5 10% false"),
        (&[("nodes", "8"), ("strict", "false")], "note 9 0.5 10% true"),
        (&[("nodes", "1.5"), ("share", "2"), ("loss", "")], "note 2.5 2  false"),
    ] {
        let fake = Arc::new(Fake::default());
        assert_eq!(run_with(&fake, FILE, set(params)).errors, []);
        assert!(fake.said().contains(printed), "{params:?}: {}", fake.said());
    }
    let script = load_with(FILE, set(&[("loss", "7%")])).unwrap();
    let params = &script.declaration().params;
    assert_eq!(params["loss"], ParamValue::Text("7%".to_owned()));
    assert_eq!(params["nodes"], ParamValue::Integer(4), "defaults are declared too");
}

#[test]
fn mistakes_with_parameters_are_shown_with_their_cure() {
    let with = |text: &str, params: &[(&str, &str)]| {
        let error = match load_with(text, set(params)) {
            Err(error) => *error,
            Ok(script) => script.run(Arc::new(Fake::default()), &|_| {}).errors[0].clone(),
        };
        let rendered = error.render(false);
        let file = rendered.find("x.lua").unwrap();
        let arrow = rendered.find("--> ").unwrap() + 4;
        format!("{}{}", &rendered[..arrow], &rendered[file..])
    };
    let errors = [
        with(FILE, &[("nods", "8")]),
        with(FILE, &[("nodes", "many")]),
        with(FILE, &[("share", "inf")]),
        with(FILE, &[("strict", "yes")]),
        with("scenario {}\n", &[("nodes", "8")]),
        with("test(\"t\", function() end)\n", &[("nodes", "8")]),
        with("scenario { params = { f = print } }\n", &[]),
        with("scenario { params = 4 }\n", &[]),
        with("local run = scenario { params = { a = 1 } }\nprint(run.params.b)\n", &[]),
        with("local run = scenario { params = { a = 1 } }\nrun.params.a = 2\n", &[]),
    ];
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn the_plan_is_scaled_and_nothing_else() {
    let text = "local run = scenario { duration = \"10m\" }\ntest(\"t\", function()\n  \
                print(run.duration)\n  local swarm = mesh { nodes = 3, digest_every = \"2s\" }\n  \
                sleep \"8s\"\n  every(\"20s\", \"40s\", function() end)\n  \
                local met = expect.formed(swarm, { within = \"30s\" })\n  sleep(met.took)\n  \
                fault.wedge_node(swarm:node(1), { hold = \"5s\" })\n  \
                chaos { on = swarm, duration = run.duration, every = \"20s\", jitter = \"4s\", \
                detect_within = \"9s\", faults = { wedge_node = { hold = \"3s\" } } }\n  \
                chaos { on = swarm, duration = \"20s\", every = \"4s\", faults = { kill_node = 1 } }\n\
                end)\n";
    let fake = Arc::new(Fake::default());
    let scaled = Overrides { time_scale: Some(0.25), ..Overrides::default() };
    assert_eq!(run_with(&fake, text, scaled.clone()).errors, []);
    insta::assert_snapshot!(fake.said());
    let declared = load_with(text, scaled.clone()).unwrap().declaration().clone();
    assert_eq!(declared.timeout, Duration::from_secs(150 + 600));
    let exact = Overrides { duration: Some(Duration::from_secs(60)), ..scaled };
    let fake = Arc::new(Fake::default());
    run_with(&fake, text, exact);
    assert!(
        fake.said().contains("note 60.0 s"),
        "what was asked for is what it is: {}",
        fake.said()
    );
}

/// What `--nodes` can take the place of, and what to do where it cannot.
#[test]
fn the_number_of_nodes_has_one_place_or_a_reason_why_not() {
    let takes = |text: &str| fake::load(text).expect("it loads").takes_nodes();
    let test = |body: &str| format!("test(\"t\", function()\n  {body}\nend)\n");
    for fine in [
        test("local swarm = mesh { nodes = 4 }"),
        test("mesh({ name = \"a\", nodes = 4, env = { A = \"1\" } })"),
        "local run = scenario { params = { nodes = 4 } }\n".to_owned()
            + &test("mesh { nodes = run.params.nodes } mesh { nodes = 2, name = \"b\" }"),
    ] {
        assert_eq!(takes(&fine), Ok(()), "{fine}");
    }
    let wrong = [
        test("print(1)"),
        test("mesh { nodes = 4 } mesh { nodes = 4, name = \"b\" }"),
        test("mesh { nodes = { broker = 4 } }"),
        test("mesh { nodes = 2 + 2 }"),
        test("local n = 4 mesh { nodes = n }"),
        test("mesh { name = \"a\" }"),
        "local run = scenario { params = { nodes = \"many\" } }\n".to_owned()
            + &test("mesh { nodes = 4 }"),
    ];
    let told: Vec<String> = wrong.iter().map(|text| takes(text).expect_err(text)).collect();
    insta::assert_snapshot!(told.join("\n"));
    for text in [test("mesh { nodes = 4 }"), fine_with_params()] {
        let fake = Arc::new(Fake::default());
        let outcome =
            fake::run_with(&fake, &text, Overrides { nodes: Some(2), ..Overrides::default() });
        assert_eq!(outcome.errors, []);
        assert_eq!(fake.nodes.lock().expect("nodes").len(), 2, "{text}");
    }
}

fn fine_with_params() -> String {
    "local run = scenario { params = { nodes = 4 } }\ntest(\"t\", function()\n  \
     mesh { nodes = run.params.nodes }\nend)\n"
        .to_owned()
}
