//! kill -9 at any moment: what was acknowledged is there, once; the file opens; the sums are the fold of the rows.

use std::{
    collections::HashSet,
    env,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;

/// Makes this test executable a process to be killed: the directory to write in, and a word that makes its ids its own.
const CHILD: &str = "TOLLGATE_LEDGER_TEST_CHILD";

/// Lives of a process on one file.
const LIVES: usize = 25;

/// Not a test of its own, but the process that the next one kills.
#[test]
fn writes_until_killed() {
    let Ok(child) = env::var(CHILD) else { return };
    let (life, directory) = child.split_once(':').unwrap();
    let (ledger, _) = open(Path::new(directory));
    thread::scope(|scope| {
        for writer in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0.. {
                    let id = format!("{life}.{writer}.{n}");
                    ledger.hold(hold(&id));
                    if n % 3 == 0 {
                        wait(ledger.durable()).unwrap();
                        println!("held {id}");
                    }
                    ledger.settle(entry(&id));
                    ledger.settle(entry(&id));
                    if n % 2 == 0 {
                        wait(ledger.durable()).unwrap();
                        println!("settled {id}");
                    }
                }
            });
        }
    });
}

/// What a process acknowledged before it was killed, after as many acknowledgements or somewhere in between.
fn live_and_die(life: usize, directory: &Path, acknowledgements: usize) -> Vec<(bool, String)> {
    let name = format!("{}::writes_until_killed", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, format!("{life}:{}", directory.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let parse = |line: String| {
        let settled = line.strip_prefix("settled ").map(|id| (true, id.to_owned()));
        settled.or_else(|| line.strip_prefix("held ").map(|id| (false, id.to_owned())))
    };
    let mut said: Vec<_> = lines.by_ref().filter_map(parse).take(acknowledgements).collect();
    assert_eq!(said.len(), acknowledgements, "the process ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    // Said before it died. The last line may be cut.
    let mut rest: Vec<_> = lines.filter_map(parse).collect();
    rest.pop();
    said.extend(rest);
    said
}

#[test]
fn no_acknowledged_charge_is_lost_or_doubled_by_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let file = config(directory.path()).file.unwrap();
    let (mut settled, mut held) = (HashSet::new(), HashSet::new());
    for life in 0..LIVES {
        let random = RandomState::new().hash_one(life) as usize;
        // Every fifth is killed while it opens the file, or soon after.
        let acknowledgements = if life % 5 == 4 { 0 } else { random % 200 };
        for (is_settled, id) in live_and_die(life, directory.path(), acknowledgements) {
            if is_settled {
                settled.insert(id)
            } else {
                held.insert(id)
            };
        }
        drop(open(directory.path()));
        let rows = rows_on_disk(&file);
        let ids: HashSet<String> = rows.iter().map(|row| row.request.id.to_string()).collect();
        assert_eq!(ids.len(), rows.len(), "charged twice");
        assert!(settled.is_subset(&ids), "lost: {:?}", settled.difference(&ids));
        assert_eq!(sums_on_disk(&file), folded(&rows));
        let open: HashSet<String> = holds_on_disk(&file).iter().map(|hold| hold.request.id.to_string()).collect();
        assert!(open.is_disjoint(&ids), "charged and still held");
        assert!(held.iter().all(|id| ids.contains(id) || open.contains(id)), "a hold was lost");
    }
    assert!(settled.len() > 100, "only {} charges were acknowledged in all", settled.len());
    let verdict = Reader::open(&file).unwrap().verify().unwrap();
    assert!(verdict.differences.is_empty() && verdict.damage.is_empty(), "{verdict:?}");

    let open = holds_on_disk(&file).len();
    let rows = rows_on_disk(&file).len();
    let (_, recovered) = Ledger::open(&config(directory.path()), hold("").expires).unwrap();
    assert_eq!(recovered.holds, []);
    assert_eq!(rows_on_disk(&file).len(), rows + open, "every hold of a dead process ends as a charge");
}
