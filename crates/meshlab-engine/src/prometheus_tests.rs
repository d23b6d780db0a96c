use std::{collections::BTreeSet, net::Ipv4Addr};

use meshlab_model::{NetworkMode, TestId, TestOutcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{Host, fixture::Bench};

/// What is wrong with a page, by the rules of the text format 0.0.4 and of `promtool check
/// metrics`: each name in one block after its TYPE, no series twice, sound labels and values.
fn wrong(page: &str) -> Result<BTreeSet<String>, String> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut typed: BTreeSet<&str> = BTreeSet::new();
    let mut block = "";
    let sound = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(line)?;
            let total = name.ends_with("_total");
            if !typed.insert(name) || !["counter", "gauge"].contains(&kind) {
                return Err(format!("a second or unknown type: {line}"));
            }
            if total != (kind == "counter") {
                return Err(format!("only counters end in _total: {line}"));
            }
            block = name;
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or(line)?;
        let number = value.parse::<f64>().is_ok() || ["NaN", "+Inf", "-Inf"].contains(&value);
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        if !number || !sound(name) || name != block || !seen.insert(series.to_owned()) {
            return Err(format!("no number, a bad name, out of its block or twice: {line}"));
        }
        let mut rest = labels.strip_suffix('}').ok_or(line)?;
        while !rest.is_empty() {
            let (label, quoted) = rest.split_once("=\"").ok_or(line)?;
            let mut escape = false;
            let end = quoted.char_indices().find(|(_, c)| {
                let ends = *c == '"' && !escape;
                escape = *c == '\\' && !escape;
                ends
            });
            let (end, _) = end.ok_or(line)?;
            if !sound(label) {
                return Err(format!("a bad label: {line}"));
            }
            rest = quoted[end + 1..].trim_start_matches(',');
        }
    }
    if page.ends_with('\n') { Ok(seen) } else { Err("no line end".to_owned()) }
}

#[test]
fn the_rules_see_what_is_wrong() {
    assert!(wrong("# TYPE a gauge\na{b=\"c\\\"}\"} 1\n").is_ok());
    for page in [
        "a 1\n",
        "# TYPE a gauge\na x\n",
        "# TYPE a gauge\na 1\na 2\n",
        "# TYPE a counter\na 1\n",
        "# TYPE a gauge\na{b=\"c} 1\n",
        "# TYPE a gauge\na{b-c=\"c\"} 1\n",
        "# TYPE a gauge\na 1",
        "# TYPE a gauge\n# TYPE b gauge\na 1\n",
    ] {
        assert!(wrong(page).is_err(), "{page}");
    }
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_run_tells_its_numbers_to_whoever_asks_on_loopback() {
    let bench = Bench::start(NetworkMode::Host, 2).await;
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    bench.engine.serve_metrics(listener).unwrap();
    bench.says("node-1", "x", "peer", None);
    let page = loop {
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = answer.await;
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("version=0.0.4"),
            "{head}"
        );
        // Samples come each tenth of a second.
        if page.contains("meshlab_rss_bytes{node=\"node-2\"}") {
            break page.to_owned();
        }
        tokio::task::yield_now().await;
    };
    let series = wrong(&page).unwrap();
    for wanted in [
        "meshlab_cpu_seconds_total{node=\"harness\"}",
        "meshlab_refused_total{node=\"node-1\",why=\"malformed\"}",
        "meshlab_claims{verdict=\"open\"}",
    ] {
        assert!(series.contains(wanted), "{wanted} is not in\n{page}");
    }
    assert!(page.contains("meshlab_spans_received_total{node=\"node-1\"} 1\n"), "{page}");
    let elsewhere = ask(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404") && elsewhere.ends_with("/metrics is here\n"));
    bench.engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
    bench.engine.finish(meshlab_model::EndReason::Completed).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "the door is still open");
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_a_node_names_stays_within_its_label() {
    let mut page = Page(String::new());
    page.metric("a", "gauge", "x");
    page.value("a", &[("name", "x\"} 1\nforged{y=\"\\")], 2);
    assert_eq!(wrong(&page.0).unwrap().len(), 1, "{}", page.0);
}
