use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any},
    logs::v1::{ResourceLogs, ScopeLogs},
};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) })
}

fn request(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope = Some(InstrumentationScope { name: "net::dial".into(), ..Default::default() });
    let scope_logs = vec![ScopeLogs { scope, log_records, ..Default::default() }];
    let resource = ResourceLogs { scope_logs, ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: text(value), ..Default::default() }
}

#[test]
fn a_record_becomes_a_line_with_its_time_and_severity() {
    let record = LogRecord {
        time_unix_nano: 7,
        severity_number: 13,
        severity_text: "Warning".into(),
        body: text("no answer"),
        attributes: vec![pair("peer", "b")],
        ..Default::default()
    };
    let seen = LogRecord {
        observed_time_unix_nano: 9,
        severity_text: "very bad".into(),
        event_name: "device.lost".into(),
        ..Default::default()
    };
    let (lines, cut) = lines(request(vec![record, seen, LogRecord::default()]));
    let one = |at_unix_nanos, severity: &str, text: &str| LogLine {
        at_unix_nanos,
        severity: severity.into(),
        scope: "net::dial".into(),
        text: text.into(),
    };
    let wanted = [
        one(7, "WARN", "no answer peer=\"b\""),
        one(9, "very_bad", "device.lost"),
        one(0, "INFO", ""),
    ];
    assert_eq!((lines.as_slice(), cut), (wanted.as_slice(), 0));
}

#[test]
fn a_record_cannot_write_a_second_line_or_a_giant_one() {
    let forged = "x\n2026-11-21T14:07:21Z ERROR another: killed\u{1b}[2J\u{2028}";
    let giant = "é".repeat(TEXT_BYTES_MAX);
    let controls = "\u{1}".repeat(TEXT_BYTES_MAX);
    let record = |body: &str| LogRecord {
        body: text(body),
        severity_text: "a\nb".repeat(99),
        attributes: vec![pair(body, body); 200],
        ..Default::default()
    };
    let all = vec![record(forged), record(&giant), record(&controls)];
    let (lines, cut) = lines(request(all));
    assert_eq!((lines.len(), cut), (3, 3));
    for line in lines {
        assert!(line.text.len() <= TEXT_BYTES_MAX && line.severity.len() <= 64);
        let all = format!("{}{}{}", line.severity, line.scope, line.text);
        assert!(!all.chars().any(char::is_control), "{all:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_within_bounds_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(request) = ExportLogsServiceRequest::decode(bytes.as_slice()) {
            let _ = lines(request);
        }
    }

    /// A good request with some bytes changed or cut off reaches further than random ones.
    #[test]
    fn a_damaged_request_is_decoded_within_bounds_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let record = LogRecord {
            time_unix_nano: u64::MAX,
            body: text("no answer"),
            attributes: vec![pair("peer", "b"); 3],
            ..Default::default()
        };
        let mut bytes = request(vec![record.clone(), record]).encode_to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(request) = ExportLogsServiceRequest::decode(bytes.as_slice()) {
            for line in lines(request).0 {
                prop_assert!(line.text.len() <= TEXT_BYTES_MAX);
                prop_assert!(!line.text.chars().any(char::is_control));
            }
        }
    }
}
