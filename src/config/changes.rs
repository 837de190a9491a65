//! What changed from one configuration to the next, as the file has it: key by key, in the words of the file, with stars in place of
//! whatever should not have been written there. What the named files contain is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    document::{KeyPath, Node, Step, Value},
    mask::{is_secret, is_shown, mask},
};

/// Every value of a file, by its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    values: BTreeMap<String, String>,
}

/// One key that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `tenants.acme.limits.requests_per_minute`
    pub key: String,
    /// As it was written; nothing if it was not.
    pub before: Option<String>,
    /// As it is written; nothing if it is not.
    pub after: Option<String>,
}

impl Written {
    pub(super) fn of(root: &Node) -> Written {
        let mut written = Written::default();
        written.take(root, &KeyPath::default());
        written
    }

    /// What is different in `later`, in the order of keys.
    pub fn changes(&self, later: &Written) -> Vec<Change> {
        let keys: BTreeSet<&String> = self.values.keys().chain(later.values.keys()).collect();
        let change = |key: &String| {
            let [before, after] = [self, later].map(|written| written.values.get(key));
            (before != after).then(|| Change { key: key.clone(), before: before.cloned(), after: after.cloned() })
        };
        keys.into_iter().filter_map(change).collect()
    }

    fn take(&mut self, node: &Node, path: &KeyPath) {
        match &node.value {
            Value::Table(entries) => entries.iter().for_each(|entry| self.take(&entry.node, &path.clone().key(&entry.key))),
            Value::Array(nodes) if nodes.iter().any(|node| matches!(node.value, Value::Table(_))) => {
                nodes.iter().enumerate().for_each(|(index, node)| self.take(node, &path.clone().index(index)));
            }
            _ => {
                self.values.insert(path.to_string(), shown(node, &path.0));
            }
        }
    }
}

fn shown(node: &Node, path: &[Step]) -> String {
    if is_secret(path) && !is_shown(path, &node.value) {
        return "***".to_owned();
    }
    mask(&text(&node.value)).into_owned()
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime => "a date".to_owned(),
        Value::Array(nodes) => format!("[{}]", nodes.iter().map(|node| text(&node.value)).collect::<Vec<_>>().join(", ")),
        Value::Table(_) | Value::Placeholder => "{}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Written {
        Written::of(&Node::root(toml::de::DeTable::parse(text).unwrap()))
    }

    fn told(before: &str, after: &str) -> Vec<String> {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let changes = written(before).changes(&written(after));
        changes.into_iter().map(|change| format!("{}: {} → {}", change.key, shown(change.before), shown(change.after))).collect()
    }

    #[test]
    fn changes_are_told_key_by_key_in_the_words_of_the_file() {
        let before = "[tenants.a]\nmodels = [\"x\", \"y\"]\n[tenants.a.limits]\nrequests_per_minute = 600\n[[tenants.a.quotas]]\nusd_per_day = \"1\"\n";
        let after = "[tenants.a]\nmodels = [\"x\"]\n[tenants.a.limits]\nrequests_per_minute = 60_0\n[[tenants.a.quotas]]\nusd_per_day = \"2\"\n[tenants.b]\ntime_zone=\"UTC\"\n";
        assert_eq!(
            told(before, after),
            [
                "tenants.a.models: [\"x\", \"y\"] → [\"x\"]",
                "tenants.a.quotas[0].usd_per_day: \"1\" → \"2\"",
                "tenants.b.time_zone: - → \"UTC\"",
            ]
        );
        assert_eq!(told(before, before), Vec::<String>::new());
    }

    #[test]
    fn secrets_are_starred_and_where_they_are_is_not() {
        let after = "[credentials]\nsecret_access_key = \"wJalr\"\nsession_token = { file = \"b\" }\n\
            [upstream.endpoints]\nbedrock = \"https://me:pw@host\"\n\
            [vending]\nsealing_keys = [{ id = \"1\", secret = { env = \"wJalr/K7\" } }, { id = \"2\", secret = { env = \"KEY\" } }]\n\
            [issuers.corp]\nkey_set = { url = \"https://idp.example/keys?token=wJalr\" }\n\
            [tenants.secret-project]\ntime_zone = \"UTC\"\n\
            [groups.secret-agents]\nrestrict = true\n[profiles]\nsecret-model = \"nova\"\n";
        let told = told("", after).join("\n");
        let wrong = "[vending]\nsealing_keys = [\"wJalr\"]\n[credentials]\naccess_key_id = \"wJalr\"\n";
        assert!(!self::told("", wrong).join("\n").contains("wJalr"));
        assert!(!told.contains("wJalr") && !told.contains("pw@"), "{told}");
        for line in [
            "session_token.file: - → \"b\"",
            "secret.env: - → ***",
            "secret.env: - → \"KEY\"",
            "project.time_zone: - → \"UTC\"",
            "agents.restrict: - → true",
            "model: - → \"nova\"",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
    }
}
