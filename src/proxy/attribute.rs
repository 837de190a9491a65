//! Whose request it is, for Bedrock's invocation logs: the tenant's name put into the request's metadata, where configured. In a header for
//! `InvokeModel`, in the body for `Converse`; elsewhere there is no place for it, but a header that the client sends says no other tenant's.

use http::HeaderValue;

use pingora_core::protocols::http::ServerSession;

use super::{Denial, Passage, admit::Admitted, body::ReadBody};
use crate::bedrock::metadata::{self, HEADER, MetadataError, Place};

/// Puts the gateway's own metadata into the body, or notes the header that is sent for it.
pub fn attribute(session: &ServerSession, passage: &Passage, admitted: &mut Admitted, body: &mut ReadBody) -> Result<(), Denial> {
    let Some(key) = &passage.live.snapshot.metadata_tenant_key else { return Ok(()) };
    let place = admitted.route().operation.and_then(|known| metadata::place(known.0));
    let own = [(key.clone(), admitted.tenant().name.to_string())].into();
    if place == Some(Place::Body) {
        let edited = metadata::body(&body.pieces, &own)?;
        body.replace(edited);
    }
    let mut sent = session.req_header().headers.get_all(HEADER).iter();
    let first = sent.next().map(HeaderValue::to_str).transpose().map_err(|_| MetadataError::NotStrings)?;
    if place == Some(Place::Header) || first.is_some() {
        if sent.next().is_some() {
            return Err(MetadataError::Twice.into());
        }
        let value = metadata::header(first, &own)?;
        admitted.metadata = Some(HeaderValue::try_from(value).map_err(|_| MetadataError::NotStrings)?);
    }
    Ok(())
}
