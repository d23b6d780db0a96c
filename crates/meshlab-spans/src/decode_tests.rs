use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{ArrayValue, KeyValueList},
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event},
};
use proptest::prelude::*;

use super::*;
use crate::scan;

/// The spans of a request by way of the generated types: what this module must find, too.
fn plainly(request: ExportTraceServiceRequest) -> Vec<(IncomingSpan, bool)> {
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).map(plain).collect()
}

fn plain(span: Span) -> (IncomingSpan, bool) {
    let mut cut = span.attributes.len() > ATTRIBUTES_MAX;
    let mut name = span.name;
    cut |= clip(&mut name, NAME_BYTES_MAX);
    let mut attributes = BTreeMap::new();
    for KeyValue { mut key, value, .. } in span.attributes.into_iter().take(ATTRIBUTES_MAX) {
        cut |= clip(&mut key, NAME_BYTES_MAX);
        attributes.insert(key, json(value, &mut cut, 0));
    }
    let span = IncomingSpan {
        name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        start_unix_nanos: span.start_time_unix_nano,
        end_unix_nanos: span.end_time_unix_nano,
        attributes,
    };
    (span, cut)
}

/// The spans of a request, and whether each was cut.
pub(crate) fn found(body: &[u8]) -> Vec<(IncomingSpan, bool)> {
    let mut found = Vec::new();
    spans(body, |span| {
        let attributes = span.attributes.drain(..);
        let attributes = attributes.map(|(name, said)| (name.to_owned(), said.into_value()));
        let incoming = IncomingSpan {
            name: span.name.to_owned(),
            trace_id: span.trace.text(),
            span_id: span.span.text(),
            parent_id: span.parent.text(),
            start_unix_nanos: span.start_unix_nanos,
            end_unix_nanos: span.end_unix_nanos,
            attributes: attributes.collect(),
        };
        found.push((incoming, span.cut));
    });
    found
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope = ScopeSpans { spans, ..Default::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

fn text_of(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) })
}

fn pair(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: key.into(), value, ..Default::default() }
}

#[test]
fn values_keep_their_kind_and_giants_are_cut() {
    let number = Some(AnyValue { value: Some(Any::IntValue(7)) });
    let big = text_of(&"x".repeat(TEXT_BYTES_MAX + 9));
    let span = Span {
        name: "é".repeat(300),
        trace_id: vec![0xab; 16],
        attributes: vec![pair("n", number), pair("big", big)],
        ..Default::default()
    };
    let found = found(&request(vec![span]));
    let [(span, true)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(span.name.len(), NAME_BYTES_MAX);
    assert_eq!(span.trace_id, "ab".repeat(16));
    assert_eq!(span.attributes["n"], Value::from(7));
    assert_eq!(span.attributes["big"].as_str().map(str::len), Some(TEXT_BYTES_MAX));
}

#[test]
fn of_a_name_twice_the_last_counts_and_many_are_cut() {
    let twice = |first: &str| [pair("b", text_of(first)), pair("a", None), pair("b", text_of("2"))];
    let span = |attributes| Span { attributes, ..Default::default() };
    let many = (0..=ATTRIBUTES_MAX).map(|n| pair(&format!("{n}"), text_of("x"))).collect();
    let found = found(&request(vec![span(twice("1").into()), span(many)]));
    let wanted = [("a".to_owned(), Value::Null), ("b".to_owned(), "2".into())];
    assert_eq!(found[0].0.attributes, BTreeMap::from(wanted));
    assert!(!found[0].1);
    assert_eq!((found[1].0.attributes.len(), found[1].1), (ATTRIBUTES_MAX, true));
}

#[test]
fn a_nest_of_arrays_has_an_end() {
    let mut value = text_of("deep");
    for _ in 0..20 {
        let array = ArrayValue { values: value.into_iter().collect() };
        value = Some(AnyValue { value: Some(Any::ArrayValue(array)) });
    }
    let span = Span { attributes: vec![pair("n", value)], ..Default::default() };
    assert!(found(&request(vec![span]))[0].1);
}

#[test]
fn a_value_in_several_parts_is_merged_as_the_protocol_wants() {
    // An attribute whose value is there twice: lists are joined, anything else is replaced.
    let list = |text| {
        let array = ArrayValue { values: text_of(text).into_iter().collect() };
        Some(AnyValue { value: Some(Any::ArrayValue(array)) })
    };
    for (first, last) in [(list("a"), list("b")), (list("a"), text_of("b")), (None, list("b"))] {
        let parts = [pair("k", first).encode_to_vec(), pair("k", last).encode_to_vec()].concat();
        let body = scan::within(&[1, 2, 2, 9], parts);
        assert!(scan::parts(&body).is_some());
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        assert_eq!(found(&body), plainly(request));
    }
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        "[a-zé]{0,5}".prop_map(|text| Some(Any::StringValue(text))),
        any::<bool>().prop_map(|truth| Some(Any::BoolValue(truth))),
        any::<i64>().prop_map(|number| Some(Any::IntValue(number))),
        any::<f64>().prop_map(|number| Some(Any::DoubleValue(number))),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(|b| Some(Any::BytesValue(b))),
        any::<i32>().prop_map(|index| Some(Any::StringValueStrindex(index))),
    ];
    let leaf = leaf.prop_map(|value| AnyValue { value });
    leaf.prop_recursive(2, 8, 3, |inner| {
        let many = proptest::collection::vec(inner, 0..3);
        prop_oneof![
            many.clone().prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            many.prop_map(|values| {
                let values = values.into_iter().map(|value| pair("k", Some(value))).collect();
                Any::KvlistValue(KeyValueList { values })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn span() -> impl Strategy<Value = Span> {
    let id = || proptest::collection::vec(any::<u8>(), 0..18);
    let pairs = proptest::collection::vec(("[ab]{0,2}", proptest::option::of(value())), 0..6);
    ("[a-zé]{0,6}", id(), id(), id(), any::<u64>(), pairs).prop_map(
        |(name, trace_id, span_id, parent_span_id, nanos, pairs)| Span {
            name,
            trace_id,
            span_id,
            parent_span_id,
            start_time_unix_nano: nanos,
            end_time_unix_nano: !nanos,
            trace_state: "é".into(),
            events: vec![Event { name: "é".into(), ..Default::default() }],
            attributes: pairs.into_iter().map(|(key, value)| pair(&key, value)).collect(),
            ..Default::default()
        },
    )
}

proptest! {
    #[test]
    fn what_is_found_is_what_the_generated_types_find(
        sent in proptest::collection::vec(span(), 0..5),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut body = request(sent);
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let plainly = ExportTraceServiceRequest::decode(body.as_slice()).ok().map(plainly);
        // What is refused here and not there are groups only.
        match (scan::parts(&body), plainly) {
            (Some(parts), Some(plainly)) => {
                prop_assert_eq!(parts.spans, plainly.len() as u64);
                // As text, for a number that is none equals nothing.
                prop_assert_eq!(format!("{:?}", found(&body)), format!("{plainly:?}"));
            }
            (parts, plainly) => {
                prop_assert!(parts.is_none(), "only here: {parts:?}");
                prop_assert!(plainly.is_none() || body.iter().any(|byte| byte & 7 == 3));
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        // Whether or not they were found sound.
        let _ = found(&bytes);
        let decoded = ExportTraceServiceRequest::decode(bytes.as_slice());
        prop_assert!(scan::parts(&bytes).is_none() || decoded.is_ok());
    }
}
