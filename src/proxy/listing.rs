//! A list of models or profiles on its way to a caller who is shown only what it may use: held whole, then sent on without the rest.

use std::sync::Arc;

use bytes::Bytes;
use pingora_http::ResponseHeader;

use super::{Denial, admit::Admitted};
use crate::{auth::Principal, bedrock::listing::Listing, snapshot::Tenant};

/// All models of a region take some hundred kilobytes; lists of profiles come in pages.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A list that is held back.
pub struct HeldList {
    listing: Listing,
    tenant: Arc<Tenant>,
    principal: Arc<Principal>,
    held: Vec<u8>,
}

impl HeldList {
    /// For the answer to a request, if its list is one to filter.
    pub fn of(admitted: &Admitted, response: &ResponseHeader) -> Option<HeldList> {
        let tenant = admitted.tenant();
        if !tenant.policy.filter_lists || !response.status.is_success() {
            return None;
        }
        let listing = Listing::of(admitted.route().operation?.0)?;
        Some(HeldList { listing, tenant: tenant.clone(), principal: admitted.principal().clone(), held: Vec::new() })
    }

    /// A piece of it; at the end, what is left of the whole. Whether that is so.
    ///
    /// # Errors
    /// It is no list, or too long to hold: what nobody has looked through goes to nobody.
    pub fn chunk(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<bool, Denial> {
        let piece = body.take().unwrap_or_default();
        if self.held.len().saturating_add(piece.len()) > HELD_BYTES_MAX {
            return Err(Denial::Unpassable("the list is too long to be filtered"));
        }
        self.held.extend_from_slice(&piece);
        // An empty piece goes on being one: none at all would be the end.
        *body = Some(if end { self.filtered()? } else { Bytes::new() });
        Ok(end)
    }

    fn filtered(&mut self) -> Result<Bytes, Denial> {
        let rights = self.tenant.policy.of_groups(&self.principal.groups);
        let kept = self.listing.filter(&std::mem::take(&mut self.held), |name| rights.check_model(name).is_ok());
        kept.map(Bytes::from).ok_or(Denial::Unpassable("it is not the list that it should be"))
    }
}
