//! The configuration reference, written from the schemas: a section for each table of the files, a row for each key.

use std::fmt::Write;

use serde_json::{Map, Value};

/// What a name of the operator's own is called in headings.
const OWN_NAME: &str = "NAME";

const INTRODUCTION: &str = "\
# Configuration reference

Every key, as `tollgate schema --markdown` prints it from the types that read the files. [`conf/tollgate.toml`](../conf/tollgate.toml) \
says in order what each is for, with examples; `tollgate check -c FILE` says what is wrong with a file.

Editors complete and check with the JSON Schema: `tollgate schema > tollgate.schema.json`, and as the first line of the file \
`#:schema ./tollgate.schema.json`, which taplo and Even Better TOML obey. `tollgate schema prices` and `tollgate schema keys` are for \
the files that `prices.file` and `keys.file` name.

`NAME` in a heading is a name of your own. A key that is needed has to be written when its section is.
";

/// The page of these schemas.
pub fn page(schemas: &[Value]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for schema in schemas {
        let (title, about) = (text(schema, "title"), text(schema, "description"));
        let _ = write!(page, "\n## {title}\n\n{about}\n");
        section(&mut page, schema, schema, "");
    }
    page
}

/// The keys of a table, then the tables in it.
fn section(page: &mut String, root: &Value, table: &Value, path: &str) {
    let required = |key: &str| table["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key));
    let mut properties: Vec<(&String, &Value)> = table["properties"].as_object().into_iter().flatten().collect();
    properties.sort_by_key(|(key, _)| !required(key));
    let (tables, keys): (Vec<_>, Vec<_>) = properties.into_iter().partition(|(_, value)| table_in(root, value).is_some());
    if !keys.is_empty() {
        page.push_str("\n| key | value | default | |\n|---|---|---|---|\n");
    }
    for (key, value) in keys {
        let default = match value.get("default") {
            _ if required(key) => "needed".to_owned(),
            Some(default) => format!("`{}`", toml_of(default)),
            None => String::new(),
        };
        let (kind, about) = (cell(&kind(root, value)), cell(&about(root, value)));
        let _ = writeln!(page, "| `{key}` | {kind} | {default} | {about} |");
    }
    for (key, value) in tables {
        let Some(inner) = table_in(root, value) else { continue };
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let path = if inner.is_map { format!("{path}.{OWN_NAME}") } else { path };
        let (open, close) = if inner.is_array { ("[[", "]]") } else { ("[", "]") };
        let needed = if required(key) { " Needed." } else { "" };
        let _ = write!(page, "\n### `{open}{path}{close}`\n\n{}{needed}\n", about(root, value));
        section(page, root, inner.schema, &path);
    }
}

/// A table with keys of its own, and how many of it there may be.
struct Inner<'a> {
    schema: &'a Value,
    is_array: bool,
    is_map: bool,
}

fn table_in<'a>(root: &'a Value, value: &'a Value) -> Option<Inner<'a>> {
    let value = resolved(root, value);
    let array = value.get("items").map(|items| resolved(root, items));
    let map = value.get("additionalProperties").map(|values| resolved(root, values));
    let (is_array, is_map) = (array.is_some(), map.is_some_and(|values| values.get("properties").is_some()));
    let schema = array.or(map.filter(|_| is_map)).unwrap_or(value);
    schema.get("properties").map(|_| Inner { schema, is_array, is_map })
}

/// What a reference leads to.
fn resolved<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value.get("$ref").or_else(|| value.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    let pointed = reference.and_then(|reference| root.pointer(reference.trim_start_matches('#')));
    pointed.unwrap_or(value)
}

