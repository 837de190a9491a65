//! The table that the crate genai-prices ships, its part for Bedrock (cut out by build.rs). It holds list prices of AWS, those of
//! us-east-1 where regions differ, and for newer models two entries: `regional.` for one region or geography, `global.` for the
//! global profile.
//!
//! Its own rules, which find a model by a piece of its name, are only used to narrow ours: a geography counts if they allow it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::{Arc, LazyLock},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;

use super::{Price, Rate, names, price::Schedule, rates::Given};
use crate::bedrock::model::{GEOGRAPHIES, GLOBAL};

/// Version of the crate.
pub(super) const VERSION: &str = concat!("genai-prices ", env!("TOLLGATE_PRICES_VERSION"));

pub(super) const TABLE: &str = include_str!(concat!(env!("OUT_DIR"), "/bedrock_prices.json"));

/// What models cost from when on; the first from the beginning of time.
pub(super) type Timeline = Vec<(Timestamp, Arc<Price>)>;

/// The bundled prices by every name that a model goes by.
#[derive(Debug, Default)]
pub(super) struct Bundled {
    names: HashMap<String, Arc<Timeline>>,
    /// The models that go by a name, without geography: nearly always one, and several by a name that leaves out their dates. Of each, all
    /// of its names.
    models: HashMap<String, Vec<Arc<[String]>>>,
    /// Entries that cannot be charged, and why.
    pub(super) left_out: Vec<(String, &'static str)>,
}

/// Read once.
pub(super) static BUNDLED: LazyLock<Bundled> = LazyLock::new(|| Bundled::parse(TABLE));

#[derive(Deserialize)]
struct Provider {
    models: Vec<Model>,
}

#[derive(Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
    r#match: Rule,
    context_window: Option<u64>,
    pub(super) prices: serde_json::Value,
}

/// How genai-prices finds a model.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Contains(String),
    EndsWith(String),
    Equals(String),
    StartsWith(String),
    /// Not understood here, so it allows nothing.
    Regex(serde::de::IgnoredAny),
}

impl Bundled {
    /// A table that cannot be read has no prices, and an entry that cannot is left out; the tests see that neither happens.
    fn parse(text: &str) -> Bundled {
        let models = serde_json::from_str(text).map(|provider: Provider| provider.models).unwrap_or_default();
        let mut bundled = Bundled::default();
        let mut found: BTreeMap<String, Claim> = BTreeMap::new();
        models
            .iter()
            .map(|model| scope_and_name(&model.id).1)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .for_each(|name| bundled.name(name));
        for model in models {
            match timeline(&model) {
                Ok(timeline) => claim(&mut found, &model, &Arc::new(timeline)),
                Err(reason) => bundled.left_out.push((model.id, reason)),
            }
        }
        bundled.names = found.into_iter().filter_map(|(name, claim)| Some((name, claim.timeline?))).collect();
        bundled
    }

    /// Prices of exactly this id, as AWS writes it.
    pub(super) fn get(&self, id: &str) -> Option<&Arc<Timeline>> {
        self.names.get(id)
    }

    /// All names of the models that go by one without geography.
    pub(super) fn all_names(&self, name: &str) -> impl Iterator<Item = &str> {
        self.models.get(name).into_iter().flatten().flat_map(|names| names.iter().map(String::as_str))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Has a model found by its names, be there a price or not.
    fn name(&mut self, name: &str) {
        let names: Arc<[String]> = names::spellings(name).into_iter().map(|spelling| spelling.name).collect();
        names.iter().for_each(|name| self.models.entry(name.clone()).or_default().push(names.clone()));
    }
}

/// `global` or `regional`, where a model has an entry for each.
fn scope_and_name(id: &str) -> (Option<&str>, &str) {
    let scoped = id.split_once('.').filter(|(scope, _)| ["global", "regional"].contains(scope));
    scoped.map_or((None, id), |(scope, name)| (Some(scope), name))
}

/// Who goes by a name; nobody if several releases would without their dates.
struct Claim {
    timeline: Option<Arc<Timeline>>,
    dateless: bool,
}

fn claim(found: &mut BTreeMap<String, Claim>, model: &Model, timeline: &Arc<Timeline>) {
    let (scope, name) = scope_and_name(&model.id);
    let is_global = scope == Some(GLOBAL);
    let spellings = names::spellings(name);
    if !is_global && model.r#match.matches(name) {
        spellings.iter().for_each(|spelling| enter(found, spelling.name.clone(), spelling.dateless, timeline));
    }
    let vendor = name.split('.').next().unwrap_or_default();
    let geographies = GEOGRAPHIES.into_iter().filter(|geography| (*geography == GLOBAL) == is_global);
    for geography in geographies.filter(|geography| model.r#match.allows(geography, name)) {
        // Only names with their vendor get a geography.
        for spelling in spellings.iter().filter(|spelling| spelling.name.starts_with(vendor)) {
            enter(found, format!("{geography}.{}", spelling.name), spelling.dateless, timeline);
        }
    }
}

fn enter(found: &mut BTreeMap<String, Claim>, name: String, dateless: bool, timeline: &Arc<Timeline>) {
    let claim = Claim { timeline: Some(timeline.clone()), dateless };
    match found.entry(name) {
        Entry::Vacant(vacant) => drop(vacant.insert(claim)),
        Entry::Occupied(mut other) if other.get().dateless && !dateless => drop(other.insert(claim)),
        Entry::Occupied(mut other) if other.get().dateless => other.get_mut().timeline = None,
        Entry::Occupied(_) => {}
    }
}

