//! An error with what caused it, on one line.

use std::error::Error;

/// Each cause after a colon; those that the text has already, because an error tells its cause itself, are not told twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_once() {
        let error = anyhow::Error::msg("refused").context("no answer: refused").context("cannot ask").context("no keys");
        assert_eq!(with_causes(error.as_ref()), "no keys: cannot ask: no answer: refused");
    }
}
