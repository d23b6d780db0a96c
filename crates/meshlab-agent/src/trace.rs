//! Trace context on the wire: the `traceparent` of W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context/>), so that a span of one process can have its parent in
//! another.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The `traceparent` of `span`, to be sent along; `None` when spans are not exported.
pub fn trace_context(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8()
        )
    })
}

/// The trace that a `traceparent` names, 32 hex digits.
pub fn trace_id(traceparent: &str) -> Option<String> {
    parse(traceparent).map(|context| context.trace_id().to_string())
}

/// Makes `span` the child of the span that a `traceparent` names. What does not parse comes from
/// a peer, and leaves the span without a parent.
pub fn adopt(span: &Span, traceparent: &str) {
    if let Some(parent) = parse(traceparent) {
        // Fails only for a span that has ended; then there is nothing to adopt.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let shaped = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2)
        && [version, trace, span, flags].into_iter().all(lower_hex);
    if !shaped || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read() {
        assert_eq!(trace_id(GOOD).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert!(parse(GOOD).is_some_and(|context| context.is_remote()));
    }

    #[test]
    fn what_is_not_a_traceparent_is_refused() {
        let zeros = GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-00");
        let version = GOOD.replacen("00", "ff", 1);
        let split_char = format!("00-{}é-b7ad6b7169203331-01", "a".repeat(30));
        for bad in ["", "00", "00-1-2-3", &zeros, &upper, &longer, &version, &split_char] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