impl Rule {
    /// Whether genai-prices means this entry by the name with the geography. Another partition has to be named: a rule that looks for
    /// a piece of the name does not know of it.
    fn allows(&self, geography: &str, name: &str) -> bool {
        self.matches(&format!("{geography}.{name}")) && (geography != "us-gov" || self.names_partition("us-gov."))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Rule::And(rules) => rules.iter().all(|rule| rule.matches(name)),
            Rule::Or(rules) => rules.iter().any(|rule| rule.matches(name)),
            Rule::Contains(part) => name.contains(part),
            Rule::EndsWith(part) => name.ends_with(part),
            Rule::Equals(part) => name == part,
            Rule::StartsWith(part) => name.starts_with(part),
            Rule::Regex(_) => false,
        }
    }

    fn names_partition(&self, prefix: &str) -> bool {
        match self {
            Rule::And(rules) | Rule::Or(rules) => rules.iter().any(|rule| rule.names_partition(prefix)),
            Rule::Contains(part) | Rule::Equals(part) | Rule::StartsWith(part) => part.starts_with(prefix),
            Rule::EndsWith(_) | Rule::Regex(_) => false,
        }
    }
}

/// Prices either at once or as a list, of which the last that has begun holds.
fn timeline(model: &Model) -> Result<Timeline, &'static str> {
    let (scope, _) = scope_and_name(&model.id);
    let source: Arc<str> = [VERSION, scope.unwrap_or_default()].join(" ").trim_end().into();
    let Some(dated) = model.prices.as_array() else {
        return Ok(vec![(Timestamp::MIN, price(&model.prices, model, &source)?)]);
    };
    let mut timeline = Timeline::new();
    for entry in dated {
        let from = match entry.get("constraint") {
            None => Timestamp::MIN,
            Some(constraint) => start(constraint).ok_or("its price changes by something else than the date")?,
        };
        timeline.push((from, price(entry.get("prices").unwrap_or(&serde_json::Value::Null), model, &source)?));
    }
    if !timeline.is_sorted_by(|(earlier, _), (later, _)| earlier < later)
        || timeline.first().is_none_or(|(from, _)| *from != Timestamp::MIN)
    {
        return Err("its dates are not in order");
    }
    Ok(timeline)
}

fn start(constraint: &serde_json::Value) -> Option<Timestamp> {
    let date: Date = constraint.as_object().filter(|keys| keys.len() == 1)?.get("start_date")?.as_str()?.parse().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

const NOT_UNDERSTOOD: &str = "its prices are not written as this version reads them";

fn price(prices: &serde_json::Value, model: &Model, source: &Arc<str>) -> Result<Arc<Price>, &'static str> {
    let prices = prices.as_object().ok_or(NOT_UNDERSTOOD)?;
    let mut starts = BTreeSet::new();
    for (kind, value) in prices {
        match kind.as_str() {
            "input_mtok" | "output_mtok" | "cache_read_mtok" | "cache_write_mtok" | "cache_write_1h_mtok" => {}
            kind if kind.contains("audio") => {
                return Err("it prices audio apart, and a price here has one rate for speech and text: give it those of speech");
            }
            _ => return Err(NOT_UNDERSTOOD),
        }
        for tier in value.get("tiers").and_then(|tiers| tiers.as_array()).into_iter().flatten() {
            starts.insert(tier.get("start").and_then(serde_json::Value::as_u64).ok_or(NOT_UNDERSTOOD)?);
        }
    }
    let given = |over: u64| {
        let rate = |kind: &str| prices.get(kind).map(|value| rate(value, over)).transpose();
        Ok::<_, &'static str>(Given {
            input: rate("input_mtok")?.ok_or(NOT_UNDERSTOOD)?,
            output: rate("output_mtok")?,
            cache_read: rate("cache_read_mtok")?,
            cache_write: rate("cache_write_mtok")?,
            cache_write_1h: rate("cache_write_1h_mtok")?,
        })
    };
    let base = given(0)?.completed();
    let steps = starts.into_iter().map(|over| Ok((over, given(over)?.completed()))).collect::<Result<_, &'static str>>()?;
    let input_tokens_max = model.context_window.unwrap_or(u64::MAX);
    Ok(Arc::new(Price::new(Arc::new(Schedule { source: source.clone(), base, steps, input_tokens_max }), Vec::new())))
}

/// The rate for input of more than `over` tokens; `over` is 0, or where one of the model's rates steps up.
fn rate(value: &serde_json::Value, over: u64) -> Result<Rate, &'static str> {
    let tiers = value.get("tiers").and_then(|tiers| tiers.as_array()).into_iter().flatten();
    let reached = tiers
        .rev()
        .find(|tier| over > 0 && tier.get("start").and_then(serde_json::Value::as_u64).is_some_and(|start| start <= over));
    let number = match reached {
        Some(tier) => tier.get("price"),
        None => value.get("base").or(Some(value)),
    };
    // A number is shown with the fewest digits that mean it: those that the table has.
    let text = number.and_then(serde_json::Value::as_f64).ok_or(NOT_UNDERSTOOD)?.to_string();
    text.parse().map_err(|_| "a price has more than six decimals")
}
