use std::fs;

use meshlab_model::NetworkMode;

use super::*;
use crate::fixture::Bench;

/// Says, when it is asked anything, that it ended four spans and dropped one, and leaves.
const SUBJECT: &str = r#"#!/bin/bash
fd=$MESHLAB_CONTROL_FD
echo '{"tell":"hello","protocol":2,"program":"fake"}' >&$fd
place='"addresses":["127.0.0.1:1"],"dead_after_ms":300'
echo '{"tell":"ready","name":"n","public_key":"n",'$place'}' >&$fd
read -r line <&$fd
[[ $line =~ \"id\":([0-9]+) ]]
counts='"answer":"telemetry","ended":4,"exported":3,"dropped":1'
echo '{"tell":"reply","id":'${BASH_REMATCH[1]}','$counts'}' >&$fd
"#;

/// Of a node that says so when it ends: how many of its spans are counted as received.
async fn received(late: u64) -> u64 {
    let bench = Bench::start_with(NetworkMode::Host, 1, |config| {
        fs::write(&config.binaries[NODE_BINARY].path, SUBJECT).unwrap();
    })
    .await;
    let id = NodeId::from("node-1");
    let life = bench.engine.shared.state().node(&id).unwrap().life.clone().unwrap();
    let (engine, of) = (bench.engine.clone(), id.clone());
    let ending = tokio::spawn(async move { engine.end_life(&of).await });
    life.process.exited().await;
    // The receiver is held up: what the node sent is taken in when that has long ended.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..late {
        bench.says("node-1", "node.ready", "n", None);
    }
    ending.await.unwrap();
    let (record, _folder) = bench.finish_with_record().await;
    let counted = record.events.iter().find_map(|event| match &event.kind {
        RunEventKind::TelemetryCounted { count, .. } => Some(*count),
        _ => None,
    });
    let counted = counted.unwrap();
    assert_eq!((counted.ended, counted.dropped), (Some(4), 1));
    counted.received
}

#[tokio::test]
async fn spans_that_lie_in_the_socket_when_their_node_ends_are_counted() {
    assert_eq!(received(3).await, 3);
}

#[tokio::test]
async fn spans_that_never_come_are_missing_in_the_count() {
    assert_eq!(received(2).await, 2);
}
