//! The configuration as JSON Schema, made from the types that read it: editors complete and check by it, and the reference page is
//! written from it. It knows keys and their types; what values mean to each other is `check`'s business.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use super::{Config, KeysFile};
use crate::pricing;

/// Of `tollgate.toml`.
pub fn configuration() -> Value {
    of::<Config>("tollgate.toml", "The configuration of tollgate.")
}

/// Of the file that `prices.file` names.
pub fn prices() -> Value {
    of::<pricing::Overrides>("prices.toml", "Prices of one's own, names for opaque ones, and facts about models.")
}

/// Of the file that `keys.file` names.
pub fn keys() -> Value {
    of::<KeysFile>("keys.toml", "Access keys and API keys of tenants, as `tollgate key new` prints them.")
}

/// Draft 7: the newest that the TOML editors' validators know.
fn of<T: JsonSchema>(title: &str, description: &str) -> Value {
    let mut settings = SchemaSettings::draft07();
    // Before a reference loses what stands beside it.
    settings.transforms.insert(0, Box::new(RecursiveTransform(as_toml_has_it)));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.insert("description".to_owned(), description.into());
    schema.to_value()
}

/// TOML has no null: what is optional is left out. And a description is a text, however the comment it comes from is wrapped.
fn as_toml_has_it(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            schema.extend(only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in it.
    fn nodes(value: &Value) -> Vec<&Value> {
        let mut found = vec![value];
        match value {
            Value::Object(members) => found.extend(members.values().flat_map(nodes)),
            Value::Array(elements) => found.extend(elements.iter().flat_map(nodes)),
            _ => {}
        }
        found
    }

    #[test]
    fn nothing_is_null_and_no_key_is_unknown_and_unrefused() {
        for schema in [configuration(), prices(), keys()] {
            for node in nodes(&schema) {
                assert!(!node.is_null() && *node != "null", "{schema:#}");
                let is_table = node.get("properties").is_some_and(|properties| properties.get("type").is_none());
                assert!(!is_table || node["additionalProperties"] == false, "{node:#}");
            }
        }
    }

    #[test]
    fn every_key_is_described() {
        for schema in [configuration(), prices(), keys()] {
            let types = schema["definitions"].as_object().into_iter().flat_map(|definitions| definitions.values());
            let mut seen = 0;
            for (key, property) in types.chain([&schema]).filter_map(|table| table.get("properties")?.as_object()).flatten() {
                let text = property["description"].as_str().unwrap_or_else(|| panic!("{key}: {property}"));
                assert!(text.ends_with(['.', ':', '?', ')']) && !text.contains('\n') && !text.contains("[`"), "{key}: {text}");
                seen += 1;
            }
            assert!(seen > 5, "{seen} keys");
        }
    }
}
