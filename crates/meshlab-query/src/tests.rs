//! Questions to a run of schema 1 that is kept as an example of it.

use std::{collections::BTreeMap, path::Path};

use meshlab_model::{CounterMinute, CounterSample, RunTime, Spread};
use meshlab_results::read_run;

use super::*;

fn ask(sql: &str, format: Format) -> Result<String, QueryError> {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../meshlab-results/tests/schema-1");
    let mut out = Vec::new();
    let mut writer = write_answer(&mut out, format);
    query(read_run(&run).unwrap(), sql, &mut writer)?;
    writer.finish()?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn each_table_answers_in_each_format() {
    let sql = "SELECT name, node, count(*) AS spans FROM spans GROUP BY 1, 2 ORDER BY 3 DESC, 2 \
        LIMIT 2";
    let table = ask(sql, Format::Table).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(lines[0].starts_with("name ") && lines[4] == "(2 rows)", "{table}");
    let same =
        ask("SELECT name, node, spans FROM span_counts ORDER BY 3 DESC, 2 LIMIT 2", Format::Table);
    assert_eq!(same.unwrap(), table);
    let csv = ask("SELECT seq, event, data FROM events WHERE event = 'run_started'", Format::Csv);
    let csv = csv.unwrap();
    assert!(csv.starts_with("seq,event,data\r\n1,run_started,\"{\"\"event\"\":"), "{csv}");
    let json = ask("SELECT node, max(rss_bytes) AS most FROM samples GROUP BY 1", Format::Json);
    let json: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
    assert_eq!(json[0]["node"], "harness");
    assert!(json[0]["most"].as_u64().unwrap() > 1 << 20, "{json}");
    let attribute = "SELECT count(*) FROM spans WHERE attributes ->> 'peer.id' IS NOT NULL";
    assert!(ask(attribute, Format::Csv).unwrap().ends_with("\n50\r\n"));
    assert_eq!(ask("SELECT 1 WHERE 0", Format::Json).unwrap(), "[\n]\n");
}

#[test]
fn a_table_is_read_by_people() {
    let table = ask(
        "SELECT seq, at, node, name, took_ms, attributes ->> 'peer.name' AS peer, parent_id \
         FROM spans WHERE node = 'node-2' LIMIT 4",
        Format::Table,
    );
    let wrong = ask("SELECT nam FROM spans", Format::Table).unwrap_err();
    insta::assert_snapshot!(format!("{}\n{wrong}", table.unwrap()));
}

#[test]
fn what_is_searched_for_is_what_a_look_at_everything_finds() {
    for condition in [
        "name = 'peer.connected'",
        "name = 'PEER.CONNECTED' COLLATE NOCASE",
        "node = 'node-2' AND at >= 0.5",
        "at < 0.9 AND at > 0.1",
        "at BETWEEN 0.2 AND 1 AND name = 'gossip.digest_received'",
        "name = NULL",
        "node IN ('node-1', 'node-3')",
        "at = (SELECT at FROM spans LIMIT 1 OFFSET 9)",
        "name = 5",
    ] {
        let count = |condition: &str| {
            ask(
                &format!("SELECT count(*), min(seq), max(seq) FROM spans WHERE {condition}"),
                Format::Csv,
            )
            .unwrap()
        };
        // A unary plus keeps SQLite from handing a condition to the table.
        let plain =
            condition.replace("name", "+name").replace("node ", "+node ").replace("at ", "+at ");
        let plain =
            plain.replace("SELECT +at", "SELECT at").replace("+name = 'PEER", "name = 'PEER");
        assert_eq!(count(condition), count(&plain), "{condition}");
    }
}

#[test]
fn what_is_counted_without_reading_is_what_reading_counts() {
    for (table, columns, conditions) in [
        (
            "spans",
            "name, node",
            &[
                "1",
                "name = 'peer.connected'",
                "node = 'node-2'",
                "name = 'gossip.digest_received' AND node IN ('node-1', 'node-3')",
                "name LIKE 'peer.%'",
                "name = 'nobody'",
                "name = NULL",
            ][..],
        ),
        ("samples", "node", &["1", "node = 'node-1'", "node <> 'harness'"]),
        ("sample_minutes", "node", &["1", "node = 'node-1'"]),
    ] {
        for condition in conditions {
            let ask = |more: &str| {
                // What is asked of `at` is only in the record itself.
                let sql = format!(
                    "SELECT {columns}, count(*) FROM {table} WHERE {condition} AND {more} \
                     GROUP BY {columns} ORDER BY {columns}"
                );
                ask(&sql, Format::Csv).unwrap()
            };
            assert_eq!(ask("1"), ask("+at >= 0"), "{table}: {condition}");
        }
    }
}

#[test]
fn numbers_of_nodes_have_a_row_each() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../meshlab-results/tests/schema-1");
    let mut record = read_run(&run).unwrap();
    let at = |second: u64| RunTime { micros: second * 1_000_000 };
    let sample = |second, node: &str, tasks: f64| CounterSample {
        at: at(second),
        node: node.into(),
        values: BTreeMap::from([("dials".to_owned(), 1.0), ("tasks".to_owned(), tasks)]),
    };
    record.counters = vec![sample(1, "a", 3.0), sample(2, "b", 5.0), sample(9, "a", 4.5)].into();
    let spread = Spread { min: 3.0, mean: 3.75, max: 4.5 };
    let values = BTreeMap::from([("tasks".to_owned(), spread)]);
    record.counter_minutes = vec![CounterMinute { at: at(0), node: "a".into(), values }].into();
    let ask = |sql: &str| {
        let mut out = Vec::new();
        let mut writer = write_answer(&mut out, Format::Csv);
        query(record.clone(), sql, &mut writer).unwrap();
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    };
    let tasks = ask("SELECT * FROM counters WHERE name = 'tasks' AND node = 'a' AND at > 0.5");
    assert_eq!(tasks, "at,node,name,value\r\n1,a,tasks,3\r\n9,a,tasks,4.5\r\n");
    let late = ask("SELECT node, name FROM counters WHERE at >= 2 AND at < 9");
    assert_eq!(late, "node,name\r\nb,dials\r\nb,tasks\r\n");
    let minutes = ask("SELECT * FROM counter_minutes");
    assert_eq!(minutes, "at,node,name,min,mean,max\r\n0,a,tasks,3,3.75,4.5\r\n");
}

#[test]
fn a_query_cannot_write_attach_or_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.db");
    for sql in [
        format!("ATTACH '{}' AS other", file.display()),
        format!("VACUUM INTO '{}'", file.display()),
        "CREATE TABLE x(y)".to_owned(),
        "CREATE TEMP TABLE x(y)".to_owned(),
        "DELETE FROM spans".to_owned(),
        "INSERT INTO spans(name) VALUES ('x')".to_owned(),
        "PRAGMA temp_store_directory = '/'".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "SELECT writefile('x', 'y')".to_owned(),
        "SELECT 1; DELETE FROM spans".to_owned(),
        String::new(),
    ] {
        let error = ask(&sql, Format::Table).unwrap_err().to_string();
        assert!(
            error.contains("the tables are events(seq, at, event, line, data), spans("),
            "{error}"
        );
    }
    assert!(!file.exists());
    let error = ask("SELECT nam FROM spans", Format::Table).unwrap_err().to_string();
    assert!(error.starts_with("no such column: nam; the tables are"), "{error}");
}
