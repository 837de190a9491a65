//! Holds, charges and releases in any order, with writes, failed writes and restarts anywhere between, against a model.

use std::{collections::BTreeSet, time::Instant};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Hold(u8),
    Settle(u8),
    Release(u8),
    /// The writer fetches and writes.
    Write,
    /// It fetches, fails once, more is said meanwhile, and it succeeds.
    WriteLate(u8),
    /// All is written, and the file opened again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_u8).prop_map(Step::Hold),
        3 => (0..6_u8).prop_map(Step::Settle),
        2 => (0..6_u8).prop_map(Step::Release),
        2 => Just(Step::Write),
        2 => (0..6_u8).prop_map(Step::WriteLate),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

/// Nothing if nothing waits.
fn fetch(queue: &Queue) -> Option<state::Batch> {
    match queue.next(Duration::ZERO, Instant::now()) {
        queue::Turn::Write(batch) => Some(batch),
        queue::Turn::Idle | queue::Turn::End => None,
    }
}

fn write(store: &mut Store, queue: &Queue) {
    while let Some(batch) = fetch(queue) {
        store.write(&batch).unwrap();
        queue.committed(&batch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_file_says_what_was_said(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let path = config(directory.path()).file.unwrap();
        let (mut store, _) = Store::open(path.clone(), now(), now()).unwrap();
        let mut queue = Queue::new(3, std::iter::empty());
        let (mut held, mut charged) = (BTreeSet::new(), 0);
        // A request has one life: after its end its slot has another id.
        let mut lives = [0; 6];
        for step in steps {
            let mut end = |slot: u8| {
                let life = &mut lives[usize::from(slot)];
                *life += 1;
                format!("{slot}.{}", *life - 1)
            };
            match step {
                Step::Hold(slot) => {
                    let id = format!("{slot}.{}", lives[usize::from(slot)]);
                    queue.hold(hold(&id).into());
                    held.insert(id);
                }
                Step::Settle(slot) | Step::WriteLate(slot) => {
                    let late = matches!(step, Step::WriteLate(_)).then(|| fetch(&queue)).flatten();
                    let id = end(slot);
                    queue.settle(entry(&id));
                    held.remove(&id);
                    charged += 1;
                    if let Some(batch) = late {
                        queue.failed("for a while".to_owned());
                        store.write(&batch).unwrap();
                        queue.committed(&batch);
                    }
                }
                Step::Release(slot) => {
                    let id = end(slot);
                    queue.release(&id);
                    held.remove(&id);
                }
                Step::Write => write(&mut store, &queue),
                Step::Restart => {
                    write(&mut store, &queue);
                    drop(store);
                    let (opened, recovered) = Store::open(path.clone(), now(), now()).unwrap();
                    queue = Queue::new(3, recovered.holds.into_iter().map(|hold| hold.request.id));
                    store = opened;
                }
            }
        }
        write(&mut store, &queue);
        let on_disk: BTreeSet<String> = holds_on_disk(&path).iter().map(|hold| hold.request.id.to_string()).collect();
        prop_assert_eq!(on_disk, held);
        prop_assert_eq!(sums_on_disk(&path).iter().map(|(_, sums)| sums.requests).sum::<u64>(), charged);
        let verdict = Reader::open(&path).unwrap().verify().unwrap();
        prop_assert!(verdict.differences.is_empty(), "{:?}", verdict);
    }
}
