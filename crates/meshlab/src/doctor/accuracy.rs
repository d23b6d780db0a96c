//! What the lab was told against what it did, each beside its aim.

use std::{fmt::Write, time::Duration};

use meshlab_lab::{
    Measured, MeasuredCuts, MeasuredDelay, MeasuredLoss, MeasuredPacket, MeasuredPlaces,
    MeasuredRate, Spread,
};
use meshlab_model::{ByteSize, format_duration};
use serde_json::{Value, json};

/// A delay is to be met within this, or within [`DELAY_SHARE`] where that is more.
const DELAY_WITHIN: Duration = Duration::from_millis(1);
const DELAY_SHARE: f64 = 0.02;
/// Of all packets, 0.005 is half a percentage point.
const LOSS_WITHIN: f64 = 0.005;
const RATE_WITHIN: f64 = 0.05;
const CUT_WITHIN: Duration = Duration::from_millis(20);
const PACKET_WITHIN: Duration = Duration::from_micros(5);
/// For a hundred.
const PLACES_WITHIN: Duration = Duration::from_secs(1);

/// Something measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// What, with what was planned.
    what: String,
    /// What was measured, in words.
    found: String,
    /// What it is to be; empty where there is no aim.
    aim: String,
    /// Whether it is; `None` where there is no aim, or the host does not tell.
    pub(super) met: Option<bool>,
    /// The same in numbers: lengths of time in seconds, shares of 1.
    numbers: Value,
}

impl Figure {
    pub(super) fn json(&self) -> Value {
        json!({ "what": self.what, "aim": self.aim, "met": self.met, "measured": self.numbers })
    }
}

pub(super) fn figures(measured: &Measured) -> Vec<Figure> {
    let own = measured.delays.iter().find(|delay| delay.planned.is_zero());
    let own = own.map(|delay| delay.measured);
    let mut figures: Vec<Figure> =
        measured.delays.iter().map(|delay| of_delay(delay, own)).collect();
    figures.push(of_loss(&measured.loss));
    figures.extend(measured.rates.iter().map(of_rate));
    figures.extend(of_cuts(&measured.cuts));
    figures.push(of_packet(&measured.packet));
    figures.push(of_places(&measured.places));
    figures
}

