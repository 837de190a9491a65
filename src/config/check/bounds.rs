//! Bounds that would refuse everything or bound nothing, and filters that filter nothing: of `[routing]`, `[bodies]`, `[bidirectional]`,
//! `[downstream]`, `[metering]`, `[account]` and `[log]`, and the seconds of all sections.

use tracing_subscriber::EnvFilter;

use super::{Check, KeyPath, words};
use crate::config::{Config, suggest::suggest};

/// InvokeModel's own limit: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>.
const BEDROCK_BODY_BYTES_MAX: u64 = 25_000_000;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The head of a signed request has some 900 bytes, and one with a token more.
const HEADER_BYTES_MIN: usize = 1_024;

/// An event has its prelude, its headers and a checksum, and a signed one another around it.
const EVENT_BYTES_MIN: usize = 256;

/// Ten years. What is much longer cannot be added to a time of day.
const SECONDS_MAX: u64 = 315_360_000;

pub(super) fn check(check: &mut Check<'_>, config: &Config) {
    for (index, suffix) in config.routing.host_suffixes.iter().enumerate() {
        if !words::is_host_name(suffix) {
            let path = KeyPath::of("routing").key("host_suffixes").index(index);
            check.error(path, "not a DNS name", "write it without scheme, port, `*` or dots at its ends: `gw.example.com`");
        }
    }
    bodies(check, config);
    amounts(check, config);
    leaving(check, config);
    account(check, config);
    log(check, &config.log.level);
    if config.log.access_one_in == 0 {
        let path = KeyPath::of("log").key("access_one_in");
        check.error(path, "one in none", "write 1 for a line of every request, or `access = false` for no line of any");
    }
}

fn bodies(check: &mut Check<'_>, config: &Config) {
    let bodies = &config.bodies;
    let at = |key: &str| KeyPath::of("bodies").key(key);
    if bodies.bytes_max > BEDROCK_BODY_BYTES_MAX {
        check.warning(
            at("bytes_max"),
            format!("{} bytes is more than Bedrock takes", bodies.bytes_max),
            "25000000 is InvokeModel's limit: larger bodies are carried only to be refused",
        );
    }
    if bodies.in_flight_bytes_max < bodies.bytes_max {
        check.error(
            at("in_flight_bytes_max"),
            format!("{} is less than one body may have: `bytes_max` is {}", bodies.in_flight_bytes_max, bodies.bytes_max),
            "raise it to at least `bytes_max`, better to many times that",
        );
    }
}

fn amounts(check: &mut Check<'_>, config: &Config) {
    let counts = [
        ("bodies", "bytes_max", config.bodies.bytes_max),
        ("bidirectional", "event_bytes_max", config.bidirectional.event_bytes_max as u64),
        ("downstream", "connections_max", config.downstream.connections_max),
        ("downstream", "requests_max", config.downstream.requests_max),
        ("downstream", "requests_per_connection_max", u64::from(config.downstream.requests_per_connection_max)),
        ("downstream", "streams_per_connection_max", u64::from(config.downstream.streams_per_connection_max)),
        ("downstream", "header_bytes_max", config.downstream.header_bytes_max as u64),
    ];
    let seconds = [
        ("bodies", "read_seconds_max", config.bodies.read_seconds_max),
        ("bodies", "head_start_seconds", config.bodies.head_start_seconds),
        ("bidirectional", "idle_seconds_max", config.bidirectional.idle_seconds_max),
        ("bidirectional", "total_seconds_max", config.bidirectional.total_seconds_max),
        ("downstream", "header_seconds_max", config.downstream.header_seconds_max),
        ("downstream", "idle_seconds_max", config.downstream.idle_seconds_max),
        ("upstream", "connect_seconds_max", config.upstream.connect_seconds_max),
        ("upstream", "silence_seconds_max", config.upstream.silence_seconds_max),
        ("upstream", "idle_seconds_max", config.upstream.idle_seconds_max),
        ("account", "reservation_seconds_max", config.account.reservation_seconds_max),
    ];
    let seconds_or_none = [
        ("bodies", "wait_seconds_max", config.bodies.wait_seconds_max),
        ("downstream", "leave_seconds", config.downstream.leave_seconds),
        ("downstream", "drain_seconds_max", config.downstream.drain_seconds_max),
        ("metering", "read_on_seconds_max", config.metering.read_on_seconds_max),
        ("roles", "wait_seconds_max", config.roles.wait_seconds_max),
        ("traces", "export_seconds_max", config.traces.as_ref().map_or(0, |traces| traces.export_seconds_max)),
        ("log", "access_slow_seconds", config.log.access_slow_seconds),
    ];
    for (section, key, _) in counts.into_iter().chain(seconds).filter(|(.., value)| *value == 0) {
        if (section, key) == ("upstream", "idle_seconds_max") {
            let help = "remove the line to get the default, or write 1 or more";
            check.error(
                KeyPath::of(section).key(key),
                "0 would use no connection twice: every request would wait for a handshake",
                help,
            );
            continue;
        }
        check.error(KeyPath::of(section).key(key), "0 would refuse every request", "remove the line to get the default");
    }
    let (head, event) = (config.downstream.header_bytes_max, config.bidirectional.event_bytes_max);
    for (section, key, value, least) in
        [("downstream", "header_bytes_max", head, HEADER_BYTES_MIN), ("bidirectional", "event_bytes_max", event, EVENT_BYTES_MIN)]
    {
        if (1..least).contains(&value) {
            let help = format!("write at least {least}, or remove the line to get the default");
            check.error(KeyPath::of(section).key(key), format!("{value} bytes: hardly anything fits"), help);
        }
    }
    let seconds = seconds.into_iter().chain(seconds_or_none).map(|(section, key, value)| (KeyPath::of(section).key(key), value));
    for (path, value) in seconds.chain(seconds_of_issuers(config)).filter(|(_, value)| *value > SECONDS_MAX) {
        let help = format!("write at most {SECONDS_MAX}, better how long it is really to be");
        check.error(path, format!("{value} seconds are more than ten years"), help);
    }
}

