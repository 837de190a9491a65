//! What a request carries upstream, as far as it is known: a body, held whole, or a conversation, never both.

use super::{body::HeldBody, conversation::Account};

/// See the module.
#[derive(Default)]
pub enum Content {
    /// Nothing was let in yet, or ever.
    #[default]
    Unknown,
    /// So many bytes of a body came, and are not held: not yet, or no longer.
    Read(u64),
    /// A body; its bytes are `exchange`'s.
    Body(HeldBody),
    /// A stream of events in each direction.
    Conversation(Account),
}

impl Content {
    /// The body.
    pub fn body(&self) -> Option<&HeldBody> {
        match self {
            Content::Body(body) => Some(body),
            _ => None,
        }
    }

    /// The conversation.
    pub fn conversation(&self) -> Option<&Account> {
        match self {
            Content::Conversation(account) => Some(account),
            _ => None,
        }
    }

    /// Bytes from the client.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Unknown => 0,
            Content::Read(bytes) => *bytes,
            Content::Body(body) => body.length,
            Content::Conversation(account) => account.bytes_in,
        }
    }

    /// Whether the client left while its answer was read on.
    pub fn client_left(&self) -> bool {
        self.body().is_some_and(|body| body.client_left)
    }

    /// It does.
    pub fn client_leaves(&mut self) {
        if let Content::Body(body) = self {
            body.client_left = true;
        }
    }
}
