//! How the simulator behaves: a script of rules, in TOML, and what a single request asks for in `x-simulator-…` headers. It says
//! what is wanted; `exchange` and `body` do it.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

/// When, in the course of an answer, something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// After the request was read, before a byte of the answer.
    #[serde(alias = "before-headers")]
    BeforeHeaders,
    /// After half of the events, or of the bytes where there are no events.
    #[serde(alias = "mid-stream")]
    MidStream,
}

impl FromStr for Moment {
    type Err = ();

    fn from_str(text: &str) -> Result<Moment, ()> {
        match text {
            "before-headers" | "before_headers" => Ok(Moment::BeforeHeaders),
            "mid-stream" | "mid_stream" => Ok(Moment::MidStream),
            _ => Err(()),
        }
    }
}

/// So many bytes are made up and held at once, and no more.
const SIZE_MAX: usize = 64 << 20;

/// A size in bytes of something the simulator makes up; at most 67,108,864, because it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Size(usize);

impl Size {
    /// The most there is.
    pub(super) const MAX: Size = Size(SIZE_MAX);
}

impl TryFrom<usize> for Size {
    type Error = String;

    fn try_from(bytes: usize) -> Result<Size, String> {
        if bytes <= SIZE_MAX {
            Ok(Size(bytes))
        } else {
            Err(format!("{bytes} bytes are more than the {SIZE_MAX} that the simulator makes up"))
        }
    }
}

impl From<Size> for usize {
    fn from(size: Size) -> usize {
        size.0
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Size, ()> {
        Size::try_from(text.parse::<usize>().map_err(drop)?).map_err(drop)
    }
}

/// Declares [`Behaviour`] once: its fields, how a later one overrides an earlier one, and the header of each field.
macro_rules! behaviour {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// What an answer is like. A field that is not set has the default it names.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Behaviour {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
        }

        impl Behaviour {
            /// Every field's name.
            #[cfg(test)]
            pub(crate) const FIELDS: &[&str] = &[$(stringify!($field)),*];

            /// Takes every field that `other` sets.
            pub fn override_with(&mut self, other: &Behaviour) {
                $(if other.$field.is_some() { self.$field.clone_from(&other.$field); })*
            }

            fn set(&mut self, field: &str, value: &str) -> Result<(), ()> {
                match field {
                    $(stringify!($field) => self.$field = Some(value.parse().map_err(drop)?),)*
                    _ => return Err(()),
                }
                Ok(())
            }
        }
    };
}

behaviour! {
    /// Waits this long before the answer's first byte. Default 0.
    latency_ms: u64,
    /// How many text events a stream has. Default 5.
    events: u64,
    /// Waits this long before each event but the first. Default 0: events go out as fast as they can.
    event_delay_ms: u64,
    /// Characters of text an event. Default 25.
    event_bytes: Size,
    /// Input tokens that were not read from the cache. Default 12.
    input_tokens: u64,
    /// Output tokens. Default 34.
    output_tokens: u64,
    /// Tokens read from the cache. Default 0.
    cache_read_tokens: u64,
    /// Tokens written to the cache for five minutes. Default 0.
    cache_write_tokens: u64,
    /// Tokens written to the cache for an hour. Default 0. OpenAI's shapes count them with the others.
    cache_write_1h_tokens: u64,
    /// The service tier that is reported; default the one asked for, or `default`.
    service_tier: String,
    /// Leaves the counts out of the body, and out of a stream's last event.
    omit_usage: bool,
    /// Leaves `InvokeModel`'s counts out of its headers.
    omit_usage_headers: bool,
    /// After how many events a stream in both directions says what it has consumed; each event costs the tokens above. Default 10.
    usage_every: u64,
    /// Sends the body in pieces of so many bytes, each flushed by itself.
    chunk_bytes: usize,
    /// Pads `InvokeModel`'s and `Converse`'s body to this size; smaller than the shape itself: the shape's.
    response_bytes: Size,
    /// 429 `ThrottlingException`.
    throttle: bool,
    /// Answers with this status, as an error.
    status: u16,
    /// The error's type; default by status.
    error_type: String,
    /// An event-stream exception of this type after half of the events; on SSE routes an error event.
    exception: String,
    /// TCP reset.
    reset: Moment,
    /// FIN without a proper end: no final chunk, no TLS `close_notify`.
    close: Moment,
    /// Never goes on.
    stall: Moment,
    /// Closes the connection when it has been idle this long.
    close_idle_ms: u64,
    /// Closes the connection after the answer, without having announced it.
    close_after_response: bool,
}

/// A request header under `x-simulator-` that means nothing or has a value that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a header of the simulator, or not a value of it")]
pub(super) struct BadHeader(String);

impl Behaviour {
    /// Takes what `x-simulator-…` request headers ask for: `x-simulator-latency-ms: 100`.
    pub(super) fn override_with_headers(&mut self, headers: &HeaderMap) -> Result<(), BadHeader> {
        for (name, value) in headers {
            let Some(field) = name.as_str().strip_prefix("x-simulator-") else { continue };
            let value = value.to_str().unwrap_or_default();
            self.set(&field.replace('-', "_"), value).map_err(|()| BadHeader(format!("{name}: {value}")))?;
        }
        Ok(())
    }
}

/// A script: a default, and rules that override it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// What holds for every request.
    pub default: Behaviour,
    /// Applied in order to the requests they match; a later rule overrides an earlier one, request headers override all.
    pub rules: Vec<Rule>,
}