/// What may be written, in an operator's words.
fn kind(root: &Value, value: &Value) -> String {
    let value = resolved(root, value);
    if let Some(choices) = value["oneOf"].as_array() {
        return choices.iter().map(choice).collect::<Vec<_>>().join(", ");
    }
    if let Some(words) = value["enum"].as_array() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    match value["type"].as_str() {
        Some("array") => format!("array of {}", plural(&kind(root, &value["items"]))),
        Some("object") => format!("table of {}", plural(&kind(root, &value["additionalProperties"]))),
        Some("integer") => "whole number".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some(other) => other.to_owned(),
        None => "anything".to_owned(),
    }
}

/// `"word"`, or `{ word = … }`.
fn choice(choice: &Value) -> String {
    match (choice.get("const"), choice["properties"].as_object().and_then(|keys| keys.keys().next())) {
        (Some(word), _) => format!("`{word}`"),
        (None, Some(key)) => format!("`{{ {key} = … }}`"),
        (None, None) => choice["enum"].as_array().into_iter().flatten().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "string" => "strings".to_owned(),
        "whole number" => "whole numbers".to_owned(),
        kind => kind.strip_prefix("array of ").map_or_else(|| kind.to_owned(), |of| format!("arrays of {of}")),
    }
}

/// What is said of a key: its own words, those of its type if it has none, and those of every choice.
fn about(root: &Value, value: &Value) -> String {
    let inner = resolved(root, value);
    let own = if value.get("description").is_some() { value } else { inner };
    let choices = inner["oneOf"].as_array().into_iter().flatten();
    let choices = choices.filter(|choice| choice.get("description").is_some());
    let words = choices.map(|word| format!(" {}: {}", choice(word), lower_first(text(word, "description"))));
    text(own, "description").to_owned() + &words.collect::<String>()
}

/// In the middle of a sentence; `TLS` stays.
fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain([second]).chain(chars).collect(),
        _ => sentence.to_owned(),
    }
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// As TOML has it, on one line.
fn toml_of(value: &Value) -> String {
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => format!("{{ {} }}", entries(members)),
        Value::Array(elements) => format!("[{}]", elements.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn entries(members: &Map<String, Value>) -> String {
    members.iter().map(|(key, value)| format!("{key} = {}", toml_of(value))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> Value {
        json!({
            "title": "example.toml",
            "description": "An example.",
            "required": ["region"],
            "properties": {
                "fips": {"description": "Is it?", "type": "boolean", "default": false},
                "globs": {"description": "A | B.", "type": "array", "items": {"type": "string"}, "default": ["a", "b"]},
                "mode": {"description": "How.", "allOf": [{"$ref": "#/definitions/Mode"}], "default": {"url": "u"}},
                "people": {"description": "Who.", "type": "object", "additionalProperties": {"$ref": "#/definitions/Person"}},
                "region": {"description": "Where.", "type": "string"}
            },
            "definitions": {
                "Mode": {"oneOf": [
                    {"const": "fast", "description": "TLS first."},
                    {"type": "object", "properties": {"url": {"type": "string"}}, "description": "From there."}
                ]},
                "Person": {"properties": {
                    "pets": {"description": "Animals.", "type": "array", "items": {"$ref": "#/definitions/Pet"}}
                }},
                "Pet": {"properties": {"legs": {"description": "Walks on.", "type": "integer"}}}
            }
        })
    }

    #[test]
    fn keys_are_rows_and_tables_are_sections() {
        let page = page(&[example()]);
        let (_, made) = page.split_once("\n## example.toml\n\nAn example.\n").unwrap();
        let expected = r#"
| key | value | default | |
|---|---|---|---|
| `region` | string | needed | Where. |
| `fips` | `true`, `false` | `false` | Is it? |
| `globs` | array of strings | `["a", "b"]` | A \| B. |
| `mode` | `"fast"`, `{ url = … }` | `{ url = "u" }` | How. `"fast"`: TLS first. `{ url = … }`: from there. |

### `[people.NAME]`

Who.

### `[[people.NAME.pets]]`

Animals.

| key | value | default | |
|---|---|---|---|
| `legs` | whole number |  | Walks on. |
"#;
        assert_eq!(made, expected);
    }
}
