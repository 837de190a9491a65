//! Values that serde accepts and the checks do not.

use super::{GOOD, examined, only_problem};

/// Each replacement in a good file gives exactly one problem: its key path, and a piece of its message or help.
#[test]
fn a_bad_value_is_reported_once_where_it_stands() {
    let cases = [
        ("127.0.0.1:8080", "0.0.0.0:8080", "listeners[0].address", "plaintext off loopback"),
        ("127.0.0.1:8080", "127.0.0.1:9464", "listeners[0].address", "cannot be bound: `admin.address` takes"),
        ("[upstream]", "[admin]\naddress = \"0.0.0.0:9464\"\n[upstream]", "admin.address", "not loopback"),
        (":8080\"", ":8080\"\nallow_from = [\"10.0.0.1/8\"]", "listeners[0].allow_from[0]", "bits beyond its prefix"),
        (":8080\"", ":8080\"\nallow_from = [\"::/129\"]", "listeners[0].allow_from[0]", "at most 128 bits"),
        (":8080\"", ":8080\"\nallow_from = []", "listeners[0].allow_from", "nobody could connect"),
        (":8080\"", ":8080\"\nproxy_protocol_from = [\"nlb\"]", "listeners[0].proxy_protocol_from[0]", "not a network"),
        (":8080\"", ":8080\"\nproxy_protocol_from = [\"::/0\"]", "listeners[0].proxy_protocol_from", "any client address"),
        (
            ":8080\"",
            ":8080\"\ntls = { certificate_file = \"c\", private_key_file = \"k\", client_certificates = \"optional\" }",
            "listeners[0].tls.client_certificates",
            "add `client_ca_file`",
        ),
        (
            ":8080\"",
            ":8080\"\ntls = { certificate_file = \"c\", private_key_file = \"k\", client_certificates = \"required\" }",
            "listeners[0].tls.client_certificates",
            "add `client_ca_file`",
        ),
        (
            ":8080\"",
            ":8080\"\ntls = { certificate_file = \"c\", private_key_file = \"k\", policy = \"old\" }",
            "listeners[0].tls.policy",
            "`intermediate`",
        ),
        ("{ requests_per_minute = 60 }", "[60]", "tenants.acme.limits", "expected a table"),
        ("[issuers", "[log]\naccess_one_in = 0\n[issuers", "log.access_one_in", "`access = false`"),
        ("[issuers", "[traces]\nendpoint = \"h:4318\"\n[issuers", "traces.endpoint", "not a URL"),
        (
            "[issuers",
            "[credentials]\naccess_key_id = \"AK\\nID\"\nsecret_access_key = { env = \"A\" }\n[issuers",
            "credentials.access_key_id",
            "not an id of AWS's",
        ),
        ("[issuers", "[traces]\nendpoint = \"https://u:p@h\"\n[issuers", "traces.endpoint", "credentials in it"),
        (
            "[issuers",
            "[traces]\nendpoint = \"http://h\"\nheaders = { a = { env = \"A\" } }\n[issuers",
            "traces.endpoint",
            "can be read on the way",
        ),
        (
            "[issuers",
            "[traces]\nendpoint = \"https://h\"\nheaders = { host = { env = \"A\" } }\n[issuers",
            "traces.headers.host",
            "itself",
        ),
        ("[issuers", "[traces]\nendpoint = \"http://h\"\nsample_ratio = 5\n[issuers", "traces.sample_ratio", "from 0 to 1"),
        ("[issuers", "[traces]\nendpoint = \"http://h\"\nqueued_spans_max = 0\n[issuers", "traces.queued_spans_max", "default"),
        (
            "[issuers",
            "[traces]\nendpoint = \"http://h\"\nexport_seconds_max = 315360001\n[issuers",
            "traces.export_seconds_max",
            "more than ten years",
        ),
        (
            "[issuers",
            "[log]\naccess_slow_seconds = 18446744073709551615\n[issuers",
            "log.access_slow_seconds",
            "more than ten years",
        ),
        (
            "[issuers",
            "[roles]\narn = \"arn:aws:iam::123456789012:role/r\"\nwait_seconds_max = 18446744073709551615\n[issuers",
            "roles.wait_seconds_max",
            "more than ten years",
        ),
        (
            "audiences",
            "token_lifetime_seconds_max = 18446744073709551615\naudiences",
            "issuers.corporate.token_lifetime_seconds_max",
            "more than ten years",
        ),
        (
            "audiences",
            "key_set_outage_seconds_max = 18446744073709551615\naudiences",
            "issuers.corporate.key_set_outage_seconds_max",
            "more than ten years",
        ),
        ("[issuers", "[downstream]\nrequests_max = 0\n[issuers", "downstream.requests_max", "refuse every request"),
        (
            "[issuers",
            "[bidirectional]\ntotal_seconds_max = 9223372036854775807\n[issuers",
            "bidirectional.total_seconds_max",
            "more than ten years",
        ),
        (
            "[issuers",
            "[downstream]\ndrain_seconds_max = 315360001\n[issuers",
            "downstream.drain_seconds_max",
            "at most 315360000",
        ),
        (
            "[issuers.corporate]",
            "[issuers.corporate]\ntenant_claim = [\"a\"]",
            "issuers.corporate.tenant_claim",
            "without brackets",
        ),
        ("us-east-1", "us_east_1", "upstream.region", "not the name of an AWS region"),
        (
            "[issuers",
            "[upstream.endpoints]\nbedrock-runtme = \"https://h\"\n[issuers",
            "upstream.endpoints.bedrock-runtme",
            "`bedrock-runtime`?",
        ),
        ("[issuers", "[upstream.endpoints]\nbedrock = \"https://h/p\"\n[issuers", "upstream.endpoints.bedrock", "more in it"),
        ("[issuers", "[upstream.endpoints]\nbedrock = \"http://h\"\n[issuers", "upstream.endpoints.bedrock", "off loopback"),
        ("\"https://idp.example\"", "\"\"", "issuers.corporate.issuer", "empty"),
        ("[\"bedrock\"]", "[]", "issuers.corporate.audiences", "no audience"),
        ("key_set", "algorithms = []\nkey_set", "issuers.corporate.algorithms", "no algorithm"),
        ("key_set", "algorithms = [\"none\"]\nkey_set", "issuers.corporate.algorithms[0]", "signatures with public keys"),
        ("key_set", "leeway_seconds = 301\nkey_set", "issuers.corporate.leeway_seconds", "at most 300"),
        ("key_set", "token_lifetime_seconds_max = 59\nkey_set", "issuers.corporate.token_lifetime_seconds_max", "at least 60"),
        ("key_set", "key_set_refresh_seconds = 0\nkey_set", "issuers.corporate.key_set_refresh_seconds", "without pause"),
        ("url = \"https:", "url = \"http:", "issuers.corporate.key_set.url", "off loopback"),
        ("{ url =", "{ uri =", "issuers.corporate.key_set.uri", "did you mean `url`?"),
        ("{ url = \"https://idp.example/keys\" }", "\"k.json\"", "issuers.corporate.key_set", "or `{ discovery = true }`"),
        (
            "{ url = \"https://idp.example/keys\" }",
            "{ discovery = false }",
            "issuers.corporate.key_set.discovery",
            "where are the",
        ),
        (
            "key_set",
            "key_set_outage_seconds_max = 9\nkey_set",
            "issuers.corporate.key_set_outage_seconds_max",
            "between two polls",
        ),
        ("key_set", "audience_claim = \"\"\nkey_set", "issuers.corporate.audience_claim", "`aud`"),
        ("key_set", "required_claims = { a = [] }\nkey_set", "issuers.corporate.required_claims.a", "no value would do"),
        ("key_set", "required_scopes = [\"a b\"]\nkey_set", "issuers.corporate.required_scopes[0]", "of its own"),
        ("key_set", "tenant = \"a b\"\nkey_set", "issuers.corporate.tenant", "no token could"),
        (
            "key_set",
            "tenant = \"acme\"\ntenant_claim = \"t\"\nkey_set",
            "issuers.corporate.tenant_claim",
            "`tenant` says already",
        ),
        ("key_set", "tenant = \"acme\"\ntenants.g = \"acme\"\nkey_set", "issuers.corporate.tenants", "`tenant` says already"),
        (
            "key_set",
            "tenant = \"acme\"\ntenant_prefix = \"b\"\nkey_set",
            "issuers.corporate.tenant_prefix",
            "remove `tenant_prefix`",
        ),
        ("key_set", "tenants.g = \"acme\"\ntenant_prefix = \"b\"\nkey_set", "issuers.corporate.tenant_prefix", "whole values"),
        ("key_set", "tenants.g = \"*\"\nkey_set", "issuers.corporate.tenants.g", "can be no tenant"),
        ("key_set", "tenants = {}\nkey_set", "issuers.corporate.tenants", "no value stands for a tenant"),
        ("key_set", "tenants = {}\ntenant = \"acme\"\nkey_set", "issuers.corporate.tenants", "`tenant` says already"),
        ("[tenants.acme]", "[issuers.corporate.tenants]\n[tenants.acme]", "issuers.corporate.tenants", "no value stands for"),
        ("key_set", "groups_claim = \"g\"\ngroups = {}\nkey_set", "issuers.corporate.groups", "no value stands for a group"),
        ("key_set", "tenants.g = \"amce\"\nkey_set", "issuers.corporate.tenants.g", "did you mean `acme`?"),
        ("key_set", "tenant = \"nosuch\"\nkey_set", "issuers.corporate.tenant", "add a `[tenants.NAME]` section"),
        ("key_set", "tenant_prefix = \"\"\nkey_set", "issuers.corporate.tenant_prefix", "every value"),
        ("{ url =", "{ file = \"k\", url =", "issuers.corporate.key_set", "exactly one key"),
        ("tenants.acme", "tenants.\"a b\"", "tenants.\"a b\"", "not a name for a tenant"),
        ("tenants.acme", "tenants.none", "tenants.none", "share its series with unknown callers"),
        ("tenants.acme", "tenants.other", "tenants.other", "share its series with unknown callers"),
        ("models = [\"*\"]", "models = [\"\"]", "tenants.acme.models[0]", "allows nothing"),
        ("models = [\"*\"]", "models = []", "tenants.acme.models", "allowed nothing"),
        ("models = [\"*\"]", "", "tenants.acme.models", "allowed nothing"),
        ("services = [\"*\"]", "services = [\"runtime\"]", "tenants.acme.services[0]", "the services are `bedrock`,"),
        ("Converse*", "Talk*", "tenants.acme.operations[0]", "matches no operation"),
        ("Converse*", "converse", "tenants.acme.operations[0]", "did you mean `Converse`?"),
        (
            "requests_per_minute = 60",
            "stream_bytes_per_second = 0",
            "tenants.acme.limits.stream_bytes_per_second",
            "no limit of its own",
        ),
        ("requests_per_minute = 60", "requests_per_minute = 0", "tenants.acme.limits.requests_per_minute", "smaller allow-list"),
        ("= 60", "= 60.5", "tenants.acme.limits.requests_per_minute", "found the number `60.5`"),
        ("= 60", "= 99999999999999999999999999999999999999999", "tenants.acme.limits.requests_per_minute", "4,294,967,295"),
        ("= 60", "= 2026-11-22", "tenants.acme.limits.requests_per_minute", "found a date"),
        ("[issuers", "[routing]\nhost_suffixes = [\".gw\"]\n[issuers", "routing.host_suffixes[0]", "not a DNS name"),
        ("[issuers", "[routing]\nsurface_service = \"mantle\"\n[issuers", "routing.surface_service", "`bedrock-mantle`"),
        ("[issuers", "[bodies]\nbytes_max = 25_000_001\n[issuers", "bodies.bytes_max", "more than Bedrock takes"),
        ("[issuers", "[bodies]\nread_seconds_max = 0\n[issuers", "bodies.read_seconds_max", "refuse every request"),
        ("[issuers", "[ledger]\ndurability = \"strict\"\n[issuers", "ledger.durability", "nothing is kept"),
        ("[issuers", "[ledger]\non_failure = \"closed\"\n[issuers", "ledger.on_failure", "nothing is kept"),
        ("[issuers", "[ledger]\ncommit_milliseconds_max = 501\n[issuers", "ledger.commit_milliseconds_max", "a second in all"),
        ("[issuers", "[ledger]\ncommit_milliseconds_max = 0\n[issuers", "ledger.commit_milliseconds_max", "between 1 and"),
        ("[issuers", "[ledger]\nretention_days = 0\n[issuers", "ledger.retention_days", "younger than a day"),
        ("[issuers", "[ledger]\nretention_days = 9000\n[issuers", "ledger.retention_days", "between 1 and"),
        ("[issuers", "[ledger]\nfile = \"\"\n[issuers", "ledger.file", "not the path of a file"),
        ("[issuers", "[ledger]\ndurability = \"strickt\"\n[issuers", "ledger.durability", "did you mean `strict`?"),
        ("[issuers", "[ledger]\non_failure = true\n[issuers", "ledger.on_failure", "expected a string"),
        ("[tenants.acme]", "[tenants.\"..\"]", "tenants.\"..\"", "more than `.` or `..`"),
        ("[issuers", "[log]\nlevel = \"inof\"\n[issuers", "log.level", "did you mean `info`?"),
        ("[issuers", "[log]\nlevel = \"verbose\"\n[issuers", "log.level", "nothing but a module"),
        ("[issuers", "[log]\nlevel = \"info,[\"\n[issuers", "log.level", "not a filter"),
        ("[issuers", "[log]\nlevel = \"info,pingora_proxy=warn\"\n[issuers", "log.level", "`pingora_proxy=warn` asks for lines"),
        ("[issuers", "[log]\nlevel = \"info, h2\"\n[issuers", "log.level", "nothing below `debug`"),
        ("\"us-east-1", "\"us-esat-1", "upstream.region", "did you mean `us-east-1`?"),
        ("\"us-east-1", "\"qq-zulu-7", "upstream.region", "if AWS has it by now"),
        ("[issuers", "[downstream]\nheader_bytes_max = 10\n[issuers", "downstream.header_bytes_max", "at least 1024"),
        ("[issuers", "[bidirectional]\nevent_bytes_max = 1\n[issuers", "bidirectional.event_bytes_max", "at least 256"),
        (
            "[issuers",
            "[bidirectional]\ntotal_seconds_max = 100000\n[issuers",
            "bidirectional.total_seconds_max",
            "480 seconds itself",
        ),
        ("models = [\"*\"]", "models = [\"Anthropic.Claude*\"]", "tenants.acme.models[0]", "did you mean `anthropic.Claude*`?"),
        (
            "models = [\"*\"]",
            "models = [\"*\", \"us.amzon.nova-*\"]",
            "tenants.acme.models[1]",
            "did you mean `us.amazon.nova-*`?",
        ),
        ("us-east-1\"", "us-east-1\"\nidle_seconds_max = 0", "upstream.idle_seconds_max", "use no connection twice"),
        ("[issuers", "[downstream]\nleave_seconds = 660\n[issuers", "downstream.leave_seconds", "nothing is left"),
    ];
    for (from, to, path, says) in cases {
        let (_, _, found, text) = only_problem(from, to);
        assert_eq!(found, path, "{from} → {to}: {text}");
        assert!(text.contains(says), "{from} → {to}: {text}");
    }
}

