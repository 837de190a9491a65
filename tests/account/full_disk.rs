//! A disk that is full when the gateway starts: a file system of the gateway's own, so small that it can be filled.

use std::{
    fs,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    client::Client,
    harness::{BINARY, Gateway, MODEL, World, within},
};

const BODY: &str = r#"{"messages":[],"inferenceConfig":{"maxTokens":100}}"#;

/// Puts the ledger on a full disk, and runs the gateway there.
const SCRIPT: &str = r#"
cd "$1"
cp -r account copy
mount -t tmpfs -o size=2m tmpfs account
cp copy/ledger.sqlite* account/
cat /dev/zero > account/fill 2>/dev/null || true
exec "$0" run -c tollgate.toml
"#;

fn can_mount() -> bool {
    let tried = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_starts_on_a_full_disk_with_what_it_had_and_goes_on_once_there_is_room() {
    if !can_mount() {
        println!("no namespaces here: nothing is tested");
        return;
    }
    for (mode, goes_on) in [("closed", false), ("open", true)] {
        let quota = "[[tenants.acme.quotas]]\ntokens_per_day = 10_000_000";
        let world = World::new(&format!("on_failure = \"{mode}\""), [quota, ""]).await;
        let target = format!("/model/{MODEL}/converse");
        let mut gateway = world.start().await;
        Client::h1(world.traffic, world.bearer("acme")).await.post(&target, BODY).await.assert_served();
        gateway.signal(Signal::TERM);
        within(gateway.ends()).await;
        drop(gateway);

        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", SCRIPT, BINARY]).arg(world.file("")).env("TOKIO_WORKER_THREADS", "2");
        let log = fs::File::options().append(true).open(world.file("account/log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let root = format!("/proc/{}/root", child.id());
        let _gateway = Gateway::of(child);
        world.until_metric("tollgate_ledger_writable", 0.0).await;
        assert_eq!(used(&world).await, 1, "{}", world.log_tail());
        let mut client = Client::h1(world.traffic, world.bearer("acme")).await;
        let answer = client.post(&target, BODY).await;
        if goes_on {
            answer.assert_served();
        } else {
            answer.assert_refused(503, "ServiceUnavailableException");
        }

        fs::remove_file(format!("{root}{}", world.file("account/fill").display())).unwrap();
        world.until_metric("tollgate_ledger_writable", 1.0).await;
        world.until_ready().await;
        client.post(&target, BODY).await.assert_served();
        world.until_metric("tollgate_ledger_waiting_rows", 0.0).await;
        assert_eq!(used(&world).await, if goes_on { 3 } else { 2 });
    }
}

/// Requests of acme's this month.
async fn used(world: &World) -> u64 {
    let usage = world.usage().await.unwrap();
    let acme = usage["tenants"].as_array().unwrap().iter().find(|tenant| tenant["tenant"] == "acme").unwrap();
    acme["month"]["requests"].as_u64().unwrap()
}
