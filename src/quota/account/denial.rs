//! Why a request does not fit, in the words its caller reads.

use std::{fmt, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::Offset};
use serde::{Deserialize, Serialize};

use crate::quota::{LimitKind, Measure, Span, Standing, milliseconds};

/// How a limit said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QuotaKind {
    /// There will be room as the bucket refills, or in a window as requests end that hold it.
    Temporary,
    /// There will be room in the next window.
    Spent,
    /// There will never be room: the request asks for more than the whole limit.
    Never,
}

/// The limit that binds, and by how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaDenial {
    /// Who.
    pub tenant: Arc<str>,
    /// The quota's label.
    pub quota: Arc<str>,
    /// What it counts.
    pub measure: Measure,
    /// For how long.
    pub span: Span,
    /// How it said no.
    pub kind: QuotaKind,
    /// The limit: tokens, or nano-dollars.
    pub amount: u64,
    /// What is left of it.
    pub remaining: u64,
    /// What the request may need.
    pub asked: u64,
    /// When a spent window ends.
    #[serde(with = "with_offset")]
    pub resets: Option<Box<(Timestamp, Offset)>>,
    /// Only a temporary refusal has one: of a bucket the exact wait until it has room, if nothing else happens; of a window a second, since
    /// nobody knows when running requests end.
    pub retry_after: Option<Duration>,
    /// What is in the way, where that is only held. A process of before may not say.
    #[serde(default)]
    pub held: Option<Box<Occupied>>,
    /// The same for header fields.
    pub standing: Box<Standing>,
}

/// How a window is taken in which there is room for a request, but for what others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupied {
    /// By requests that have ended.
    pub spent: u64,
    /// By requests that run.
    pub reserved: u64,
}

/// A moment and the clock it is read on, as the moment and seconds.
mod with_offset {
    use jiff::{Timestamp, tz::Offset};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    type Moment = Option<Box<(Timestamp, Offset)>>;

    pub fn serialize<S: Serializer>(moment: &Moment, to: S) -> Result<S::Ok, S::Error> {
        moment.as_deref().map(|(at, offset)| (*at, offset.seconds())).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let moment = Option::<(Timestamp, i32)>::deserialize(from)?;
        let with_offset = |(at, seconds)| Ok(Box::new((at, Offset::from_seconds(seconds).map_err(Error::custom)?)));
        moment.map(with_offset).transpose()
    }
}

impl QuotaDenial {
    /// The metric label, beside the quota's.
    pub fn reason(&self) -> &'static str {
        LimitKind::Per(self.measure, self.span).name()
    }
}

impl std::error::Error for QuotaDenial {}

impl fmt::Display for QuotaDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuotaDenial { tenant, measure, .. } = self;
        let shown = |amount| measure.shown(amount);
        let (asked, amount, remaining) = (shown(self.asked), shown(self.amount), shown(self.remaining));
        let (noun, per) = (measure.noun(), self.span.noun());
        let scope = Scope(&self.quota);
        let verb = if *measure == Measure::Cost { "may cost" } else { "needs up to" };
        match self.kind {
            QuotaKind::Never => {
                let advice = match measure {
                    Measure::InputTokens => "shorten the input",
                    Measure::OutputTokens => "set a lower max_tokens",
                    Measure::Tokens | Measure::Burndown | Measure::Cost => "set a lower max_tokens or shorten the input",
                };
                write!(
                    f,
                    "this request {verb} {asked} {noun}, but tenant {tenant} has {amount} per {per} in all{scope}, so it can never fit; {advice}"
                )
            }
            _ => {
                write!(f, "tenant {tenant} has {remaining} of {amount} {noun} per {per} left{scope}")?;
                if let Some(Occupied { spent, reserved }) = self.held.as_deref() {
                    let (spent, reserved) = (shown(*spent), shown(*reserved));
                    return write!(
                        f,
                        ", with {spent} spent and {reserved} held by running requests; this request {verb} {asked}; try again when some \
                         of them have ended"
                    );
                }
                write!(f, "; this request {verb} {asked}")?;
                if let Some(wait) = self.retry_after {
                    write!(f, "; try again in {} ms", milliseconds(wait))?;
                }
                match self.resets.as_deref() {
                    Some((resets, offset)) => write!(f, "; it resets {:.0}", resets.display_with_offset(*offset)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The label, where there is more than one scope to tell apart.
struct Scope<'a>(&'a str);

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == "all" { Ok(()) } else { write!(f, " for `{}`", self.0) }
    }
}

/// A request that asks for more `max_tokens` than its tenant may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant {tenant} may ask for at most {max} max_tokens{}; this request asks for {asked}", Scope(quota))]
pub struct CapDenial {
    /// Who.
    pub tenant: Arc<str>,
    /// The quota's label.
    pub quota: Arc<str>,
    /// The most.
    pub max: u64,
    /// What it asked for.
    pub asked: u64,
}