#[test]
fn a_public_listener_without_anybody_to_vouch_for_callers_is_an_error() {
    let start = GOOD.find("[issuers").unwrap();
    let end = GOOD.find("[tenants").unwrap();
    let nobody = GOOD[..start].to_owned() + &GOOD[end..];
    assert_eq!(examined(&nobody).errors().count(), 0, "on loopback it is for trying out");
    let public = nobody.replace("127.0.0.1:8080\"", "0.0.0.0:8080\"\nallow_plaintext_off_loopback = true");
    let problems = examined(&public);
    let found: Vec<_> = problems.errors().map(|p| (p.key_path.as_str(), p.message.as_str())).collect();
    assert_eq!(found, [("listeners[0].address", "a public listener, and nothing says who may call")]);
    let with_keys = format!("{public}[keys]\nfile = \"keys.toml\"\n");
    assert_eq!(examined(&with_keys).errors().count(), 0, "keys vouch for callers as well");
    let sealing = "[vending]\nsealing_keys = [{ id = \"a\", secret = { file = \"sealing\" } }]\n";
    assert_eq!(examined(&format!("{public}{sealing}")).errors().count(), 1, "what is vended is vended for an issuer's token");
}

#[test]
fn listeners_that_take_each_others_port_are_told_apart_from_those_that_do_not() {
    let second = |first: &str, second: &str| {
        let listeners = format!(
            "[[listeners]]\naddress = \"{second}\"\nallow_plaintext_off_loopback = true\n\n[[listeners]]\nallow_plaintext_off_loopback = true\n"
        );
        let text = GOOD.replacen("[[listeners]]\n", &listeners, 1).replace("127.0.0.1:8080", first);
        examined(&text).errors().count()
    };
    for (a, b) in [("127.0.0.1:1", "127.0.0.1:1"), ("127.0.0.1:1", "0.0.0.0:1"), ("[::]:1", "10.0.0.1:1"), ("[::1]:1", "[::]:1")]
    {
        assert_eq!(second(a, b), 1, "{a} {b}");
        assert_eq!(second(b, a), 1, "{b} {a}");
    }
    for (a, b) in
        [("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.1:1", "127.0.0.1:2"), ("127.0.0.1:1", "[::1]:1"), ("0.0.0.0:1", "[::1]:1")]
    {
        assert_eq!(second(a, b), 0, "{a} {b}");
    }
}

