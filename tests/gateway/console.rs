//! The console from outside: operators see on the admin listener who spends, what was refused and what changed; tenants see their own
//! page on the traffic listener, and nothing of others.

use http::{Method, Request};

use crate::{
    accounts::{reporting, until_ledger, with_quota},
    client::{Answer, Client, Upload, post, with},
    harness::{CONVERSE, Settings, World, tenant},
    vending::bare,
};

const PAGE: &str = "/v1/usage";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

const PAGES: [&str; 7] = [
    "/console",
    "/console/tenants",
    "/console/tenants/acme",
    "/console/models",
    "/console/upstreams",
    "/console/configuration",
    "/console/refusals",
];

fn browser(method: Method, target: &str) -> Request<Upload> {
    let request = Request::builder().method(method).uri(target).header("accept", BROWSER);
    request.body(Upload::none()).unwrap()
}

/// What the form sends.
fn form(body: String) -> Request<Upload> {
    let mut request = with(post(PAGE, body), "accept", BROWSER);
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    request
}

fn html(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{answer:?}");
    assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"));
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(answer.headers.get("set-cookie").is_none());
    String::from_utf8(answer.body.to_vec()).unwrap()
}

async fn console(world: &World, target: &str) -> String {
    let mut client = Client::h1(world.gateway.admin, String::new()).await;
    let answer = client.get(target).await;
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    html(&answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_who_spends_and_what_is_refused() {
    let world = with_quota("usd_per_day = \"0.002\"").await;
    world.h1().await.ask(reporting(CONVERSE, r#"{"inferenceConfig":{"maxTokens":100}}"#, 4_000, 100)).await.assert_served();
    let hostile = "/model/%3Cscript%3Ealert(1)%3Cscript%3E/converse";
    Client::h1(world.gateway.traffic[0], world.bearer("globex")).await.post(hostile, "{}").await.assert_served();
    let refused = world.h1().await.post(CONVERSE, r#"{"inferenceConfig":{"maxTokens":1000}}"#).await;
    refused.assert_refused(400, "ServiceQuotaExceededException");
    let id = refused.header("x-tollgate-request-id").to_owned();
    let mut nobody = bare(&world).await;
    for _ in 0..6 {
        assert_eq!(nobody.post(CONVERSE, "{}").await.status, 403);
    }
    until_ledger(&world, 2).await;
    world.until_sum("tollgate_denials_total", &[], 7.0).await;

    let overview = console(&world, "/console").await;
    // $0.25 and $1.25 per million tokens.
    for said in ["$0.0011", "56 % of $0.0020 per day", "nobody known", "no token came with the request", id.as_str()] {
        assert!(overview.contains(said), "{said}: {overview}");
    }
    let tenant = console(&world, "/console/tenants/acme").await;
    assert!(tenant.contains("$0.0008") && tenant.contains(&id) && !tenant.contains("globex"), "{tenant}");
    assert!(tenant.contains("tenant acme has 0.000875 of 0.002 US dollars per day left"), "{tenant}");
    let models = console(&world, "/console/models").await;
    assert!(models.contains("&#60;script&#62;alert(1)") && models.contains("no price"), "{models}");
    for page in PAGES {
        let page = console(&world, page).await;
        assert!(!page.contains("<script") && !page.contains("simulator-secret"), "{page}");
    }
    let live = console(&world, "/console/refusals?tenant=none&refresh").await;
    assert!(live.contains("http-equiv=\"refresh\"") && !live.contains(&id), "{live}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_found_read_only_and_without_a_page_too_many() {
    let world = World::start().await;
    let mut client = Client::h1(world.gateway.admin, String::new()).await;
    let root = client.get("/").await;
    assert_eq!((root.status, root.header("location")), (307, "/console"));
    for path in ["/console/", "/console?refresh"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    for path in ["/console/tenants/nobody", "/console/nothing", "/consoles", "/console/tenants/..%2f"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = client.ask(browser(method, "/console")).await;
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));
    }
    let head = client.ask(browser(Method::HEAD, "/console")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_shows_what_it_changed_and_one_that_fails_shows_why() {
    let world = World::with_limits("requests_per_minute = 600").await;
    let limited = |limits: &str| Settings { tenants: tenant("acme", limits) + &tenant("globex", ""), ..world.settings.clone() };
    assert!(console(&world, "/console/configuration").await.contains("Nothing since the start"));
    assert!(world.reload(&limited("requests_per_minute = 300")).await);
    let page = console(&world, "/console/configuration").await;
    for said in ["From number 1 to 2", "tenants.acme.limits.requests_per_minute", "600", "300"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!world.reload(&limited("requests_per_minut = 300")).await);
    let page = console(&world, "/console/configuration").await;
    assert!(
        page.contains("The last reload failed") && page.contains("requests_per_minut") && page.contains("From number 1 to 2")
    );
    assert!(console(&world, "/console").await.contains("stays in force"));

    std::fs::write(world.directory.path().join("secret"), "another-secret").unwrap();
    assert!(world.reload(&limited("requests_per_minute = 300")).await);
    let page = console(&world, "/console/configuration").await;
    assert!(
        page.contains("these files were different") && page.contains("/secret") && !page.contains("another-secret"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_asked_for_a_credential_and_sees_one_tenant() {
    let world = with_quota("tokens_per_day = 10_000").await;
    world.h1().await.ask(reporting(CONVERSE, "{}", 1_000, 100)).await.assert_served();
    until_ledger(&world, 1).await;
    let mut clients = [world.h1().await, world.h2().await];
    for client in &mut clients {
        let by_header = client.ask(browser(Method::GET, PAGE)).await;
        assert!(html(&by_header).contains("<h1>acme</h1>"));
        client.authorization.clear();
        let asked = client.ask(browser(Method::GET, PAGE)).await;
        let text = html(&asked);
        assert_eq!((asked.status, asked.header("vary")), (200, "accept"));
        assert!(text.contains("<form") && text.contains("name=\"credential\"") && !text.contains("acme"), "{text}");

        let token = world.token("acme");
        let shown = client.ask(form(format!("credential={token}"))).await;
        let text = html(&shown);
        assert_eq!(shown.status, 200, "{text}");
        for said in ["<h1>acme</h1>", "8,900", "1,100", "10,000", "tokens per day"] {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(!text.contains("globex") && !text.contains(&token) && !text.contains("/console"), "{text}");
    }
    assert_eq!(world.served_count(), 1, "nothing of this goes upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_is_no_way_around_admission() {
    let world = World::with_limits("requests_per_minute = 2").await;
    let mut client = bare(&world).await;
    for (body, status) in [
        ("credential=nobody".to_owned(), 401),
        ("credential=".to_owned(), 401),
        (String::new(), 401),
        (format!("credential={}", world.token("stranger")), 403),
        (format!("credential={0}&credential={0}", world.token("acme")), 401),
        (format!("credential={}%0d%0ax-api-key:1", world.token("acme")), 401),
        ("credential=AWS4-HMAC-SHA256+Credential%3DAKID".to_owned(), 401),
    ] {
        let refused = client.ask(form(body.clone())).await;
        let text = html(&refused);
        assert_eq!(refused.status, status, "{body}: {text}");
        let id = refused.header("x-tollgate-request-id");
        assert!(text.contains("<form") && text.contains(id) && !text.contains("acme"), "{text}");
    }
    let mut other = form(format!("credential={}", world.token("acme")));
    other.headers_mut().remove("accept");
    assert_eq!(client.ask(other).await.status, 401, "a program that sends no credential where credentials are");
    let query = format!("{PAGE}?access_token={}", world.token("acme"));
    assert_eq!(client.ask(browser(Method::GET, &query)).await.status, 400);
    let large = client.ask(form(format!("credential={}", "a".repeat(40_000)))).await;
    assert_eq!(large.status, 413);

    let mut client = bare(&world).await;
    let good = || form(format!("credential={}", world.token("acme")));
    for _ in 0..2 {
        assert_eq!(client.ask(good()).await.status, 200);
    }
    let limited = client.ask(good()).await;
    assert_eq!((limited.status, limited.header("retry-after").is_empty()), (429, false));
    assert!(html(&limited).contains("requests-per-minute"));
    world.until_sum("tollgate_denials_total", &["reason=\"requests-per-minute\"", "tenant=\"acme\""], 1.0).await;
    let lines = world.log_lines(13).await;
    assert!(lines.iter().any(|line| line["operation"] == "GetUsage" && line["tenant"] == "acme" && line["status"] == 200));
    assert!(!serde_json::to_string(&lines).unwrap().contains(&world.token("acme")[..40]));
    assert_eq!(world.served_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_name_that_a_web_site_chose_only_health_is_told_over_loopback() {
    let world = World::start().await;
    let mut client = Client::h1(world.gateway.admin, String::new()).await;
    let mut status = async |path: &str, host: &str| {
        let mut request = browser(Method::GET, path);
        request.headers_mut().insert("host", host.parse().unwrap());
        client.ask(request).await.status
    };
    for path in ["/console", "/console/tenants/acme", "/usage", "/usage/acme", "/metrics"] {
        assert_eq!(status(path, "evil.example").await, 421, "{path}");
        assert_eq!(status(path, "localhost:9464").await, 200, "{path}");
        assert_eq!(status(path, "127.0.0.1").await, 200, "{path}");
    }
    assert_eq!([status("/", "evil.example").await, status("/nothing", "evil.example").await], [421, 421]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(path, "evil.example").await, 200, "{path}");
    }
}