impl Script {
    /// Reads TOML.
    pub fn parse(text: &str) -> Result<Script, toml::de::Error> {
        toml::from_str(text)
    }
}

/// A rule: which requests, and what of their behaviour. In TOML the fields of [`Behaviour`] stand beside the globs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Rule {
    /// A glob over service names; absent: every service.
    pub service: Option<String>,
    /// A glob over operation names.
    pub operation: Option<String>,
    /// A glob over model ids; a request without a model matches only an absent one.
    pub model: Option<String>,
    /// Only each n-th of the matching requests.
    pub every: Option<u64>,
    /// Only so many times.
    pub times: Option<u64>,
    /// What it overrides.
    #[serde(flatten)]
    pub behaviour: Behaviour,
}

/// serde's `flatten` and `deny_unknown_fields` do not go together, so the two halves are read one after the other.
impl TryFrom<toml::Table> for Rule {
    type Error = toml::de::Error;

    fn try_from(mut table: toml::Table) -> Result<Rule, toml::de::Error> {
        Ok(Rule {
            service: take(&mut table, "service")?,
            operation: take(&mut table, "operation")?,
            model: take(&mut table, "model")?,
            every: take(&mut table, "every")?,
            times: take(&mut table, "times")?,
            behaviour: table.try_into()?,
        })
    }
}

fn take<'de, T: Deserialize<'de>>(table: &mut toml::Table, key: &str) -> Result<Option<T>, toml::de::Error> {
    table.remove(key).map(toml::Value::try_into).transpose()
}

/// A script being played: its globs compiled, its rules counted.
pub(super) struct Playing {
    pub default: Behaviour,
    rules: Vec<Counted>,
}

struct Counted {
    service: Option<WildMatch>,
    operation: Option<WildMatch>,
    model: Option<WildMatch>,
    every: u64,
    times: u64,
    behaviour: Behaviour,
    matched: AtomicU64,
    applied: AtomicU64,
}

impl From<Script> for Playing {
    fn from(script: Script) -> Playing {
        let glob = |text: Option<String>| text.map(|text| WildMatch::new(&text));
        let counted = |rule: Rule| Counted {
            service: glob(rule.service),
            operation: glob(rule.operation),
            model: glob(rule.model),
            every: rule.every.unwrap_or(1).max(1),
            times: rule.times.unwrap_or(u64::MAX),
            behaviour: rule.behaviour,
            matched: AtomicU64::new(0),
            applied: AtomicU64::new(0),
        };
        Playing { default: script.default, rules: script.rules.into_iter().map(counted).collect() }
    }
}

impl Playing {
    /// What holds for one request; counts it.
    pub fn behaviour(&self, service: &str, operation: &str, model: Option<&str>) -> Behaviour {
        let mut behaviour = self.default.clone();
        for rule in &self.rules {
            if rule.matches(service, operation, model) && rule.is_due() {
                behaviour.override_with(&rule.behaviour);
            }
        }
        behaviour
    }
}

impl Counted {
    fn matches(&self, service: &str, operation: &str, model: Option<&str>) -> bool {
        self.service.as_ref().is_none_or(|glob| glob.matches(service))
            && self.operation.as_ref().is_none_or(|glob| glob.matches(operation))
            && self.model.as_ref().is_none_or(|glob| model.is_some_and(|model| glob.matches(model)))
    }

    fn is_due(&self) -> bool {
        let matched = self.matched.fetch_add(1, Ordering::Relaxed) + 1;
        matched.is_multiple_of(self.every) && self.applied.fetch_add(1, Ordering::Relaxed) < self.times
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn rules_match_by_globs_and_count() {
        let script = Script::parse(
            r#"
            default = { latency_ms = 1, input_tokens = 7 }
            [[rules]]
            service = "bedrock-runtime"
            operation = "Converse*"
            model = "anthropic.*"
            every = 2
            times = 2
            throttle = true
            latency_ms = 5
            "#,
        );
        let playing = Playing::from(script.unwrap());
        let throttled = |operation, model| playing.behaviour("bedrock-runtime", operation, model).throttle.is_some();
        assert!(!throttled("InvokeModel", Some("anthropic.x")));
        assert!(!throttled("Converse", Some("meta.x")));
        let fired: Vec<bool> = (0..8).map(|_| throttled("ConverseStream", Some("anthropic.x"))).collect();
        assert_eq!(fired, [false, true, false, true, false, false, false, false]);
        assert_eq!(playing.behaviour("bedrock", "X", None).input_tokens, Some(7));
    }

    #[test]
    fn unknown_fields_are_refused_everywhere() {
        for text in ["latency_ms = 1", "[default]\nlatency = 1", "[[rules]]\nthrotle = true", "[[rules]]\nevery = \"x\""] {
            assert!(Script::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_override_in_kebab_case() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        let mut behaviour = Behaviour { latency_ms: Some(3), ..Behaviour::default() };
        behaviour.override_with_headers(&headers("x-simulator-latency-ms", "100")).unwrap();
        behaviour.override_with_headers(&headers("x-simulator-reset", "mid-stream")).unwrap();
        behaviour.override_with_headers(&headers("x-other", "1")).unwrap();
        assert_eq!(behaviour, Behaviour { latency_ms: Some(100), reset: Some(Moment::MidStream), ..Behaviour::default() });
        assert!(behaviour.override_with_headers(&headers("x-simulator-latency-ms", "soon")).is_err());
        assert!(behaviour.override_with_headers(&headers("x-simulator-colour", "red")).is_err());
    }
}
