//! From `prices.toml` as written to what a request reads: rows become prices with dates, aliases become what they stand for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Flaw, ModelOverride, NanoUsd, Overrides, Price, PriceRow, Rate, Step,
    bundled::{BUNDLED, Timeline},
    moment::moment,
    names,
    price::Schedule,
    rates::{Given, Rates},
    requests,
};
use crate::bedrock::usage::ServiceTier;

const TIERS: [ServiceTier; 4] = [ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Reserved];

/// What the file says of one model.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// Nothing if the file does not price it.
    pub(super) timeline: Option<Arc<Timeline>>,
    pub(super) alias_of: Option<String>,
    /// Of a request; then its tokens have no price.
    pub(super) request: Option<NanoUsd>,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) burndown: Option<u64>,
}

type Models = HashMap<String, Compiled>;
pub(super) type Requests = HashMap<String, NanoUsd>;

/// # Errors
/// Everything that is wrong.
pub(super) fn compile(overrides: &Overrides) -> Result<(Models, Requests), Vec<Flaw>> {
    let mut flaws = Flaws::default();
    let mut models = Models::new();
    for (name, model) in &overrides.models {
        let path = path(&["models", name]);
        facts(model, &path, &mut flaws);
        let timeline = if model.prices.is_empty() { None } else { timeline(name, &model.prices, &path, &mut flaws) };
        let request = requests::of_model(model, &path, &mut flaws);
        let ModelOverride { alias_of, max_output_tokens, burndown, .. } = model.clone();
        models.insert(name.clone(), Compiled { timeline, alias_of, request, max_output_tokens, burndown });
    }
    for (name, model) in &overrides.models {
        let Some(target) = &model.alias_of else { continue };
        let (timeline, request) = alias(name, target, model, &models, &mut flaws);
        if let Some(compiled) = models.get_mut(name) {
            (compiled.timeline, compiled.request) = (timeline, request);
        }
    }
    let requests = requests::of_operations(&overrides.requests, &mut flaws);
    if flaws.0.is_empty() { Ok((models, requests)) } else { Err(flaws.0) }
}

fn facts(model: &ModelOverride, at: &[Step], flaws: &mut Flaws) {
    for (key, value) in [("max_output_tokens", model.max_output_tokens), ("burndown", model.burndown)] {
        if value == Some(0) {
            flaws.add(below(at, key), "0 makes no sense here", "write at least 1, or remove the line");
        }
    }
    if *model == ModelOverride::default() {
        flaws.add(
            at.to_vec(),
            "nothing is said of this model",
            "add `alias_of`, `prices`, `request`, `max_output_tokens` or `burndown`",
        );
    }
}

/// Prices of the model that an alias stands for: of the file, or bundled.
fn alias(
    name: &str,
    target: &str,
    model: &ModelOverride,
    models: &Models,
    flaws: &mut Flaws,
) -> (Option<Arc<Timeline>>, Option<NanoUsd>) {
    let at = path(&["models", name, "alias_of"]);
    if !model.prices.is_empty() {
        flaws.add(at, "the model has an alias and prices", "keep one of the two");
        return (None, None);
    }
    let own = models.get(target).or_else(|| models.get(names::id(target)));
    if own.is_some_and(|own| own.alias_of.is_some()) {
        flaws.add(at, format!("`{}` is an alias itself", target.escape_debug()), "name the model that it stands for");
        return (None, None);
    }
    if let Some(request) = own.and_then(|own| own.request) {
        return (None, Some(request));
    }
    let found = own.and_then(|own| own.timeline.as_ref()).or_else(|| BUNDLED.get(names::id(target)));
    if found.is_none() {
        let help = "name a model that `tollgate prices show` has a price for, or give it `prices` in this file";
        flaws.add(at, format!("`{}` has no price", target.escape_debug()), help);
    }
    (found.cloned(), None)
}

/// Rates by length of input, of each tier and of each date that it has prices from.
type Rows = BTreeMap<(ServiceTier, Timestamp), BTreeMap<u64, (usize, Rates)>>;

