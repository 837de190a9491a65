//! Whatever happens in whatever order, the account says what the oracle says: invariants 1 to 5, 7 and 8.

use std::mem;

use jiff::SignedDuration;
use proptest::{prelude::*, sample::Index};

use super::{
    super::{quotas::Limit, *},
    CLAUDE, NOVA,
    oracle::{Oracle, Request, State, Verdict, told},
    quotas,
};
use crate::{bedrock::usage::Usage, pricing::NanoUsd, quota::Span};

const MODELS: [&str; 4] =
    [CLAUDE, NOVA, "us.anthropic.claude-opus-4-8", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"];

/// The same tenant in the course of time: amounts change, limits and scopes come and go, the order too.
const CONFIGURATIONS: [&str; 6] = [
    "[[quotas]]\ntokens_per_minute = 1000\ntokens_per_day = 2500\nusd_per_month = \"0.0060\"\n",
    "[[quotas]]\ntokens_per_minute = 500\ntokens_per_day = 5000\n[[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\"]\ncount_burndown = true\ntokens_per_minute = 3000\noutput_tokens_per_month = 800\n",
    "time_zone = \"Asia/Kathmandu\"\n[[quotas]]\nname = \"watched\"\nshadow = true\ntokens_per_minute = 200\ninput_tokens_per_day = 300\nusd_per_day = \"0.001\"\n[[quotas]]\ntokens_per_minute = 900\n",
    "[[quotas]]\nname = \"claude\"\nmodels = [\"*claude*\", \"*nova*\"]\ninput_tokens_per_minute = 400\noutput_tokens_per_minute = 300\ninput_tokens_per_month = 2000\n[[quotas]]\ntokens_per_month = 6000\nusd_per_day = \"0.0040\"\n",
    "[[quotas]]\nmodels = [\"arn:*\", \"*opus*\"]\noutput_tokens_per_day = 400\ntokens_per_minute = 350\n",
    "",
];

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        model: usize,
        input: u64,
        output: u64,
        factor: u64,
        cost: i64,
        stale: bool,
    },
    Settle(Index, [u64; 5], i64),
    SettleAsHeld(Index),
    Extend {
        which: Index,
        input: u64,
        output: u64,
        cost: i64,
        stale: bool,
        /// By the request's id, as by somebody who has no reservation.
        by_id: bool,
    },
    Release(Index),
    /// The request vanishes: a panic that takes the reservation with it, or a leak.
    Forget(Index),
    Pass(u64),
    Expire,
    /// The wall clock alone.
    Jump(i64),
    Reload(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let tokens = || prop_oneof![Just(0u64), 0..40u64, 0..600u64];
    let reserve =
        (0..MODELS.len(), tokens(), tokens(), prop::sample::select(vec![1u64, 5]), 0..3_000_000i64, prop::bool::weighted(0.1));
    prop_oneof![
        10 => reserve.prop_map(|(model, input, output, factor, cost, stale)| Step::Reserve { model, input, output, factor, cost, stale }),
        5 => (any::<Index>(), [tokens(), tokens(), tokens(), tokens(), tokens()], 0..3_000_000i64).prop_map(|(which, usage, cost)| Step::Settle(which, usage, cost)),
        3 => any::<Index>().prop_map(Step::SettleAsHeld),
        4 => (any::<Index>(), tokens(), tokens(), 0..1_000_000i64, prop::bool::weighted(0.1), prop::bool::weighted(0.3))
            .prop_map(|(which, input, output, cost, stale, by_id)| Step::Extend { which, input, output, cost, stale, by_id }),
        3 => any::<Index>().prop_map(Step::Release),
        1 => any::<Index>().prop_map(Step::Forget),
        6 => prop_oneof![0..1_000u64, 0..20_000_000_000u64, 0..90_000_000_000_000u64].prop_map(Step::Pass),
        2 => Just(Step::Expire),
        1 => prop_oneof![-3_600..3_600i64, -100_000..100_000i64, Just(-1_795_000_000), Just(110_000_000)].prop_map(Step::Jump),
        2 => (0..CONFIGURATIONS.len()).prop_map(Step::Reload),
    ]
}

