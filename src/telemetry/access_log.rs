//! Where access lines go: as text, among the process's own lines. What is in one is [`AccessLine`]'s.

use super::{AccessLine, LogLines};

/// Where access lines go.
pub struct AccessLog(LogLines);

impl AccessLog {
    /// Writes them among these.
    pub fn new(lines: LogLines) -> AccessLog {
        AccessLog(lines)
    }

    /// Hands a line over.
    pub fn write(&self, line: &AccessLine<'_>) {
        let mut text = String::with_capacity(1_024);
        line.write(&mut text);
        text.push('\n');
        self.0.push(text.as_bytes());
    }
}
