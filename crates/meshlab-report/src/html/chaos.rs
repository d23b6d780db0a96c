//! The schedules of a run: planned beside done.

use maud::{Markup, html};

use crate::{
    text::{clean, late, tally, took},
    view::{ChaosView, RunView},
};

pub(super) fn chaos(view: &RunView) -> Markup {
    html! {
    @if let Some(replay) = crate::text::replay(view) { p { "Replay " (replay) "." } }
    @for (id, chaos) in &view.chaos { section {
        h3 { "Schedule " (id)
            @if chaos.is_replay() { ", as it came to be in the run that is replayed" }
            @else { ", drawn from seed " (chaos.seed) } }
        p { @if let Some(found) = &chaos.tally { (tally(found)) (late(chaos)) }
            @else { "it did not end" }
            @if let Some(early) = &chaos.early { "; ended early: " (clean(early)) } }
        (schedule(view, chaos))
    } } }
}

fn schedule(view: &RunView, chaos: &ChaosView) -> Markup {
    let again = chaos.is_replay();
    let off = |place| match view.onsets(chaos, place) {
        Some((now, before)) if now < before => format!("-{}", took(before - now)),
        Some((now, before)) => format!("+{}", took(now - before)),
        None => "-".to_owned(),
    };
    html! { div class="scroll" { table {
        tr { th { "planned" } th { "fault" } th { "target" } th { "done" } th { "on" }
            th { "verdict" } @if again { th { "onset differs by" } } }
        @for (place, planned) in (0_u32..).zip(&chaos.plan) { tr {
            td { (took(planned.at_micros)) } td { (clean(&planned.name)) }
            td { (clean(planned.target.as_str())) }
            @match chaos.fired.get(&place) {
                None => { td { "not reached" } td {} td {} }
                Some(fired) => {
                    td { (took(fired.at.micros.saturating_sub(chaos.began.micros))) }
                    @match &fired.what {
                        Err(why) => { td {} td { "skipped: " (clean(why)) } }
                        Ok(fault) => { @if let Some(fault) = view.faults.get(fault) {
                            td { (fault.targets.first().map_or(String::new(), |node|
                                clean(node.as_str()))) }
                            td { (fault.judged().word()) }
                            @if again { td class="n" { (off(place)) } }
                        } }
                    }
                }
            }
        } }
    } } }
}
