//! The table of operations: AWS's own from `operations.tsv` (generated), and the OpenAI- and Anthropic-shaped routes from
//! `surfaces.tsv`. It says what exists, not where a request goes: that is `routing`.

use std::sync::LazyLock;

use super::Service;

/// Which bodies of an operation are event streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Neither: one request body, one response body.
    Neither,
    /// The response is an event stream.
    Response,
    /// Both are: `InvokeModelWithBidirectionalStream`.
    Both,
}

/// One operation as AWS spells it.
#[derive(Debug)]
pub struct Operation {
    /// The service that has it.
    pub service: Service,
    /// AWS's name: `ConverseStream`.
    pub name: &'static str,
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// The path pattern with labels in braces: `/model/{modelId}/converse-stream`. A trailing slash counts.
    pub uri: &'static str,
    /// Which bodies are event streams.
    pub streams: Streams,
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    [include_str!("operations.tsv"), include_str!("surfaces.tsv")]
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse_row)
        .collect()
});

/// Every known operation. The AWS rows come first, sorted by service and name.
pub fn operations() -> &'static [Operation] {
    &OPERATIONS
}

fn parse_row(line: &'static str) -> Option<Operation> {
    let mut fields = line.split('\t');
    Some(Operation {
        service: fields.next()?.parse().ok()?,
        name: fields.next()?,
        method: fields.next()?,
        uri: fields.next()?,
        streams: match fields.next()? {
            "-" => Streams::Neither,
            "out" => Streams::Response,
            "both" => Streams::Both,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_both_tables_is_an_operation() {
        let rows = |text: &str| text.lines().filter(|l| !l.starts_with('#')).count();
        let aws = rows(include_str!("operations.tsv"));
        assert_eq!(aws, 523);
        assert_eq!(operations().len(), aws + rows(include_str!("surfaces.tsv")));
    }
}
