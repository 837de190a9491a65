//! Plots as SVG, made here: no script runs in the console, and none could. Widths are attributes, since the content policy has no
//! place for `style`.

use std::time::Duration;

use askama::Template;

use super::words;
use crate::telemetry::history::Step;

/// Units of the drawing.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// What a plot is over: the hour, or less where there is no hour yet.
const SECONDS: std::ops::RangeInclusive<f64> = 60.0..=3_600.0;

/// A value over the last hour, for the run of things and not for reading figures off it.
#[derive(Template)]
#[template(path = "spark.svg", escape = "html")]
pub struct Spark {
    line: String,
    area: String,
    label: String,
}

impl Spark {
    /// `what` is plotted: `requests a second`.
    pub fn new(steps: &[Step], what: &str, shown: impl Fn(f64) -> String) -> Spark {
        let highest = steps.iter().map(|step| step.value).fold(0.0, f64::max);
        let oldest = steps.iter().map(|step| step.from).fold(0.0, f64::max);
        let seconds = oldest.clamp(*SECONDS.start(), *SECONDS.end());
        let x = |ago: f64| (WIDTH - ago / seconds * WIDTH).clamp(0.0, WIDTH);
        let y = |value: f64| if highest > 0.0 { HEIGHT - 1.0 - value / highest * (HEIGHT - 3.0) } else { HEIGHT - 1.0 };
        let ends = |step: &Step| [step.from, step.to].map(|ago| format!("{:.1},{:.1}", x(ago), y(step.value)));
        let line = steps.iter().flat_map(ends).collect::<Vec<_>>().join(" ");
        let area = steps
            .first()
            .zip(steps.last())
            .map_or(String::new(), |(first, last)| format!("{:.1},{HEIGHT} {line} {:.1},{HEIGHT}", x(first.from), x(last.to)));
        let span = words::span(Duration::from_secs_f64(seconds));
        Spark { line, area, label: format!("The last {span}, {what}: at most {}", shown(highest)) }
    }
}

/// How much of a limit is gone, or of a whole this is.
#[derive(Template)]
#[template(path = "bar.svg", escape = "html")]
pub struct Bar {
    spent: f64,
    held: f64,
    level: &'static str,
    label: String,
}

impl Bar {
    /// Of a limit: spent and held, in red once it is all gone.
    pub fn of_limit(spent: u64, held: u64, amount: u64) -> Bar {
        let spent_part = part(spent, amount);
        let level = match spent_part + part(held, amount) {
            p if p >= 100.0 => "over",
            p if p >= 80.0 => "near",
            _ => "low",
        };
        let held_shown =
            if held > 0 { format!(", {} held by running requests", words::percent(held, amount)) } else { String::new() };
        let label = format!("{} used{held_shown}", words::percent(spent, amount));
        Bar { spent: spent_part, held: part(held, amount).min(100.0 - spent_part), level, label }
    }

    /// Of a whole.
    pub fn of_whole(amount: u64, whole: u64) -> Bar {
        Bar { spent: part(amount, whole), held: 0.0, level: "share", label: format!("{} of all", words::percent(amount, whole)) }
    }
}

/// Columns side by side, such as the days of a month.
#[derive(Template)]
#[template(path = "columns.svg", escape = "html")]
pub struct Columns {
    columns: Vec<Column>,
    width: u32,
    label: String,
}

struct Column {
    x: f64,
    y: f64,
    height: f64,
    title: String,
}

impl Columns {
    /// One a day, each with its place from 0 and what it says when pointed at.
    pub fn of_month(used: &[(usize, u64, String)], days: i8, label: String) -> Columns {
        let highest = used.iter().map(|(_, amount, _)| *amount).max().unwrap_or(0).max(1);
        let column = |(place, amount, title): &(usize, u64, String)| {
            let height = (*amount as f64 / highest as f64 * 76.0).max(if *amount > 0 { 1.0 } else { 0.0 });
            Column { x: *place as f64 * 20.0 + 2.0, y: 80.0 - height, height, title: title.clone() }
        };
        Columns { columns: used.iter().map(column).collect(), width: u32::from(days.unsigned_abs()) * 20, label }
    }
}

/// In percent, from 0 to 100.
fn part(amount: u64, whole: u64) -> f64 {
    if whole == 0 {
        return if amount == 0 { 0.0 } else { 100.0 };
    }
    (amount as f64 / whole as f64 * 100.0).min(100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_leaves_its_track() {
        for (spent, held, amount) in [(0, 0, 0), (5, 0, 0), (500, 900, 100), (30, 90, 100), (u64::MAX, u64::MAX, 1)] {
            let bar = Bar::of_limit(spent, held, amount);
            assert!(bar.spent >= 0.0 && bar.held >= 0.0 && bar.spent + bar.held <= 100.0, "{spent} {held} {amount}");
        }
        assert_eq!(["low", "near", "over"], [10, 80, 100].map(|spent| Bar::of_limit(spent, 0, 100).level));
        assert_eq!(Bar::of_limit(60, 40, 100).level, "over");
    }

    #[test]
    fn the_hour_ends_at_the_right_and_the_highest_is_at_the_top() {
        let step = |from: f64, to: f64, value: f64| Step { from, to, value };
        let hour = [step(3_600.0, 1_800.0, 0.0), step(1_800.0, 900.0, 4.0), step(900.0, 0.0, 2.0)];
        let spark = Spark::new(&hour, "requests a second", words::rate);
        assert_eq!(spark.line, "0.0,39.0 120.0,39.0 120.0,2.0 180.0,2.0 180.0,20.5 240.0,20.5");
        assert_eq!(spark.label, "The last 60 min, requests a second: at most 4.0");
        let young = Spark::new(&[step(30.0, 0.0, 1.0)], "x", words::rate);
        assert!(young.line.starts_with("120.0,") && young.label.starts_with("The last 60 s"), "{}", young.line);
        assert_eq!(Spark::new(&[], "x", words::rate).area, "");
        assert!(Spark::new(&[step(5.0, 0.0, 0.0)], "x", words::rate).line.ends_with(",39.0"));
    }
}
