//! In whose words a route answers: AWS's, OpenAI's or Anthropic's.

use super::path::decode_segment;

/// The shape of errors and of usage on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// AWS REST-JSON: `x-amzn-ErrorType` and `{"__type","message"}`.
    Aws,
    /// OpenAI: `{"error":{"message","type","code"}}`.
    OpenAi,
    /// Anthropic: `{"type":"error","error":{"type","message"}}`.
    Anthropic,
}

impl Dialect {
    /// The dialect of a path below any service prefix: `/openai/…` and `/v1/…` are OpenAI's, `/anthropic/…` and `/v1/messages` Anthropic's,
    /// however they are escaped: routing decodes them as well.
    pub fn of_path(path: &[u8]) -> Dialect {
        let mut segments = path.split(|&b| b == b'/').filter(|s| !s.is_empty());
        let mut next = || segments.next().map(|segment| std::str::from_utf8(segment).map(decode_segment).unwrap_or_default());
        match (next().as_deref(), next().as_deref()) {
            (Some("anthropic"), _) | (Some("v1"), Some("messages")) => Dialect::Anthropic,
            // A stage of API Gateway's.
            (Some("v1"), Some("model")) => Dialect::Aws,
            (Some("openai" | "v1"), _) => Dialect::OpenAi,
            _ => Dialect::Aws,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_segment_decides() {
        assert_eq!(Dialect::of_path(b"/openai/v1/chat/completions"), Dialect::OpenAi);
        assert_eq!(Dialect::of_path(b"//v1/models"), Dialect::OpenAi);
        assert_eq!(Dialect::of_path(b"/%6fpenai/v1/chat/completions"), Dialect::OpenAi);
        assert_eq!(Dialect::of_path(b"/%76%31"), Dialect::OpenAi);
        assert_eq!(Dialect::of_path(b"/anthropi%63/v1/messages"), Dialect::Anthropic);
        assert_eq!(Dialect::of_path(b"/%256fpenai"), Dialect::Aws);
        assert_eq!(Dialect::of_path(b"/\xff%6f"), Dialect::Aws);
        assert_eq!(Dialect::of_path(b"/anthropic/v1/messages"), Dialect::Anthropic);
        assert_eq!(Dialect::of_path(b"/v1/messages"), Dialect::Anthropic);
        assert_eq!(Dialect::of_path(b"/v1/model/m/converse"), Dialect::Aws);
        assert_eq!(Dialect::of_path(b"/v1/chat/messages"), Dialect::OpenAi);
        assert_eq!(Dialect::of_path(b"/model/anthropic/converse"), Dialect::Aws);
        assert_eq!(Dialect::of_path(b"/"), Dialect::Aws);
    }
}