#[test]
fn two_sections_for_one_issuer_are_refused() {
    let again =
        "[issuers.other]\nissuer = \"https://idp.example\"\naudiences = [\"x\"]\nkey_set = { file = \"k\" }\n\n[tenants.acme]";
    let (_, _, path, text) = only_problem("[tenants.acme]", again);
    assert_eq!(path, "issuers.other.issuer");
    assert!(text.contains("`issuers.corporate` is this issuer already"), "{text}");
}

#[test]
fn a_file_that_admits_nobody_is_usable_but_warned_about() {
    let text = GOOD.split("[issuers").next().unwrap();
    let problems = examined(text);
    assert_eq!(problems.errors().count(), 0);
    assert_eq!(problems.warnings().map(|p| p.key_path.as_str()).collect::<Vec<_>>(), ["issuers", "tenants"]);
}

#[test]
fn no_key_set_is_to_be_fetched_in_a_billion_years() {
    let never = u64::MAX;
    let text =
        GOOD.replace("audiences", &format!("key_set_refresh_seconds = {never}\nkey_set_outage_seconds_max = {never}\naudiences"));
    let problems = examined(&text);
    let found: Vec<_> = problems.errors().map(|problem| problem.key_path.as_str()).collect();
    assert_eq!(
        found,
        ["issuers.corporate.key_set_refresh_seconds", "issuers.corporate.key_set_outage_seconds_max"],
        "{problems}"
    );
}

