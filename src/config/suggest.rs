//! "Did you mean": the nearest of the words that are allowed.

/// The word that was most probably meant, if any is near enough that one could mistype it.
pub(super) fn suggest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = normal(word);
    allowed
        .into_iter()
        .map(|candidate| (distance(&word, &normal(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (word.len().min(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// One number for another is one slip, however it is spelt.
fn distance(word: &str, candidate: &str) -> usize {
    let slips = strsim::damerau_levenshtein(word, candidate);
    if singular(word) == singular(candidate) { slips.min(1) } else { slips }
}

fn singular(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').unwrap_or(word).to_owned(),
    }
}

/// Case and the choice between `-`, `_` and nothing are not what people mistake words for.
fn normal(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).take(100).collect()
}

/// "`a`, `b` or `c`".
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_different_word_is_not() {
        let keys = ["models", "services", "operations", "limits"];
        assert_eq!(suggest("modles", keys), Some("models"));
        assert_eq!(suggest("Limits", keys), Some("limits"));
        assert_eq!(suggest("model", keys), Some("models"));
        assert_eq!(suggest("budget", keys), None);
        for bodies in ["body", "bodys", "bodies", "Bodie"] {
            assert_eq!(suggest(bodies, ["bodies", "roles"]), Some("bodies"), "{bodies}");
        }
        assert_eq!(suggest("", keys), None);
        assert_eq!(suggest("BEDROCK_RUNTIME", ["bedrock", "bedrock-runtime"]), Some("bedrock-runtime"));
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
