//! A line of the process's own log, as JSON, by the names that access lines have: one stream, one shape.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes `ts`, `level`, `msg`, what belongs to the event, and `target`: which part of the program speaks.
pub(super) struct OwnLine;

impl<S, N> FormatEvent<S, N> for OwnLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let Said { message, members, target } = said;
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let target = target.unwrap_or_else(|| json(event.metadata().target()));
        writeln!(writer, r#"{{"ts":"{}","level":"{level}","msg":{message}{members},"target":{target}}}"#, Timestamp::now())
    }
}

/// What an event says, as JSON.
struct Said {
    message: String,
    members: String,
    target: Option<String>,
}

impl Default for Said {
    fn default() -> Said {
        Said { message: json(""), members: String::new(), target: None }
    }
}

impl Said {
    fn add(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        match field.name() {
            "message" => self.message = json(value),
            // Of a record of the `log` crate, where the event's own target is always `log`.
            "log.target" => self.target = Some(json(value)),
            name if name.starts_with("log.") => {}
            name => self.members += &format!(",{}:{}", json(name), json(value)),
        }
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that came of it, without their times.
    fn lines(speak: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(OwnLine).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let untimed = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let ts = line.as_object_mut().unwrap().remove("ts").unwrap();
            ts.as_str().unwrap().parse::<Timestamp>().unwrap();
            line
        };
        text.lines().map(untimed).collect()
    }

    #[test]
    fn a_line_has_the_names_of_access_lines_and_its_own_members() {
        let target = module_path!();
        let said = lines(|| {
            tracing::warn!(tenant = "a\"b", rows = 7_u64, held = true, error = %"x\ny", waited = ?Some(1), "not {}", "well");
            tracing::info!(difference = -1, ratio = 0.5);
        });
        let warned = json!({
            "level": "warn", "msg": "not well", "tenant": "a\"b", "rows": 7, "held": true, "error": "x\ny", "waited": "Some(1)",
            "target": target,
        });
        assert_eq!(said, [warned, json!({"level": "info", "msg": "", "difference": -1, "ratio": 0.5, "target": target})]);
    }

    #[test]
    fn a_record_of_the_log_crate_keeps_its_target_and_tells_no_source_lines() {
        let said = lines(|| {
            tracing::event!(target: "log", tracing::Level::ERROR, { log.target = "pingora", log.line = 7 }, "broken");
        });
        assert_eq!(said, [json!({"level": "error", "msg": "broken", "target": "pingora"})]);
    }
}