#[test]
fn credentials_in_a_url_stay_out_of_the_report() {
    let problems = examined(&GOOD.replace("https://idp.example/keys", "https://me:hunter2@idp.example/keys"));
    let report = problems.to_string();
    assert!(report.contains("has credentials in it") && !report.contains("hunter2"), "{report}");
}

#[test]
fn a_secret_in_the_file_stays_out_of_the_report_whatever_is_wrong_around_it() {
    for fault in [
        "secret_access_key = \"hunter2\"",
        "secret_access_key = hunter2",
        "secret_access_key = { env = \"hunter2/\" }, x = 1",
        "secret = \"hunter2\"",
        "[traces.headers]\nx-team = \"hunter2\"",
        "[traces]\nheaders = { x-team = \"hunter2\" }",
        "[traces]\nheaders = {\n  x-team = \"hunter2\n}",
        "[traces]\nheaders = {\n  x-team = \"hunter2\"\n}",
        "[traces]\nheaders = { # one\n  x-team = {\n  env = \"hunter2\n}\n}",
        "[traces]\nheaders.x-team = \"\"\"\nhunter2",
        "[trace]\nauthorization = [\n  [\n  \"hunter2\n]]",
        "[traces.headers]\nx-team = { env = \"hunter2\", file = \"hunter2\" }",
        "[traces.headers]\nx-api-key = hunter2",
        "[traces.headers]\nx-team \"hunter2\"",
        "foo = \"hunter2\"",
        "secret_access_key \"hunter2\"",
        "secret_access_key: \"hunter2\"",
        "[vending]\nsealing_keys = \"hunter2\"",
        "[vending]\nsealing_keys = [\"hunter2\"]",
        "[vending]\nsealing_keys = [\n  \"hunter2\",\n]",
        "[vendign]\nsealing_keys = [\n  \"hunter2\",\n]",
        "[vendign]\nsealing_keys \"hunter2\"",
        "[[vending.sealing_keys]]\nid = \"a\"\nkey = \"hunter2\"",
        "[traces]\nendpoint = \"me:hunter2@host\"",
        "[traces]\nendpoint = \"ftp://host/path?key=hunter2\"",
        "[keys]\nfiel = \"hunter2\"",
    ] {
        let text = GOOD.replace("[upstream]", &format!("[credentials]\naccess_key_id = \"AKID\"\n{fault}\n[upstream]"));
        let problems = examined(&text);
        assert!(problems.errors().count() > 0);
        let lines: String = problems.lines().map(|(_, line)| line).collect();
        assert!(!(problems.render(true) + &lines).contains("hunter2"), "{problems}");
    }
}

#[test]
fn a_problem_fits_on_a_line_of_the_log() {
    let problems = examined(&GOOD.replace("us-east-1", "mars"));
    let lines: Vec<String> = problems.lines().map(|(_, line)| line).collect();
    assert_eq!(
        lines,
        [
            "t.toml:6:10: upstream.region: `mars` is not the name of an AWS region; write it as AWS does: `us-east-1`; a zone's letter does not belong to it"
        ]
    );
}

#[test]
fn patterns_for_models_that_may_come_are_nobodys_slip() {
    for glob in [
        "anthropic.claude-nova-9*",
        "us.anthropic.*",
        "*.anthropic.*",
        "amazon.*",
        "us-gov.amazon.x",
        "jp.*",
        "acme.llama-tuned",
        "xai.grok-*",
        "*",
        "meta*",
        "global.zai.glm-9",
        "arn:aws:bedrock:us-east-1:123456789012:imported-model/amzon.x",
    ] {
        let text = GOOD.replace("models = [\"*\"]", &format!("models = [{glob:?}]"));
        assert_eq!(examined(&text).to_string(), "", "{glob}");
    }
}
