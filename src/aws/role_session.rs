//! One session of a role: the credentials that requests sign with, when they have to be renewed, and who waits for the first ones. Calls
//! nobody; what is to be called is handed to whoever does it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{Assumption, CredentialsSlot, Signer, credentials::refresh_after};

/// First pause after a failure; doubled up to [`PAUSE_MAX`]. Until it is over, requests without credentials are refused at once.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// More requests than this do not wait for a session.
const WAITING_MAX: usize = 1_024;

/// A session that has no credentials and that nobody has asked for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

/// Resolves when a call has ended, well or not.
pub type Answered = watch::Receiver<()>;

/// Where sessions that are to be called for go.
pub(super) type Calls = mpsc::UnboundedSender<Arc<RoleSession>>;

/// A session, held or to be.
pub struct RoleSession {
    tenant: Arc<str>,
    assumption: Assumption,
    /// Renewed whether or not it is used: there is one of its kind for each tenant.
    lasting: bool,
    slot: CredentialsSlot,
    /// Milliseconds since 1970.
    used: AtomicU64,
    evicted: AtomicBool,
    state: Mutex<State>,
    answered: watch::Sender<()>,
    calls: Calls,
}

struct State {
    /// A call is under way: there is never a second one.
    calling: bool,
    /// When the last one ended.
    called: SystemTime,
    /// When the next one may be made.
    due: SystemTime,
    /// After the next failure; [`PAUSE`] while all is well.
    pause: Duration,
}

/// When a session was used and called for, and is to be: what its renewal depends on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Course {
    /// Milliseconds since 1970.
    pub used: u64,
    pub called: SystemTime,
    pub due: SystemTime,
}

impl RoleSession {
    pub(super) fn new(tenant: Arc<str>, assumption: Assumption, lasting: bool, calls: Calls, now: SystemTime) -> RoleSession {
        let state = State { calling: false, called: UNIX_EPOCH, due: UNIX_EPOCH, pause: PAUSE };
        RoleSession {
            tenant,
            assumption,
            lasting,
            slot: CredentialsSlot::default(),
            used: AtomicU64::new(milliseconds(now)),
            evicted: AtomicBool::new(false),
            state: Mutex::new(state),
            answered: watch::Sender::new(()),
            calls,
        }
    }

    /// Whose it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// What STS is told.
    pub fn assumption(&self) -> &Assumption {
        &self.assumption
    }

    /// What to sign with at `now`; notes that it is in use.
    pub fn signer(&self, now: SystemTime) -> Option<Arc<Signer>> {
        self.used.store(milliseconds(now), Ordering::Relaxed);
        self.current(now)
    }

    /// The same, for who does not use it.
    pub(super) fn current(&self, now: SystemTime) -> Option<Arc<Signer>> {
        self.slot.current(now).ok()
    }

    /// Whether its credentials are good at `now`.
    pub fn is_good(&self, now: SystemTime) -> bool {
        self.slot.current(now).is_ok()
    }

    /// When its credentials expire, if it has any.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.slot.expiry()
    }

    /// Asks for credentials at `now`, unless a call is under way already. Nothing to wait for if the last call failed a moment ago, or if
    /// too many wait.
    pub fn want(self: &Arc<Self>, now: SystemTime) -> Option<Answered> {
        let mut state = self.state();
        if self.answered.receiver_count() >= WAITING_MAX {
            return None;
        }
        if !state.calling {
            // A clock that was set back begins anew.
            let cooling = now < state.due && now >= state.called && state.pause > PAUSE;
            if cooling || self.calls.send(self.clone()).is_err() {
                return None;
            }
            state.calling = true;
        }
        Some(self.answered.subscribe())
    }

    /// Whether it is time to renew the credentials at `now`, before they expire. If so, a call is under way.
    pub(super) fn take_due(&self, now: SystemTime) -> bool {
        let mut state = self.state();
        let never_called = state.called == UNIX_EPOCH;
        if state.calling || never_called || now < state.due || !self.is_in_use(&state) {
            return false;
        }
        state.calling = true;
        true
    }

    /// Used in the second half of the time since the last call; what was needed once is let go.
    fn is_in_use(&self, state: &State) -> bool {
        let half = state.due.duration_since(state.called).unwrap_or_default() / 2;
        self.lasting || self.used.load(Ordering::Relaxed) >= milliseconds(state.called + half)
    }

    /// Whether nobody would miss it.
    pub(super) fn is_forgotten(&self, now: SystemTime) -> bool {
        let idle = milliseconds(now).saturating_sub(self.used.load(Ordering::Relaxed));
        !self.state().calling && !self.is_good(now) && u128::from(idle) > FORGOTTEN_AFTER.as_millis()
    }

    /// Another one took its place. Who holds it still may go on with it.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
    }

    /// Whether it was evicted before its call began, and nobody waits for it.
    pub fn is_abandoned(&self) -> bool {
        self.evicted.load(Ordering::Relaxed) && self.answered.receiver_count() == 0
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The call has ended with credentials. Says when they are renewed, and whether calls had failed before; `jitter` is up to 1.
    pub fn succeed(&self, credentials: Credentials, now: SystemTime, jitter: f64) -> bool {
        let wait = refresh_after(credentials.expiry(), now).unwrap_or(self.assumption.role.lifetime / 2);
        self.slot.store(credentials);
        let had_failed = {
            let mut state = self.state();
            let had_failed = state.pause > PAUSE;
            // Up to a tenth sooner, so that a fleet does not ask at the same instant.
            let due = now.checked_add(wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 10.0)).unwrap_or(now);
            *state = State { calling: false, called: now, due, pause: PAUSE };
            had_failed
        };
        self.answered.send_replace(());
        had_failed
    }

    pub(super) fn course(&self) -> Course {
        let state = self.state();
        Course { used: self.last_used(), called: state.called, due: state.due }
    }

    /// Goes on where another process had it at `now`. It is renewed when it would have been there, and no later than it would be here.
    pub(super) fn resume(&self, credentials: Credentials, course: Course, now: SystemTime) {
        let latest = refresh_after(credentials.expiry(), now).and_then(|wait| now.checked_add(wait)).unwrap_or(now);
        self.used.store(course.used.min(milliseconds(now)), Ordering::Relaxed);
        *self.state() = State { calling: false, called: course.called.min(now), due: course.due.min(latest), pause: PAUSE };
        self.slot.store(credentials);
    }

    /// The call has ended without. The old credentials serve until they expire.
    pub fn fail(&self, now: SystemTime) {
        {
            let mut state = self.state();
            let due = now.checked_add(state.pause).unwrap_or(now);
            *state = State { calling: false, called: now, due, pause: (state.pause * 2).min(PAUSE_MAX) };
        }
        self.answered.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