/// Of the request that the oracle has at that place.
fn id(index: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(index as u128)
}

struct World {
    account: Arc<Account>,
    oracle: Oracle,
    now: Now,
    previous: Quotas,
    current: Quotas,
    open: Vec<(usize, Reservation)>,
    deadlines: Vec<std::time::Instant>,
}

impl World {
    fn new() -> World {
        let mut world = World {
            account: super::account(),
            oracle: Oracle::default(),
            now: super::noon(),
            previous: quotas(""),
            current: quotas(CONFIGURATIONS[0]),
            open: Vec::new(),
            deadlines: Vec::new(),
        };
        world.oracle.bind(&world.previous, world.now.monotonic);
        world.account.balances(&world.previous, &world.now);
        world.oracle.bind(&world.current, world.now.monotonic);
        world.account.balances(&world.current, &world.now);
        world
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Reserve { model, input, output, factor, cost, stale } => {
                let (model, cost) = (MODELS[model], NanoUsd(cost));
                let request = id(self.oracle.requests.len());
                let ask = Ask { request, model, input_tokens: input, output_tokens: output, burndown_factor: factor, cost };
                self.reserve(&ask, stale);
            }
            Step::Settle(which, [input, output, read, write, write_1h], cost) => {
                let usage = Usage {
                    input_tokens: input,
                    output_tokens: output,
                    cache_read_tokens: read,
                    cache_write_tokens: write,
                    cache_write_1h_tokens: write_1h,
                };
                self.settle(which, |_| (usage, NanoUsd(cost)));
            }
            Step::SettleAsHeld(which) => self.settle(which, |held| {
                let usage = super::usage(held.input_tokens, held.output_tokens);
                (usage, NanoUsd(i64::try_from(held.cost).unwrap()))
            }),
            Step::Extend { which, input, output, cost, stale, by_id } => {
                self.extend(which, (input, output), NanoUsd(cost), (stale, by_id));
            }
            Step::Release(which) => {
                let Some((index, reservation)) = self.pick(which) else { return };
                drop(reservation);
                if self.oracle.requests[index].state == State::Open {
                    self.oracle.requests[index].state = State::Gone;
                }
            }
            Step::Forget(which) => mem::forget(self.pick(which)),
            Step::Pass(nanoseconds) => self.pass(nanoseconds),
            Step::Expire => self.expire(),
            Step::Jump(seconds) => {
                self.now.wall = self.now.wall.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
            }
            Step::Reload(index) => {
                let before = mem::replace(&mut self.current, quotas(CONFIGURATIONS[index]));
                self.previous = before;
                self.oracle.bind(&self.current, self.now.monotonic);
                // An account learns of a configuration when it first meets it.
                self.account.balances(&self.current, &self.now);
            }
        }
    }

    fn reserve(&mut self, ask: &Ask<'_>, stale: bool) {
        let quotas = if stale { &self.previous } else { &self.current };
        let asked = Amounts::asked(ask);
        let refusals = self.oracle.verdicts(quotas, ask.model, &asked, self.now.wall, self.now.monotonic);
        let expected = told(refusals.iter().filter(|(shadow, _)| !shadow).map(|(_, verdict)| verdict));
        let explained = self.account.explain(quotas, ask, None, &self.now);
        let result = self.account.reserve(quotas, ask, &self.now);
        assert_eq!(explained.answer.as_ref().err(), result.as_ref().err());
        match (result, expected) {
            (Ok(grant), None) => {
                assert_eq!(grant.shadowed.len(), refusals.len());
                let enforced = |limit: &&Limit| limit.scope.matches(ask.model) && !limit.shadow;
                assert_eq!(grant.standings.len(), quotas.limits.iter().filter(enforced).count());
                let date = self.now.wall.to_zoned(quotas.zone.clone()).date();
                let (model, admitted) = (ask.model.to_owned(), self.now.monotonic);
                let index = self.oracle.admit(Request { model, date, admitted, held: asked, state: State::Open });
                self.deadlines.push(admitted + Duration::from_secs(7_200));
                self.open.push((index, grant.reservation));
            }
            (Err(denial), Some(expected)) => {
                assert_eq!(&verdict_of(&denial), expected);
                assert_eq!(denial.held.is_some(), denial.kind == QuotaKind::Temporary && denial.span != Span::Minute);
            }
            (result, expected) => panic!("{result:?}, but {expected:?}"),
        }
    }

    /// The oracle asks as for a request of the day of admission, in the windows of that day. What has expired holds nothing.
    fn extend(&mut self, which: Index, (input, output): (u64, u64), cost: NanoUsd, (stale, by_id): (bool, bool)) {
        if self.open.is_empty() {
            return;
        }
        let place = which.index(self.open.len());
        let (index, own) = &mut self.open[place];
        let mut other = if by_id { self.account.reclaim(id(*index)) } else { None };
        if by_id && other.is_none() {
            assert_ne!(self.oracle.requests[*index].state, State::Open);
            return;
        }
        let reservation = other.as_mut().unwrap_or(own);
        let before = reservation.amounts();
        let quotas = if stale { &self.previous } else { &self.current };
        let burndown = input + output * reservation.burndown_factor();
        let more = Amounts { input_tokens: input, output_tokens: output, burndown, cost: u64::try_from(cost.0).unwrap() };
        let request = &self.oracle.requests[*index];
        let is_open = request.state == State::Open;
        let held = if is_open { request.held } else { Amounts::default() };
        let asked = (&*request.model, Some(&held), &more);
        let refusals = self.oracle.verdicts_on(quotas, asked, request.date, self.now.monotonic);
        let (shadowed, refused): (Vec<_>, Vec<_>) = refusals.into_iter().partition(|(shadow, _)| *shadow);
        match reservation.extend(quotas, (input, output), cost, &self.now) {
            Ok(watched) => {
                assert!(refused.is_empty(), "{refused:?}");
                assert_eq!(watched.len(), shadowed.len());
                let request = &mut self.oracle.requests[*index];
                request.held = request.held.and(&more);
                // What has expired cannot say any more what it held by other ways.
                assert_eq!(reservation.amounts(), if is_open { request.held } else { before.and(&more) });
            }
            Err(denial) => {
                assert_eq!(Some(&verdict_of(&denial)), told(refused.iter().map(|(_, verdict)| verdict)));
                assert_eq!(reservation.amounts(), before);
            }
        }
        other.into_iter().for_each(Reservation::leave);
    }

    fn settle(&mut self, which: Index, used: impl Fn(&Amounts) -> (Usage, NanoUsd)) {
        let Some((index, reservation)) = self.pick(which) else { return };
        let request = &mut self.oracle.requests[index];
        let (usage, cost) = used(&request.held);
        let amounts = Amounts::used(&usage, cost, reservation.burndown_factor());
        let late = request.state == State::Gone;
        let held = if late { reservation.amounts() } else { request.held };
        let over =
            amounts.input_tokens > held.input_tokens || amounts.output_tokens > held.output_tokens || amounts.cost > held.cost;
        let spent = Spent::request(usage, cost);
        if late {
            self.oracle.settle_late(index, amounts, spent, self.now.monotonic);
        } else {
            request.state = State::Settled(amounts, spent);
        }
        assert_eq!(reservation.settle(&Spent::request(usage, cost), &self.now), Settled { overdrawn: over, late });
    }

    fn expire(&mut self) {
        let over = |(index, request): (usize, &mut Request)| {
            let expires = request.state == State::Open && self.deadlines[index] <= self.now.monotonic;
            expires.then(|| {
                request.state = State::Gone;
                request.held
            })
        };
        let expected: Vec<Amounts> = self.oracle.requests.iter_mut().enumerate().filter_map(over).collect();
        let expired: Vec<Amounts> = self.account.expire(&self.now).into_iter().map(|expired| expired.amounts).collect();
        assert_eq!(expired, expected);
    }

    fn pass(&mut self, nanoseconds: u64) {
        self.now.monotonic += Duration::from_nanos(nanoseconds);
        let passed = SignedDuration::from_nanos(i64::try_from(nanoseconds).unwrap());
        self.now.wall = self.now.wall.saturating_add(passed).unwrap();
    }

    fn pick(&mut self, which: Index) -> Option<(usize, Reservation)> {
        if self.open.is_empty() { None } else { Some(self.open.remove(which.index(self.open.len()))) }
    }

    fn check(&self) {
        for quotas in [&self.previous, &self.current] {
            let balances = self.account.balances(quotas, &self.now);
            assert_eq!(balances.len(), quotas.limits.len());
            for (index, balance) in balances.iter().enumerate() {
                self.oracle.check_balance(balance, quotas, index, self.now.wall, self.now.monotonic);
            }
        }
        let mut sums: Vec<_> =
            self.account.sums().into_iter().map(|(date, model, spent)| (date, model.to_string(), spent)).collect();
        sums.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        assert_eq!(sums, self.oracle.sums());
    }
}