fn timeline(name: &str, rows: &[PriceRow], at: &[Step], flaws: &mut Flaws) -> Option<Arc<Timeline>> {
    let at = below(at, "prices");
    let known = flaws.0.len();
    let mut by_tier = Rows::new();
    for (index, row) in rows.iter().enumerate() {
        let mut place = at.clone();
        place.push(Step::Index(index));
        let Some((tier, from, rates)) = read(row, &place, flaws) else { continue };
        let steps = by_tier.entry((tier, from)).or_default();
        if steps.insert(row.input_tokens_over, (index, rates)).is_some() {
            let help = "rows of a model differ in `tier`, `effective_from` or `input_tokens_over`: remove one of the two";
            flaws.add(place, "a row for the same tier, date and length of input stands above", help);
        }
    }
    let mut schedules: BTreeMap<(ServiceTier, Timestamp), Arc<Schedule>> = BTreeMap::new();
    for (key, steps) in by_tier {
        match schedule(steps) {
            Ok(schedule) => drop(schedules.insert(key, Arc::new(schedule))),
            Err(index) => {
                let mut place = below(&at, "");
                place.pop();
                place.extend([Step::Index(index), Step::Key("input_tokens_over".to_owned())]);
                let help = "add a row with the same `tier` and `effective_from`, and without `input_tokens_over`";
                flaws.add(place, "shorter input has no price", help);
            }
        }
    }
    if flaws.0.len() > known {
        return None;
    }
    let bundled = BUNDLED.get(names::id(name));
    let timeline = merge(&schedules, bundled.map_or(&[], |timeline| timeline));
    if timeline.is_empty() {
        flaws.add(at, "no standard price", "add a row without `tier`: tiers without a price of their own are charged by it");
        return None;
    }
    Some(Arc::new(timeline))
}

fn read(row: &PriceRow, at: &[Step], flaws: &mut Flaws) -> Option<(ServiceTier, Timestamp, Rates)> {
    let tier = TIERS.into_iter().find(|tier| tier.name() == row.tier);
    if tier.is_none() {
        let message = format!("`{}` is not a service tier", row.tier.escape_debug());
        flaws.add(below(at, "tier"), message, "write standard, flex, priority or reserved");
    }
    let from = row.effective_from.as_deref().map_or(Ok(Timestamp::MIN), moment);
    if let Err(error) = from {
        flaws.add(below(at, "effective_from"), error.to_string(), error.help());
    }
    let known = flaws.0.len();
    let mut rate = |key: &str, text: &str| -> Rate {
        text.parse().unwrap_or_else(|error: super::NotARate| {
            flaws.add(below(at, key), error.to_string(), "write dollars per million tokens, as AWS's price list has them");
            Rate::default()
        })
    };
    let given = Given {
        input: rate("input", &row.input),
        output: row.output.as_deref().map(|text| rate("output", text)),
        cache_read: row.cache_read.as_deref().map(|text| rate("cache_read", text)),
        cache_write: row.cache_write.as_deref().map(|text| rate("cache_write", text)),
        cache_write_1h: row.cache_write_1h.as_deref().map(|text| rate("cache_write_1h", text)),
    };
    if flaws.0.len() > known {
        return None;
    }
    Some((tier?, from.ok()?, given.completed()))
}

/// The row with the shortest input, if it does not begin at nothing.
fn schedule(steps: BTreeMap<u64, (usize, Rates)>) -> Result<Schedule, usize> {
    let mut steps = steps.into_iter();
    match steps.next() {
        Some((0, (_, base))) => {
            let steps = steps.map(|(over, (_, rates))| (over, rates)).collect();
            Ok(Schedule { source: "prices.toml".into(), base, steps, input_tokens_max: u64::MAX })
        }
        Some((_, (index, _))) => Err(index),
        None => Err(0),
    }
}

/// At every date at which one of the two changes: the file's tiers before the bundled ones. There is no price without a standard one.
fn merge(own: &BTreeMap<(ServiceTier, Timestamp), Arc<Schedule>>, bundled: &[(Timestamp, Arc<Price>)]) -> Timeline {
    let dates: BTreeSet<Timestamp> = own.keys().map(|(_, from)| *from).chain(bundled.iter().map(|(from, _)| *from)).collect();
    let mut timeline = Timeline::new();
    for at in dates {
        let bundled = bundled.iter().rev().find(|(from, _)| *from <= at).map(|(_, price)| price);
        let in_force = |tier: ServiceTier| {
            let own = own.range((tier, Timestamp::MIN)..=(tier, at)).next_back().map(|(_, schedule)| schedule);
            own.or_else(|| bundled?.schedule_of(tier)).cloned()
        };
        let Some(standard) = in_force(ServiceTier::Standard) else { continue };
        let others = TIERS.into_iter().skip(1).filter_map(|tier| Some((tier, in_force(tier)?))).collect();
        timeline.push((at, Arc::new(Price::new(standard, others))));
    }
    timeline
}

#[derive(Default)]
pub(super) struct Flaws(Vec<Flaw>);

impl Flaws {
    pub(super) fn add(&mut self, path: Vec<Step>, message: impl Into<String>, help: impl Into<String>) {
        self.0.push(Flaw { path, message: message.into(), help: help.into() });
    }
}

pub(super) fn path(keys: &[&str]) -> Vec<Step> {
    keys.iter().map(|key| Step::Key((*key).to_owned())).collect()
}

pub(super) fn below(path: &[Step], key: &str) -> Vec<Step> {
    path.iter().cloned().chain([Step::Key(key.to_owned())]).collect()
}
