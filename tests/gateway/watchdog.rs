//! The watchdog: the gateway asks its own listeners for an answer, and tells systemd as long as it gets one.

use std::{
    os::unix::net::UnixDatagram,
    process::{Child, Command},
    time::Duration,
};

use crate::{
    client,
    harness::{Certificate, DEADLINE, INVOKE, World},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_answers_whatever_it_asks_of_clients_and_nothing_of_it_is_counted() {
    let authority = tempfile::tempdir().unwrap();
    let ca = authority.path().join("ca.pem");
    std::fs::write(&ca, Certificate::new().ca).unwrap();
    let tls = "certificate_file = \"server.pem\", private_key_file = \"server.key\"";
    let listener = |rest: &str| format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n{rest}\n");
    let sections = [
        listener(&format!("tls = {{ {tls}, client_ca_file = {ca:?} }}")),
        listener("allow_from = [\"192.0.2.0/24\"]"),
        listener("proxy_protocol_from = [\"127.0.0.0/8\"]"),
        listener(&format!("tls = {{ {tls}, policy = \"modern\" }}\nproxy_protocol_from = [\"127.0.0.0/8\"]")),
        "[downstream]\nconnections_max = 1\nrequests_max = 1".to_owned(),
    ];
    let world = World::with_sections(&sections.concat()).await;
    assert_eq!(world.gateway.traffic.len(), 6);
    // There is no room for anybody else.
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    world.until_sum("tollgate_connections", &[], 1.0).await;
    let before = world.log_lines(1).await.len();
    for _ in 0..3 {
        world.gateway.answers().await.unwrap();
    }
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_connections", &[]), 1.0);
    assert_eq!(metrics.sum("tollgate_connections_refused_total", &[]), 0.0);
    assert_eq!(metrics.sum("tollgate_denials_total", &[]), 0.0);
    assert_eq!(metrics.sum("tollgate_requests_total", &[]), 1.0);
    client.post(INVOKE, "{}").await.assert_served();
    assert_eq!(world.log_lines(before + 1).await.len(), before + 1);
    drop(client);
    world.until_sum("tollgate_connections", &[], 0.0).await;
    // Everybody else is asked as before.
    assert!(client::get(world.gateway.traffic[3], "/").await.is_err());
    world.until_sum("tollgate_connections_refused_total", &["reason=\"allow_from\""], 1.0).await;
}

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_that_it_is_ready_then_that_all_is_well_and_then_that_it_stops() {
    let world = World::start().await;
    let socket = world.directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(DEADLINE)).unwrap();
    let file = world.directory.path().join("of-a-process.toml");
    std::fs::write(&file, world.config_text(&world.settings)).unwrap();
    let gateway = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["run", "-c"])
        .arg(&file)
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", Duration::from_secs(1).as_micros().to_string())
        // The predecessor, as after a hand-over.
        .env("WATCHDOG_PID", "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let gateway = Gateway(gateway.unwrap());
    let hear = || {
        let mut message = [0; 1_000];
        let length = systemd.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    };
    let first = hear();
    assert!(first.starts_with("READY=1"), "{first}");
    assert_eq!([hear(), hear(), hear()], ["WATCHDOG=1"; 3]);
    let told = Command::new("kill").args(["-TERM", &gateway.0.id().to_string()]).status().unwrap();
    assert!(told.success());
    let last = std::iter::repeat_with(hear).find(|message| message != "WATCHDOG=1").unwrap();
    assert_eq!(last, "STOPPING=1");
}