/// The table, and how many aims were missed.
pub(super) fn table(figures: &[Figure], debug: bool) -> String {
    let mut text = "\nplanned against measured, on this host as busy as it is now\n".to_owned();
    let wide = |of: fn(&Figure) -> &str| {
        figures.iter().map(|figure| of(figure).chars().count()).max().unwrap_or(0)
    };
    let (what, found) = (wide(|figure| &figure.what), wide(|figure| &figure.found));
    for figure in figures {
        let mark = match figure.met {
            Some(true) => "ok    ",
            Some(false) => "missed",
            None => "      ",
        };
        let line =
            format!("{mark} {:<what$}  {:<found$}  {}", figure.what, figure.found, figure.aim);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let missed = figures.iter().filter(|figure| figure.met == Some(false)).count();
    let aims = figures.iter().filter(|figure| figure.met.is_some()).count();
    let _ = match missed {
        0 => writeln!(text, "all {aims} aims are met"),
        _ => writeln!(
            text,
            "{missed} of {aims} aims are missed; a run on this host tells no less, its times are \
             off by as much"
        ),
    };
    if debug {
        text.push_str("this is a debug build, whose switch costs several times as much\n");
    }
    text
}

fn of_delay(delay: &MeasuredDelay, own: Option<Spread>) -> Figure {
    let MeasuredDelay { planned, measured } = *delay;
    let spread = spread(&measured);
    let mut numbers = numbers(&measured);
    numbers["planned"] = json!(planned.as_secs_f64());
    if planned.is_zero() {
        let what = "no delay".to_owned();
        let found = format!("{spread}: the host's own");
        return Figure { what, found, aim: String::new(), met: None, numbers };
    }
    // Too early is off as well as too late.
    let off = measured.p50.abs_diff(planned).max(measured.p99.abs_diff(planned));
    let own = own.map_or(Duration::ZERO, |own| own.p99);
    let within = DELAY_WITHIN.max(planned.mul_f64(DELAY_SHARE));
    numbers["off"] = json!(off.as_secs_f64());
    numbers["host_p99"] = json!(own.as_secs_f64());
    Figure {
        what: format!("delay {}", format_duration(planned)),
        found: format!(
            "{spread}: off by {}, the host's own p99 {}",
            format_duration(off),
            format_duration(own)
        ),
        aim: format!("within {}", format_duration(within)),
        met: Some(measured.samples > 0 && off <= within),
        numbers,
    }
}

fn of_loss(loss: &MeasuredLoss) -> Figure {
    let MeasuredLoss { planned, packets, lost, counted } = *loss;
    let share = if packets == 0 { 0.0 } else { lost as f64 / packets as f64 };
    let off = (share - planned).abs();
    Figure {
        what: format!("loss {:.1} %", planned * 100.0),
        found: format!(
            "{:.2} % of {packets} (the switch counted {counted}): off by {:.2} points",
            share * 100.0,
            off * 100.0
        ),
        aim: format!("within {:.1} points", LOSS_WITHIN * 100.0),
        met: Some(packets > 0 && off <= LOSS_WITHIN),
        numbers: json!({ "planned": planned, "share": share, "packets": packets, "lost": lost,
            "counted": counted, "off": off }),
    }
}

fn of_rate(rate: &MeasuredRate) -> Figure {
    let MeasuredRate { planned, measured } = *rate;
    let off = if planned == 0 { f64::INFINITY } else { (measured / planned as f64 - 1.0).abs() };
    Figure {
        what: format!("rate {}/s", ByteSize(planned)),
        found: format!(
            "{}/s: off by {:.1} %",
            ByteSize(measured.max(0.0).round() as u64),
            off * 100.0
        ),
        aim: format!("within {:.0} %", RATE_WITHIN * 100.0),
        met: Some(off <= RATE_WITHIN),
        numbers: json!({ "planned": planned, "bytes_per_second": measured, "off": off }),
    }
}

fn of_cuts(cuts: &MeasuredCuts) -> [Figure; 2] {
    let MeasuredCuts { links, onset, heal, packets, leaked, missing } = *cuts;
    let one = |what: &str, spread_of: Spread, (wrong, how): (u64, &str), sound: bool| {
        let mut numbers = numbers(&spread_of);
        numbers["packets"] = json!(packets);
        numbers[how] = json!(wrong);
        Figure {
            what: format!("{what} of {links} links"),
            found: format!("{}, {wrong} of {packets} packets {how}", spread(&spread_of)),
            aim: format!("p99 within {}", format_duration(CUT_WITHIN)),
            met: Some(spread_of.samples > 0 && spread_of.p99 <= CUT_WITHIN && sound),
            numbers,
        }
    };
    // A packet that crossed a cut link belies its onset; one that is missing after the heal may
    // have found the host too busy to take it.
    [
        one("onset", onset, (leaked, "leaked"), leaked == 0),
        one("heal", heal, (missing, "missing"), true),
    ]
}

fn of_packet(packet: &MeasuredPacket) -> Figure {
    let MeasuredPacket { packets, cpu } = *packet;
    let found = match cpu {
        Some(cpu) => {
            format!("{:.2} µs of CPU each, over {packets} packets", cpu.as_secs_f64() * 1e6)
        }
        None => "this system does not tell the CPU time of a thread".to_owned(),
    };
    Figure {
        what: "switch".to_owned(),
        found,
        aim: format!("at most {} a packet", format_duration(PACKET_WITHIN)),
        met: cpu.map(|cpu| packets > 0 && cpu <= PACKET_WITHIN),
        numbers: json!({ "packets": packets, "cpu": cpu.map(|cpu| cpu.as_secs_f64()) }),
    }
}

fn of_places(places: &MeasuredPlaces) -> Figure {
    let MeasuredPlaces { places, took } = *places;
    let within = PLACES_WITHIN.mul_f64(f64::from(places) / 100.0);
    Figure {
        what: format!("{places} namespaces"),
        found: format!("made in {}", format_duration(took)),
        aim: format!("within {}", format_duration(within)),
        met: Some(places > 0 && took <= within),
        numbers: json!({ "places": places, "took": took.as_secs_f64() }),
    }
}

fn spread(spread: &Spread) -> String {
    let [p50, p99, max] = [spread.p50, spread.p99, spread.max].map(format_duration);
    format!("p50 {p50} p99 {p99} max {max} (n={})", spread.samples)
}

fn numbers(spread: &Spread) -> Value {
    let [p50, p99, max] = [spread.p50, spread.p99, spread.max].map(|time| time.as_secs_f64());
    json!({ "samples": spread.samples, "p50": p50, "p99": p99, "max": max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(p50: u64, p99: u64, max: u64) -> Spread {
        let [p50, p99, max] = [p50, p99, max].map(Duration::from_micros);
        Spread { samples: 1000, p50, p99, max }
    }

    /// Everything as it should be.
    fn good() -> Measured {
        let delay =
            |millis, measured| MeasuredDelay { planned: Duration::from_millis(millis), measured };
        Measured {
            delays: vec![
                delay(0, micros(60, 210, 900)),
                delay(10, micros(10_060, 10_300, 11_900)),
                delay(100, micros(100_070, 101_900, 104_000)),
            ],
            loss: MeasuredLoss { planned: 0.1, packets: 10_000, lost: 1012, counted: 1012 },
            rates: vec![MeasuredRate { planned: 1 << 20, measured: 1_040_000.0 }],
            cuts: MeasuredCuts {
                links: 306,
                onset: micros(90, 400, 2000),
                heal: micros(80, 380, 1000),
                packets: 50_000,
                leaked: 0,
                missing: 0,
            },
            places: MeasuredPlaces { places: 100, took: Duration::from_millis(430) },
            packet: MeasuredPacket { packets: 200_000, cpu: Some(Duration::from_nanos(3210)) },
        }
    }

    /// Each aim just missed.
    fn bad() -> Measured {
        let mut bad = good();
        bad.delays[1].measured = micros(8_900, 10_300, 11_900);
        bad.delays[2].measured.p99 = Duration::from_micros(102_100);
        bad.loss.lost = 1051;
        bad.rates[0].measured = 990_000.0;
        bad.cuts.onset.p99 = Duration::from_millis(21);
        bad.cuts.heal.p99 = Duration::from_millis(20) + Duration::from_micros(1);
        bad.places.took = Duration::from_millis(1001);
        bad.packet.cpu = Some(Duration::from_nanos(5001));
        bad
    }

    #[test]
    fn all_that_is_met_is_ok() {
        let figures = figures(&good());
        assert!(figures.iter().skip(1).all(|figure| figure.met == Some(true)));
        insta::assert_snapshot!("accuracy_met", table(&figures, false));
    }

    #[test]
    fn each_aim_that_is_missed_is_told() {
        let figures = figures(&bad());
        assert!(figures.iter().skip(1).all(|figure| figure.met == Some(false)), "{figures:?}");
        insta::assert_snapshot!("accuracy_missed", table(&figures, true));
        let json: Vec<Value> = figures.iter().map(Figure::json).collect();
        insta::assert_snapshot!("accuracy_json", format!("{:#}", Value::from(json)));
    }

    #[test]
    fn a_packet_that_crosses_a_cut_link_belies_its_onset() {
        let mut leaky = good();
        (leaky.cuts.leaked, leaky.cuts.missing) = (1, 1);
        let met: Vec<Option<bool>> = of_cuts(&leaky.cuts).iter().map(|cut| cut.met).collect();
        assert_eq!(met, [Some(false), Some(true)]);
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let mut none = good();
        none.delays[1].measured = Spread::default();
        (none.loss.packets, none.loss.lost) = (0, 0);
        none.cuts.onset = Spread::default();
        none.packet.cpu = None;
        let met: Vec<Option<bool>> = figures(&none).iter().map(|figure| figure.met).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(met, [None, no, yes, no, yes, no, yes, None, yes]);
    }
}