/// A refusal as the oracle has it.
fn verdict_of(denial: &QuotaDenial) -> Verdict {
    let QuotaDenial { kind, retry_after: wait, measure, span, remaining, asked, .. } = *denial;
    Verdict { kind, wait, quota: denial.quota.to_string(), measure, span, remaining, asked }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_account_agrees_with_the_oracle(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
        // Every reservation ends.
        world.open.clear();
        world.pass(7_200_000_000_000);
        world.account.expire(&world.now);
        assert_eq!(world.account.reserved(), (0, Amounts::default()));
    }

    /// Invariant 1, without an oracle: nobody uses more than was held, so no limit is ever exceeded, however it is cut into windows.
    #[test]
    fn settled_and_reserved_never_exceed_a_limit(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            let honest = match step {
                Step::Settle(which, ..) => Step::SettleAsHeld(which),
                // What expired is given to others, so its late charge goes beyond.
                Step::Reload(_) | Step::Expire | Step::Reserve { stale: true, .. } | Step::Extend { stale: true, .. } => continue,
                other => other,
            };
            world.take(honest);
            for balance in world.account.balances(&world.current, &world.now) {
                assert!(balance.settled + balance.reserved <= balance.amount, "{balance:?}");
            }
        }
    }

    /// What the ledger brings back continues every window: an account restored from another's sums and holds says the same.
    #[test]
    fn a_restored_account_stands_where_the_other_stood(steps in prop::collection::vec(step(), 1..60), configuration in 0..CONFIGURATIONS.len()) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        let restored = super::account();
        let sums = world.account.sums();
        let holds = world.oracle.requests.iter().filter(|request| request.state == State::Open).map(|request| OpenHold {
            request: uuid::Uuid::nil(),
            model: request.model.clone(),
            date: request.date,
            amounts: request.held,
            burndown_factor: 1,
            expires: world.now.wall,
        });
        let sums_of = sums.iter().map(|(date, model, spent)| (*date, &**model, *spent));
        restored.restore(sums_of);
        holds.for_each(|hold| restored.restore_hold(&hold, world.now.monotonic, Duration::from_secs(60), &world.now));
        let quotas = quotas(CONFIGURATIONS[configuration]);
        let balances = |account: &Account| {
            let balances = account.balances(&quotas, &world.now).into_iter();
            balances.filter(|balance| balance.span != Span::Minute).collect::<Vec<_>>()
        };
        assert_eq!(balances(&restored), balances(&world.account));
        restored.expire(&world.now);
        assert_eq!(restored.reserved().0, 0);
    }

    /// A successor stands where its predecessor stood; of what is open it has no less in its minutes.
    #[test]
    fn an_account_that_was_handed_over_stands_where_it_stood(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        let successor = super::account();
        for portion in world.account.hand_over(Some(&world.current), &world.now) {
            let said = serde_json::to_string(&portion).unwrap();
            successor.take_over(Some(&world.current), &serde_json::from_str(&said).unwrap(), &world.now);
        }
        let mut before = world.account.balances(&world.current, &world.now);
        let mut after = successor.balances(&world.current, &world.now);
        for (before, after) in before.iter_mut().zip(&mut after).filter(|(before, _)| before.span == Span::Minute) {
            prop_assert!(after.reserved >= before.reserved && after.remaining <= before.remaining, "{before:?} {after:?}");
            prop_assert_eq!(after.settled, before.settled);
            *after = before.clone();
        }
        prop_assert_eq!(before, after);
        prop_assert_eq!(successor.reserved(), world.account.reserved());
    }
}
