//! Standard output that nobody reads, or that is gone: lines are lost and counted, and everything else goes on.

use std::fs;

use crate::{
    client::{self, Client},
    harness::{INVOKE, Metrics, World, until, within},
    process::{Process, within_ready},
};

/// A pipe takes 64 KiB, and a line has some 600 bytes.
const MORE_THAN_A_PIPE_TAKES: usize = 300;

const RELOADED: &str = "\"configuration reloaded\"";

async fn lost(process: &Process) -> f64 {
    let admin = process.address("admin").await;
    Metrics(client::get(admin, "/metrics").await.unwrap().1).sum("tollgate_access_log_lost_lines_total", &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_log_nobody_reads_answers_reloads_and_stops() {
    let world = World::start().await;
    // Bedrock refuses the gateway's credentials, of which a worker writes a line.
    let file = world.directory.path().join("of-a-process.toml");
    fs::write(&file, world.config_text(&world.settings).replace("AKIDSIMULATOR", "AKIDNOBODY")).unwrap();
    let process = Process::with(&file, &[]);
    let (traffic, admin) = (process.address("traffic").await, process.address("admin").await);
    let unread = process.unread();
    for _ in 0..MORE_THAN_A_PIPE_TAKES {
        // Such an answer ends the connection.
        let mut client = Client::h1(traffic, world.bearer("acme")).await;
        assert!(client.post(INVOKE, "{}").await.status >= 500);
    }
    for reload in 2..5_u32 {
        process.signal("HUP");
        let reloaded = async {
            while Metrics(client::get(admin, "/metrics").await.unwrap().1).sum("tollgate_config_generation", &[]) < reload.into()
            {
            }
        };
        within(reloaded).await;
    }
    assert_eq!(client::get(admin, "/healthz").await.unwrap().0, 200);
    process.signal("TERM");
    assert!(process.ended().await.success());
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_read_late_has_every_line_in_order_and_the_last_before_the_end() {
    let world = World::start().await;
    let process = Process::run(&world);
    let traffic = process.address("traffic").await;
    let mut client = Client::h1(traffic, world.bearer("acme")).await;
    within_ready(&mut client).await;
    let unread = process.unread();
    for _ in 0..MORE_THAN_A_PIPE_TAKES {
        client.post(INVOKE, "{}").await.assert_served();
    }
    process.signal("HUP");
    drop(unread);
    until("the line of the reload is read", || process.text().contains(RELOADED)).await;
    assert_eq!(lost(&process).await, 0.0);
    process.signal("TERM");
    assert!(process.ended().await.success());
    until("the last line is read", || process.text().ends_with("\"stopping\",\"target\":\"tollgate::cli::run\"}\n")).await;
    let text = process.text();
    let before = text.split(RELOADED).next().unwrap();
    assert!(before.matches("\"msg\":\"request\"").count() >= MORE_THAN_A_PIPE_TAKES);
    assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_cannot_be_written_are_counted() {
    let world = World::start().await;
    let process = Process::run(&world);
    let mut client = Client::h1(process.address("traffic").await, world.bearer("acme")).await;
    within_ready(&mut client).await;
    assert_eq!(lost(&process).await, 0.0);
    process.hang_up();
    let counted = async {
        while lost(&process).await < 10.0 {
            client.post(INVOKE, "{}").await.assert_served();
        }
    };
    within(counted).await;
}
