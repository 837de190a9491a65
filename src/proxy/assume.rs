//! As whom Bedrock is called: with the gateway's own credentials, or with a session of the tenant's own role. A session that nobody has
//! yet is waited for, within a bound; the one is never taken for the other, so a tenant without its session is refused.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::time::timeout;

use super::{Denial, Gateway, Passage, admit::Admitted};
use crate::aws::{CredentialsSlot, RoleSession, Signer};

/// What an admitted request is signed with.
pub enum UpstreamIdentity {
    /// The gateway's credentials.
    Gateway(Arc<CredentialsSlot>),
    /// The tenant's.
    Session(Arc<RoleSession>),
}

impl UpstreamIdentity {
    /// The credentials of `now`.
    pub fn signer(&self, now: SystemTime) -> Result<Arc<Signer>, Denial> {
        match self {
            UpstreamIdentity::Gateway(credentials) => Ok(credentials.current(now)?),
            UpstreamIdentity::Session(session) => session.signer(now).ok_or_else(|| no_session(session)),
        }
    }
}

/// Finds out as whom an admitted request goes upstream, and waits until that is possible.
pub async fn assume(passage: &mut Passage, admitted: &mut Admitted, gateway: &Gateway) -> Result<(), Denial> {
    let tenant = admitted.tenant().clone();
    let Some(role) = &tenant.role else {
        admitted.identity = Some(UpstreamIdentity::Gateway(gateway.credentials.clone()));
        return Ok(());
    };
    let now = SystemTime::now();
    let session = role.session(admitted.principal(), now)?;
    if session.signer(now).is_none() {
        let mut answered = session.want(now).ok_or_else(|| no_session(&session))?;
        let asked = Instant::now();
        // Too late or not, the second look tells.
        let _ = timeout(role.wait_max(), answered.changed()).await;
        passage.arrival.waited += asked.elapsed();
        session.signer(SystemTime::now()).ok_or_else(|| no_session(&session))?;
    }
    admitted.identity = Some(UpstreamIdentity::Session(session));
    Ok(())
}

fn no_session(session: &RoleSession) -> Denial {
    Denial::NoSession { tenant: session.tenant().clone() }
}
