//! How many spans are open, and how many events they hold: a span that never ends reaches nobody,
//! and keeps all that is said in it.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Subscriber, span};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

static OPEN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static EVENTS_HELD: AtomicU64 = AtomicU64::new(0);

/// Spans of this process that are exported when they end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Begun and not ended.
    pub open: u64,
    /// Ended.
    pub ended: u64,
    /// Events of the open ones, which are kept until these end.
    pub events_held: u64,
}

/// What this process came to so far; all zero when nothing is exported.
#[must_use]
pub fn span_counts() -> SpanCounts {
    SpanCounts {
        open: OPEN.load(Ordering::Relaxed),
        ended: ENDED.load(Ordering::Relaxed),
        events_held: EVENTS_HELD.load(Ordering::Relaxed),
    }
}

/// Events that a span holds.
struct Held(u64);

/// Counts; `limit` is how many events one span keeps.
pub(crate) struct SpanBook {
    pub(crate) limit: u32,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanBook {
    fn on_new_span(&self, _: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            OPEN.fetch_add(1, Ordering::Relaxed);
            span.extensions_mut().insert(Held(0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        if let Some(held) = span.extensions_mut().get_mut::<Held>()
            && held.0 < u64::from(self.limit)
        {
            held.0 += 1;
            EVENTS_HELD.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(held) = span.extensions_mut().remove::<Held>() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            ENDED.fetch_add(1, Ordering::Relaxed);
            EVENTS_HELD.fetch_sub(held.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_span_that_does_not_end_is_seen_with_what_it_holds() {
        let subscriber = tracing_subscriber::registry().with(SpanBook { limit: 3 });
        tracing::subscriber::with_default(subscriber, || {
            let before = span_counts();
            let since = |now: SpanCounts| {
                (
                    now.open - before.open,
                    now.ended - before.ended,
                    now.events_held - before.events_held,
                )
            };
            let work = tracing::info_span!("work");
            work.in_scope(|| tracing::info!("said"));
            let forever = tracing::info_span!("loop");
            for _ in 0..5 {
                forever.in_scope(|| tracing::info!("woke"));
            }
            assert_eq!(since(span_counts()), (2, 0, 4), "three of one, at the most, and one");
            drop(work);
            assert_eq!(since(span_counts()), (1, 1, 3));
            drop(forever);
            assert_eq!(since(span_counts()), (0, 2, 0));
        });
    }
}
