//! The running sum of one calendar window: what was settled in it, and what open requests hold of it. It only saves adding up; the truth
//! is in the sums and the holds, and another window's tally follows from them.

use jiff::civil::Date;

use super::calendar::window;
use crate::quota::{Measure, Span};

/// One window's running sum. Limits that count the same share it, whatever their amounts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally {
    /// Of the scope.
    pub(super) bit: u32,
    pub(super) measure: Measure,
    pub(super) span: Span,
    /// The window's first day; nothing before the first request.
    pub(super) first: Option<Date>,
    pub(super) settled: u128,
    pub(super) reserved: u128,
}

impl Tally {
    pub(super) fn new(bit: u32, measure: Measure, span: Span) -> Tally {
        Tally { bit, measure, span, first: None, settled: 0, reserved: 0 }
    }

    /// Whether a charge of that day counts here.
    pub(super) fn is_of(&self, date: Date) -> bool {
        self.first == Some(window(self.span, date))
    }
}
