//! A list of globs as the configuration has it, compiled, with its place there: whoever is refused is told which line it was.

use wildmatch::WildMatch;

use crate::pricing::spellings;

/// What a list's lines are about, and its key in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Services,
    Operations,
    Models,
    Regions,
    ServiceTiers,
}

impl Subject {
    pub const ALL: [Subject; 5] =
        [Subject::Services, Subject::Operations, Subject::Models, Subject::Regions, Subject::ServiceTiers];

    pub fn key(self) -> &'static str {
        match self {
            Subject::Services => "services",
            Subject::Operations => "operations",
            Subject::Models => "models",
            Subject::Regions => "regions",
            Subject::ServiceTiers => "service_tiers",
        }
    }
}

/// Globs, and where they are written.
#[derive(Debug)]
pub(super) struct List {
    /// `tenants.acme.models`
    pub key: String,
    globs: Vec<Glob>,
    /// How requests may write the models that are named without wildcard, each with the number of its line.
    spellings: Vec<(usize, String)>,
    /// One of them is `*`.
    everything: bool,
}

/// What most globs are needs no search.
#[derive(Debug)]
enum Glob {
    Exact(String),
    Prefix(String),
    Pattern(WildMatch),
}

impl List {
    /// What is allowed: letter for letter.
    pub fn allowing(key: String, globs: &[String]) -> List {
        let everything = globs.iter().any(|glob| glob == "*");
        List { key, globs: globs.iter().map(|glob| Glob::new(glob)).collect(), spellings: Vec::new(), everything }
    }

    /// What is denied: in whatever case, so that no spelling gets by.
    pub fn denying(key: String, globs: &[String]) -> List {
        let lower: Vec<String> = globs.iter().map(|glob| glob.to_ascii_lowercase()).collect();
        List::allowing(key, &lower)
    }

    /// Models that are denied.
    pub fn denying_models(key: String, globs: &[String]) -> List {
        let of_line = |(line, glob): (usize, &String)| {
            let names = spellings(&glob.to_ascii_lowercase());
            names.into_iter().map(move |name| (line, name))
        };
        List { spellings: globs.iter().enumerate().flat_map(of_line).collect(), ..List::denying(key, globs) }
    }

    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// Whether `*` is in it: it has what nobody has a name for yet.
    pub fn has_everything(&self) -> bool {
        self.everything
    }

    pub fn has(&self, name: &str) -> bool {
        self.everything || self.globs.iter().any(|glob| glob.matches(name))
    }

    /// The key of the line that has a name, of a list that denies. `folded`: the name as [`fold`] makes it.
    pub fn line_with(&self, folded: &str) -> Option<String> {
        let line = self.globs.iter().position(|glob| glob.matches(folded))?;
        Some(self.line(line))
    }

    /// The key of the line whose model a request may write so.
    pub fn line_spelt(&self, folded: &str) -> Option<String> {
        let (line, _) = self.spellings.iter().find(|(_, name)| name == folded)?;
        Some(self.line(*line))
    }

    fn line(&self, line: usize) -> String {
        format!("{}[{line}]", self.key)
    }
}

/// A name as lists that deny have it.
pub(super) fn fold(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

impl Glob {
    fn new(glob: &str) -> Glob {
        let is_plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'/'));
        match glob.strip_suffix('*') {
            Some(prefix) if is_plain(prefix) => Glob::Prefix(prefix.to_owned()),
            None if is_plain(glob) => Glob::Exact(glob.to_owned()),
            _ => Glob::Pattern(WildMatch::new(glob)),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Glob::Exact(exact) => name == exact,
            Glob::Prefix(prefix) => name.starts_with(prefix),
            Glob::Pattern(pattern) => pattern.matches(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_glob_matches_what_wildmatch_matches(glob in "[ab:]{0,3}[ab*?]{0,3}[*]?", name in "[ab:]{0,6}") {
            prop_assert_eq!(Glob::new(&glob).matches(&name), WildMatch::new(&glob).matches(&name));
        }

        #[test]
        fn a_denying_list_has_a_name_in_every_case(glob in "[aB:]{0,3}[Ab*?]{0,3}[*]?", name in "[aB:]{0,6}") {
            let list = List::denying("k".to_owned(), std::slice::from_ref(&glob));
            let expected = WildMatch::new(&glob.to_lowercase()).matches(&name.to_lowercase());
            prop_assert_eq!(list.line_with(&fold(&name)).is_some(), expected);
            prop_assert_eq!(list.line_with(&fold(&name.to_uppercase())).is_some(), expected);
        }
    }

    #[test]
    fn the_line_is_named_by_its_place() {
        let list = List::denying("tenants.a.deny.models".to_owned(), &["x".to_owned(), "y*".to_owned()]);
        assert_eq!(list.line_with(&fold("Yz ")).as_deref(), Some("tenants.a.deny.models[1]"));
        assert_eq!(list.line_with("z"), None);
    }
}