fn seconds_of_issuers(config: &Config) -> impl Iterator<Item = (KeyPath, u64)> {
    config.issuers.iter().flat_map(|(name, issuer)| {
        [
            ("key_set_refresh_seconds", issuer.key_set_refresh_seconds),
            ("key_set_outage_seconds_max", issuer.key_set_outage_seconds_max),
            ("token_lifetime_seconds_max", issuer.token_lifetime_seconds_max),
        ]
        .map(|(key, value)| (KeyPath::of("issuers").key(name).key(key), value))
    })
}

fn leaving(check: &mut Check<'_>, config: &Config) {
    let (leave, drain) = (config.downstream.leave_seconds, config.downstream.drain_seconds_max);
    let (total, path) = (config.bidirectional.total_seconds_max, KeyPath::of("bidirectional").key("total_seconds_max"));
    // The default is nobody's slip.
    if (drain + 1..=SECONDS_MAX).contains(&total) && check.root.has(&path.0) {
        let message = format!("{total} seconds: a stop or an upgrade cuts streams after `downstream.drain_seconds_max`, {drain}");
        check.warning(path, message, "lower it: Bedrock ends such a stream after 480 seconds itself");
    }
    if leave > 0 && leave >= drain {
        check.error(
            KeyPath::of("downstream").key("leave_seconds"),
            format!("{leave} seconds: nothing is left for running requests, `drain_seconds_max` is {drain}"),
            "lower it, or raise `drain_seconds_max`, which it is a part of",
        );
    }
}

fn account(check: &mut Check<'_>, config: &Config) {
    let (held, silent) = (config.account.reservation_seconds_max, config.upstream.silence_seconds_max);
    if (1..=silent).contains(&held) {
        check.warning(
            KeyPath::of("account").key("reservation_seconds_max"),
            format!("{held} seconds: a stream may be silent as long, `upstream.silence_seconds_max` is {silent}"),
            "raise it above the longest stream: after it, what a running request holds is given to others",
        );
    }
}

fn log(check: &mut Check<'_>, level: &str) {
    let path = KeyPath::of("log").key("level");
    let help = "write a level, `info`, or levels by module: `info,tollgate::auth=debug`";
    if let Err(error) = EnvFilter::builder().parse(level) {
        check.error(path, format!("not a filter: {error}"), help);
        return;
    }
    // The syntax takes a lone word that is no level for the name of a module, and logs nothing else.
    let lone = || level.split(',').map(str::trim).filter(|word| !word.contains(['=', '[']));
    let levels = lone().filter(|word| is_level(word)).count();
    for word in lone().filter(|word| !is_level(word)) {
        let message = format!("`{}` is not a level", word.escape_debug());
        match suggest(word, LEVELS) {
            Some(near) => check.error(path.clone(), message, format!("did you mean `{near}`?")),
            None if levels == 0 => check.warning(path.clone(), message + ": nothing but a module of that name is logged", help),
            None => in_vain(check, word),
        }
    }
    level.split(',').map(str::trim).filter(|word| word.contains(['=', '['])).for_each(|directive| in_vain(check, directive));
}

fn in_vain(check: &mut Check<'_>, directive: &str) {
    if asks_in_vain(directive) {
        let message =
            format!("`{}` asks for lines that are never logged: tokens and keys could be in them", directive.escape_debug());
        let help = "of other modules than `tollgate` there is nothing below `debug`, and of Pingora's nothing at all";
        check.warning(KeyPath::of("log").key("level"), message, help);
    }
}

/// As `telemetry::logging::is_fit` has it; a test of `tollgate check` holds them together. A module stands for all whose names begin so.
fn asks_in_vain(directive: &str) -> bool {
    let (module, level) = match directive.split_once(['=', '[']) {
        Some((module, rest)) => (module, rest.rsplit('=').next().unwrap_or_default()),
        None => (directive, "trace"),
    };
    if module.is_empty() || is_level(module) || module.starts_with("tollgate") || "tollgate".starts_with(module) {
        return false;
    }
    let fit: &[&str] = if module.starts_with("pingora") { &["off"] } else { &["off", "error", "warn", "info", "debug"] };
    !fit.iter().any(|known| known.eq_ignore_ascii_case(level))
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|known| known.eq_ignore_ascii_case(word))
}
