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
    runs: Vec<Run>,
    label: String,
    /// Of the values, with its unit.
    pub highest: String,
}

/// Steps without a gap between them, as points.
struct Run {
    line: String,
    area: String,
}

impl Spark {
    /// `what` is plotted: `requests a second`.
    pub fn new(steps: &[Step], what: &str, shown: impl Fn(f64) -> String) -> Spark {
        let highest = steps.iter().filter_map(|step| step.value).fold(0.0, f64::max);
        let oldest = steps.iter().map(|step| step.from).fold(0.0, f64::max);
        let seconds = oldest.clamp(*SECONDS.start(), *SECONDS.end());
        let x = |ago: f64| (WIDTH - ago / seconds * WIDTH).clamp(0.0, WIDTH);
        let y = |value: f64| if highest > 0.0 { HEIGHT - 1.0 - value / highest * (HEIGHT - 3.0) } else { HEIGHT - 1.0 };
        let ends = |step: &Step| {
            let value = step.value.unwrap_or_default();
            [step.from, step.to].map(|ago| format!("{:.1},{:.1}", x(ago), y(value)))
        };
        let run = |steps: &[Step]| {
            let (first, last) = steps.first().zip(steps.last())?;
            let line = steps.iter().flat_map(ends).collect::<Vec<_>>().join(" ");
            let area = format!("{:.1},{HEIGHT} {line} {:.1},{HEIGHT}", x(first.from), x(last.to));
            Some(Run { line, area })
        };
        let runs = steps.split(|step| step.value.is_none()).filter_map(run).collect();
        let span = words::span(Duration::from_secs_f64(seconds));
        let highest = shown(highest);
        Spark { runs, label: format!("The last {span}, {what}: at most {highest}"), highest }
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
    /// The amounts that have a line across, the highest first.
    grid: Vec<(f64, String)>,
    /// The days that have their number below, and where.
    days: Vec<(f64, i8)>,
    label: String,
}

/// Across in percent, upright in pixels: so texts keep their shape, however wide the plot is.
struct Column {
    x: f64,
    width: f64,
    y: f64,
    height: f64,
    title: String,
}

/// Of the plot itself; above it is room for the highest line's text, below it for the days.
const COLUMNS_TOP: f64 = 18.0;
const COLUMNS_HEIGHT: f64 = 100.0;

/// Every so many days one is numbered: as many as a phone has room for.
const DAYS_BETWEEN: u8 = 5;

impl Columns {
    /// One a day, each with its place from 0 and what it says when pointed at.
    pub fn of_month(used: &[(usize, u64, String)], days: i8, label: String, shown: impl Fn(u64) -> String) -> Columns {
        let top = round_up(used.iter().map(|(_, amount, _)| *amount).max().unwrap_or(0));
        let y = |amount: u64| COLUMNS_TOP + COLUMNS_HEIGHT * (1.0 - amount as f64 / top as f64);
        let day = 100.0 / f64::from(days.max(1));
        let column = |(place, amount, title): &(usize, u64, String)| {
            let height = (COLUMNS_TOP + COLUMNS_HEIGHT - y(*amount)).max(if *amount > 0 { 1.0 } else { 0.0 });
            let y = COLUMNS_TOP + COLUMNS_HEIGHT - height;
            Column { x: (*place as f64 + 0.15) * day, width: 0.7 * day, y, height, title: title.clone() }
        };
        let numbered = (1..=days).filter(|number| *number == 1 || number.unsigned_abs().is_multiple_of(DAYS_BETWEEN));
        Columns {
            columns: used.iter().map(column).collect(),
            grid: [top, top / 2].into_iter().map(|amount| (y(amount), shown(amount))).collect(),
            days: numbered.map(|number| ((f64::from(number) - 0.5) * day, number)).collect(),
            label,
        }
    }
}

/// The next amount of one digit that is even or a half of one: 2, 4, 6, 8, 10, 20 …, so that its half is round too.
fn round_up(amount: u64) -> u64 {
    let mut unit = 1_u64;
    while amount > unit.saturating_mul(10) {
        unit = unit.saturating_mul(10);
    }
    [2, 4, 6, 8, 10].into_iter().map(|digit| unit.saturating_mul(digit)).find(|round| *round >= amount).unwrap_or(u64::MAX)
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
        let step = |from: f64, to: f64, value: f64| Step { from, to, value: Some(value) };
        let hour = [step(3_600.0, 1_800.0, 0.0), step(1_800.0, 900.0, 4.0), step(900.0, 0.0, 2.0)];
        let spark = Spark::new(&hour, "requests a second", words::rate);
        assert_eq!(spark.runs[0].line, "0.0,39.0 120.0,39.0 120.0,2.0 180.0,2.0 180.0,20.5 240.0,20.5");
        assert_eq!(spark.label, "The last 60 min, requests a second: at most 4.0");
        let young = Spark::new(&[step(30.0, 0.0, 1.0)], "x", words::rate);
        let line = &young.runs[0].line;
        assert!(line.starts_with("120.0,") && young.label.starts_with("The last 60 s"), "{line}");
        assert!(Spark::new(&[], "x", words::rate).runs.is_empty());
        assert!(Spark::new(&[step(5.0, 0.0, 0.0)], "x", words::rate).runs[0].line.ends_with(",39.0"));
        // The time that nobody's request took is not nothing.
        let gap = Step { from: 60.0, to: 30.0, value: None };
        let runs = Spark::new(&[step(120.0, 60.0, 1.0), gap, step(30.0, 0.0, 1.0)], "x", words::rate).runs;
        let lines: Vec<_> = runs.iter().map(|run| run.line.as_str()).collect();
        assert_eq!(lines, ["0.0,2.0 120.0,2.0", "180.0,2.0 240.0,2.0"]);
    }

    #[test]
    fn columns_stand_under_a_round_amount_over_the_number_of_their_day() {
        let used = [(0, 30, "a".to_owned()), (21, 75, "b".to_owned())];
        let plot = Columns::of_month(&used, 30, "x".to_owned(), |amount| amount.to_string());
        assert_eq!(plot.grid, [(18.0, "80".to_owned()), (68.0, "40".to_owned())]);
        assert_eq!(plot.columns.iter().map(|column| column.y + column.height).collect::<Vec<_>>(), [118.0, 118.0]);
        assert!((plot.columns[1].height - 93.75).abs() < 0.01 && (plot.columns[1].x - 70.5).abs() < 0.01);
        assert_eq!(plot.days.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 5, 10, 15, 20, 25, 30]);
        for (amount, rounded) in [(0, 2), (1, 2), (7, 8), (10, 10), (11, 20), (999, 1_000), (u64::MAX, u64::MAX)] {
            assert_eq!(round_up(amount), rounded, "{amount}");
        }
    }
}
