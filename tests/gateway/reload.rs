//! A new configuration takes over at once and whole, or not at all; nobody who is being served notices.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{net::TcpListener, task::JoinSet};
use tollgate::{auth::DevelopmentIssuer, server};

use crate::{
    client::{self, Answer, Client, post},
    harness::{CONVERSE, CONVERSE_STREAM, Certificate, INVOKE, Metrics, Settings, World, issuer, tenant, until, within},
    process::{Process, within_ready},
    puppet::Puppet,
};

fn generation(metrics: &Metrics) -> f64 {
    metrics.sum("tollgate_config_generation", &[])
}

/// acme is gone.
fn without_acme(world: &World) -> Settings {
    Settings { tenants: tenant("globex", ""), ..world.settings.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_written_in_place_or_renamed_over_is_noticed() {
    let world = World::start().await;
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    fs::write(world.config_file(), world.config_text(&without_acme(&world))).unwrap();
    world.until_metrics("the second configuration", |metrics| generation(metrics) == 2.0).await;
    client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");

    let beside = world.directory.path().join(".tollgate.toml.new");
    fs::write(&beside, world.config_text(&world.settings)).unwrap();
    fs::rename(&beside, world.config_file()).unwrap();
    world.until_metrics("the third configuration", |metrics| generation(metrics) == 3.0).await;
    client.post(INVOKE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_a_files_place_keeps_neither_a_reload_nor_the_end() {
    let world = World::start().await;
    for name in ["keys.json", "tollgate.toml"] {
        let process = Process::run(&world);
        process.address("traffic").await;
        let [file, beside] = [name, "beside"].map(|name| world.directory.path().join(name));
        let contents = fs::read(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&beside).status().unwrap().success());
        fs::rename(&beside, &file).unwrap();
        let refused = || process.text().contains("configuration not reloaded") && process.text().contains("it is a named pipe");
        until("the reload is refused", refused).await;
        fs::write(&beside, contents).unwrap();
        fs::rename(&beside, &file).unwrap();
        until("the next is not", || process.text().contains("\"configuration reloaded\"")).await;
        process.signal("TERM");
        assert!(process.ended().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_more_can_be_watched_changes_are_found_by_looking() {
    let tried = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        println!("no namespaces here: nothing is tested");
        return;
    }
    let world = World::start().await;
    let mut command = Command::new("unshare");
    let run = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$0\" run -c \"$1\"";
    command.args(["-r", "sh", "-c", run, env!("CARGO_BIN_EXE_tollgate")]).arg(world.config_file());
    let process = Process::of(command);
    let mut client = Client::h1(process.address("traffic").await, world.bearer("acme")).await;
    within_ready(&mut client).await;
    assert_eq!(process.text().matches("fs.inotify.max_user_instances` may be too low").count(), 1, "{}", process.text());
    fs::write(world.config_file(), world.config_text(&without_acme(&world))).unwrap();
    until("it is reloaded", || process.text().contains("\"configuration reloaded\"")).await;
    client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");
    assert_eq!(process.text().matches("is not watched").count(), 1, "{}", process.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_directory_that_is_swapped_by_a_link_is_noticed() {
    let world = World::start().await;
    // As Kubernetes mounts a ConfigMap: file → ..data/file, ..data → a directory with a date.
    let mount = world.directory.path().join("mount");
    let version = |name: &str, settings: &Settings| {
        let version = mount.join(name);
        fs::create_dir_all(&version).unwrap();
        for file in ["keys.json", "secret", "session-token", "simulator-ca.pem", "server.pem", "server.key"] {
            fs::copy(world.directory.path().join(file), version.join(file)).unwrap();
        }
        fs::write(version.join("tollgate.toml"), world.config_text(settings)).unwrap();
    };
    version("..2026_01", &world.settings);
    symlink("..2026_01", mount.join("..data")).unwrap();
    for entry in fs::read_dir(mount.join("..2026_01")).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(std::path::Path::new("..data").join(&name), mount.join(&name)).unwrap();
    }
    let gateway = server::start_logging_to(mount.join("tollgate.toml"), None, std::io::sink()).await.unwrap();
    gateway.ready().await;
    let mut client = Client::h1(gateway.traffic[0], world.bearer("acme")).await;
    client.post(INVOKE, "{}").await.assert_served();

    for (count, settings) in [without_acme(&world), world.settings.clone()].into_iter().enumerate() {
        let name = format!("..2026_0{}", count + 2);
        version(&name, &settings);
        symlink(&name, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        within(async {
            loop {
                let text = client::get(gateway.admin, "/metrics").await.unwrap().1;
                if generation(&Metrics(text)) == (count + 2) as f64 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let answer = client.post(INVOKE, "{}").await;
        assert_eq!(answer.status, [403, 200][count], "{answer:?}");
    }
}

/// What forbids stands at the end of the file.
fn forbidding(world: &World, comment: &str) -> (String, &'static str) {
    (world.config_text(&world.settings) + "\n# " + comment + "\n", "[tenants.acme.deny]\nmodels = [\"*\"]\n")
}

/// For longer than a file has to be quiet, what the file said before is in force.
async fn assert_still_forbidden(client: &mut Client, pause: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < pause {
        client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_not_read_before_its_writer_is_done() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let (allows, forbids) = forbidding(&world, "first");
    fs::write(world.config_file(), allows + forbids).unwrap();
    world.until_metrics("the second configuration", |metrics| generation(metrics) == 2.0).await;

    let (allows, forbids) = forbidding(&world, "second");
    let mut file = File::create(world.config_file()).unwrap();
    file.write_all(allows.as_bytes()).unwrap();
    assert_still_forbidden(&mut client, Duration::from_secs(2)).await;
    file.write_all(forbids.as_bytes()).unwrap();
    drop(file);
    world.until_metrics("the third configuration", |metrics| generation(metrics) == 3.0).await;
    client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");

    // The operator may ask for it as it is.
    let mut file = File::create(world.config_file()).unwrap();
    file.write_all(world.config_text(&world.settings).as_bytes()).unwrap();
    assert!(world.gateway.reload().await);
    client.post(INVOKE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_writer_nobody_hears_is_read_after_a_longer_quiet() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let (allows, forbids) = forbidding(&world, "first");
    // Under its other name it is written in a directory that is not watched.
    let elsewhere = tempfile::tempdir_in(world.directory.path()).unwrap();
    let other = elsewhere.path().join("tollgate.toml");
    fs::write(&other, allows + forbids).unwrap();
    fs::remove_file(world.config_file()).unwrap();
    fs::hard_link(&other, world.config_file()).unwrap();
    world.until_metrics("the linked configuration", |metrics| generation(metrics) == 2.0).await;

    let (allows, forbids) = forbidding(&world, "second");
    let mut file = File::create(&other).unwrap();
    file.write_all(allows.as_bytes()).unwrap();
    // Whatever else happens in the directory makes the gateway look.
    fs::write(world.directory.path().join("noise"), "").unwrap();
    assert_still_forbidden(&mut client, Duration::from_secs(2)).await;
    file.write_all(forbids.as_bytes()).unwrap();
    world.until_metrics("the third configuration", |metrics| generation(metrics) == 3.0).await;
    client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_took_anothers_place_is_watched() {
    let world = World::start().await;
    let [first, second] = ["first", "second"].map(|name| world.directory.path().join(name));
    for directory in [&first, &second] {
        fs::create_dir(directory).unwrap();
        for file in ["keys.json", "secret", "session-token", "simulator-ca.pem", "server.pem", "server.key"] {
            fs::copy(world.directory.path().join(file), directory.join(file)).unwrap();
        }
        let (allows, forbids) = forbidding(&world, &directory.display().to_string());
        fs::write(directory.join("tollgate.toml"), allows + forbids).unwrap();
    }
    let gateway = server::start_logging_to(first.join("tollgate.toml"), None, std::io::sink()).await.unwrap();
    gateway.ready().await;
    let reaches = async |number: f64| {
        within(async { while generation(&Metrics(client::get(gateway.admin, "/metrics").await.unwrap().1)) != number {} }).await
    };
    fs::rename(&first, world.directory.path().join("old")).unwrap();
    fs::rename(&second, &first).unwrap();
    reaches(2.0).await;

    let mut client = Client::h1(gateway.traffic[0], world.bearer("acme")).await;
    let (allows, forbids) = forbidding(&world, "third");
    let mut file = File::create(first.join("tollgate.toml")).unwrap();
    file.write_all(allows.as_bytes()).unwrap();
    // Longer than what nobody hears of may rest.
    assert_still_forbidden(&mut client, Duration::from_secs(6)).await;
    file.write_all(forbids.as_bytes()).unwrap();
    drop(file);
    reaches(3.0).await;
    client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_shows() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let good = world.config_text(&world.settings);
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("region", "regoin"),
        good.replace("server.pem", "gone.pem"),
    ] {
        fs::write(world.config_file(), bad).unwrap();
        assert!(!world.gateway.reload().await);
        client.post(INVOKE, "{}").await.assert_served();
    }
    fs::remove_file(world.config_file()).unwrap();
    assert!(!world.gateway.reload().await);
    client.post(INVOKE, "{}").await.assert_served();
    let metrics = world.metrics().await;
    assert_eq!((generation(&metrics), metrics.sum("tollgate_config_last_reload_successful", &[])), (1.0, 0.0));
    assert!(metrics.sum("tollgate_config_reloads_total", &["failed"]) >= 5.0);
    assert!(world.reload(&world.settings).await);
    let metrics = world.metrics().await;
    assert_eq!(metrics.sum("tollgate_config_last_reload_successful", &[]), 1.0);
    assert_eq!(world.admin("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_after_the_configuration_that_names_it_is_noticed() {
    let world = World::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let list = elsewhere.path().join("prices.toml");
    let text = format!("{}\n[prices]\nfile = \"{}\"\n", world.config_text(&world.settings), list.display());
    fs::write(world.config_file(), text).unwrap();
    world.until_metrics("it is refused", |metrics| metrics.sum("tollgate_config_reloads_total", &["failed"]) >= 1.0).await;
    fs::write(&list, "").unwrap();
    world.until_metrics("it is in force", |metrics| generation(metrics) == 2.0).await;
    let refused = world.metrics().await.sum("tollgate_config_reloads_total", &["failed"]);
    assert_eq!(refused, 1.0, "what is wrong is said once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_a_configuration_with_other_files_is_loaded_is_noticed() {
    let world = World::start().await;
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = issuer.local_addr().unwrap();
    fs::write(world.directory.path().join("prices.toml"), "").unwrap();
    let text = |settings: &Settings| {
        let others = format!(
            "[prices]\nfile = \"prices.toml\"\n[issuers.slow]\nissuer = \"http://{address}\"\naudiences = [\"x\"]\n\
             key_set = {{ url = \"http://{address}/keys\" }}\n"
        );
        format!("{}\n{others}", world.config_text(settings))
    };
    let put = |text: String| {
        let beside = world.directory.path().join(".tollgate.toml.new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, world.config_file()).unwrap();
    };
    put(text(&world.settings));
    // It has been read, and waits for the keys.
    let asked = within(issuer.accept()).await.unwrap();
    put(text(&without_acme(&world)));
    drop((asked, issuer));
    world.until_metrics("the last one", |metrics| generation(metrics) >= 3.0).await;
    world.h1().await.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_price_list_is_noticed_and_a_bad_one_changes_nothing() {
    let elsewhere = tempfile::tempdir().unwrap();
    let list = elsewhere.path().join("prices.toml");
    fs::write(&list, "").unwrap();
    let world = World::with_sections(&format!("[prices]\nfile = \"{}\"\n", list.display())).await;
    fs::write(&list, "[requests]\nApplyGuardrail = \"0.1\"\n").unwrap();
    world.until_metrics("the new prices", |metrics| generation(metrics) == 2.0).await;
    fs::write(&list, "[requests]\nApplyGuardrail = 0.1\n").unwrap();
    assert!(!world.gateway.reload().await);
    world.h1().await.post(INVOKE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_limits_issuers_and_routes_change_by_reload() {
    let world = World::start().await;
    let mut client = world.h1().await;
    let limited = Settings { tenants: tenant("acme", "requests_per_minute = 3"), ..world.settings.clone() };
    assert!(world.reload(&limited).await);
    client.post(INVOKE, "{}").await.assert_served();
    let mut globex = world.h1().await;
    globex.authorization = world.bearer("globex");
    globex.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");

    // The same token, verified and cached before, is of no use once its issuer is gone.
    let other = Settings { issuers: issuer("other", "https://other.example"), ..world.settings.clone() };
    assert!(world.reload(&other).await);
    client.post(INVOKE, "{}").await.assert_refused(403, "UnrecognizedClientException");
    client.authorization = format!("Bearer {}", world.token_of("https://other.example", "acme"));
    client.post(INVOKE, "{}").await.assert_served();

    let mantle = Settings { sections: "[routing]\nsurface_service = \"bedrock-mantle\"".to_owned(), ..world.settings.clone() };
    assert!(world.reload(&mantle).await);
    let mut client = world.h1().await;
    client.post("/anthropic/v1/messages", "{\"model\":\"m\"}").await;
    assert_eq!(world.simulator.record().requests().pop().unwrap().service, "bedrock-mantle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawn_keys_stop_and_new_ones_start_by_reload() {
    let world = World::start().await;
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    let next = DevelopmentIssuer::generate().unwrap();
    fs::write(world.directory.path().join("keys.json"), next.key_set_json()).unwrap();
    assert!(world.gateway.reload().await);
    client.post(INVOKE, "{}").await.assert_refused(403, "UnrecognizedClientException");
    let token = next.mint("https://issuer.example", "gateway", "acme", "user-1", Duration::from_secs(60), SystemTime::now());
    client.authorization = format!("Bearer {token}");
    client.post(INVOKE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_keys_takes_them_away_and_one_that_is_no_key_set_is_a_mistake() {
    let world = World::start().await;
    let file = world.directory.path().join("keys.json");
    let keys = fs::read_to_string(&file).unwrap();
    let mut client = world.h1().await;
    client.post(INVOKE, "{}").await.assert_served();
    for mistake in ["", "<html>", "{\"keys\":{}}"] {
        fs::write(&file, mistake).unwrap();
        assert!(!world.gateway.reload().await, "{mistake}");
        client.post(INVOKE, "{}").await.assert_served();
    }
    let other = r#"{"keys":[{"kty":"EC","crv":"P-521","x":"AA","y":"AA","kid":"a"}]}"#;
    for none in ["{\"keys\":[]}", other] {
        fs::write(&file, none).unwrap();
        assert!(world.gateway.reload().await, "{none}");
        client.post(INVOKE, "{}").await.assert_refused(503, "ServiceUnavailableException");
        fs::write(&file, &keys).unwrap();
        assert!(world.gateway.reload().await);
        client.post(INVOKE, "{}").await.assert_served();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_reload_changes_no_issuers_keys() {
    let second =
        "\n[issuers.second]\nissuer = \"https://second.example\"\naudiences = [\"a\"]\nkey_set = { file = \"second.json\" }\n";
    let world = World::start().await;
    let file = |name: &str| world.directory.path().join(name);
    let keys = fs::read_to_string(file("keys.json")).unwrap();
    fs::write(file("second.json"), &keys).unwrap();
    fs::write(world.config_file(), world.config_text(&world.settings) + second).unwrap();
    assert!(world.gateway.reload().await);
    let mut client = world.h1().await;
    fs::write(file("second.json"), "<html>").unwrap();
    let others = DevelopmentIssuer::generate().unwrap().key_set_json();
    for keys in ["{\"keys\":[]}", &others] {
        fs::write(file("keys.json"), keys).unwrap();
        assert!(!world.gateway.reload().await);
        client.post(INVOKE, "{}").await.assert_served();
    }
    fs::write(file("second.json"), &keys).unwrap();
    assert!(world.gateway.reload().await);
    client.post(INVOKE, "{}").await.assert_refused(403, "UnrecognizedClientException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_listeners_change_by_reload() {
    let world = World::start().await;
    let mut before = world.h2().await;
    let renewed = Certificate::new();
    renewed.write(&world.directory, "server");
    assert!(world.gateway.reload().await);
    let connect = async |ca: &str| Client::tls(world.gateway.traffic[1], ca, "h2", world.bearer("acme")).await;
    assert!(connect(&world.ca).await.is_err());
    connect(&renewed.ca).await.unwrap().post(INVOKE, "{}").await.assert_served();
    before.post(INVOKE, "{}").await.assert_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_keeps_the_configuration_it_began_with() {
    let puppet = Puppet::start().await;
    let world = World::with_upstream(&puppet.upstream()).await;
    let mut client = world.h1().await;
    let answering = tokio::spawn(async move { client.send(post(CONVERSE_STREAM, "{}")).await.map(|head| (head, client)) });
    let mut upstream = puppet.request().await;
    upstream.say_head().await;
    let (response, mut client) = within(answering).await.unwrap().unwrap();
    assert!(world.reload(&without_acme(&world)).await);
    upstream.say_chunk("event").await;
    upstream.say("0\r\n\r\n").await;
    let answer = Answer::read(response).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"event"[..]));
    client.post(INVOKE, "{}").await.assert_refused(403, "AccessDeniedException");
    let lines = world.log_lines(2).await;
    let generation = |status: u16| lines.iter().find(|line| line["status"] == status).unwrap()["generation"].as_u64();
    assert_eq!((generation(200), generation(403)), (Some(1), Some(2)));
    world.until_sum("tollgate_requests_in_flight", &["acme"], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_against_a_limit_survives() {
    let world = World::with_limits("requests_per_minute = 4").await;
    let mut client = world.h1().await;
    for _ in 0..2 {
        client.post(CONVERSE, "{}").await.assert_served();
        client.post(CONVERSE, "{}").await.assert_served();
        assert!(world.reload(&without_acme(&world)).await);
        assert!(world.reload(&world.settings).await);
        if world.served_count() == 4 {
            break;
        }
    }
    client.post(CONVERSE, "{}").await.assert_refused(429, "ThrottlingException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rewrites_under_load_fail_no_request() {
    let world = Arc::new(World::start().await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for number in 0..6 {
        let stop = stop.clone();
        let mut client = if number % 2 == 0 { world.h1().await } else { world.h2().await };
        load.spawn(async move {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                client.post(CONVERSE, "{}").await.assert_served();
                served += 1;
            }
            served
        });
    }
    for round in 0..200 {
        let mut settings = world.settings.clone();
        settings.sections = format!("# {round}\n[bodies]\nwait_seconds_max = {}", 5 + round % 2);
        assert!(world.reload(&settings).await);
    }
    stop.store(true, Ordering::Relaxed);
    let served: Vec<u64> = load.join_all().await;
    assert!(served.iter().all(|&served| served > 0), "{served:?}");
    assert_eq!(world.served_count() as u64, served.iter().sum::<u64>());
    assert!(generation(&world.metrics().await) >= 201.0);
}
