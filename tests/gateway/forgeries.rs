//! What an attacker with a list sends, over real sockets: forged tokens in each place where a token may stand, and signatures that are
//! not over what came. Every one is refused, and nothing of it reaches Bedrock.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tollgate::auth::DevelopmentIssuer;

use crate::{
    client::{Answer, post, with},
    harness::{CONVERSE, World},
    signing::{Message, Signer, vend},
    vending::{bare, vending},
};

const PLACEHOLDER: &str =
    "AWS4-HMAC-SHA256 Credential=placeholder/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs any header and any claims, as the issuer itself.
fn sign(issuer: &DevelopmentIssuer, header: &str, claims: &str) -> String {
    let key = EncodingKey::from_ec_pem(issuer.private_key_pem().as_bytes()).unwrap();
    let signed = format!("{}.{}", b64(header), b64(claims));
    let signature = crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap();
    format!("{signed}.{signature}")
}

fn header(issuer: &DevelopmentIssuer) -> Value {
    json!({ "alg": "ES256", "typ": "JWT", "kid": issuer.key_id() })
}

fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({ "iss": "https://issuer.example", "aud": "gateway", "sub": "alice", "tenant": "acme", "iat": now - 5, "exp": now + 3_600 })
}

fn changed(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// The object with something before its last brace, which a JSON library would not write.
fn extended(object: &Value, more: &str) -> String {
    format!("{},{more}}}", object.to_string().strip_suffix('}').unwrap())
}

/// Headers that the issuer's key has signed.
fn headers(issuer: &DevelopmentIssuer) -> Vec<String> {
    let own = DevelopmentIssuer::generate().unwrap();
    let own_set: Value = serde_json::from_str(&own.key_set_json()).unwrap();
    let good = header(issuer);
    let mut all: Vec<String> = [
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("jku", json!("https://evil.example/keys")),
        ("jwk", own_set["keys"][0].clone()),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["MIIB"])),
        ("cty", json!("JWT")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!("logout+jwt")),
        ("typ", json!(1)),
    ]
    .into_iter()
    .map(|(name, value)| changed(good.clone(), name, value).to_string())
    .collect();
    for algorithm in
        ["none", "None", "nOnE", "", "HS256", "ES384", "ES512", "RS256", "PS256", "EdDSA", "es256", "ES256\0", "ES256 "]
    {
        all.push(changed(good.clone(), "alg", json!(algorithm)).to_string());
    }
    for key_id in ["../../../../dev/null", "/dev/null", "' OR 1=1 --", "$(id)", "*", "", "\0", "http://evil.example", "keys.json"]
    {
        all.push(changed(good.clone(), "kid", json!(key_id)).to_string());
    }
    for key_id in [json!([issuer.key_id()]), json!({}), json!(0), Value::Null, json!("k".repeat(300))] {
        all.push(changed(good.clone(), "kid", key_id).to_string());
    }
    for more in [r#""alg":"none""#, r#""\u0061lg":"none""#, r#""alg":"ES256""#, r#""kid":"other""#, r#""x":{"y":1,"y":2}"#] {
        all.push(extended(&good, more));
    }
    all.push(format!("\u{feff}{good}"));
    all.push(format!("[{good}]"));
    all.push(format!("{good}{good}"));
    all
}

/// Claims that the issuer's key has signed.
fn all_claims(issuer: &DevelopmentIssuer) -> Vec<String> {
    let good = claims();
    let now = good["iat"].as_u64().unwrap();
    let nested = sign(issuer, &header(issuer).to_string(), &good.to_string());
    let mut all: Vec<String> = [
        ("iss", json!(["https://issuer.example"])),
        ("iss", json!("https://issuer.example/")),
        ("iss", json!("https://issuer.example\0")),
        ("iss", json!("HTTPS://issuer.example")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!([["gateway"]])),
        ("aud", json!(["gateway", 1])),
        ("aud", json!("gateway,other")),
        ("aud", json!("*")),
        ("aud", json!({ "gateway": true })),
        ("exp", json!(now - 3_600)),
        ("exp", json!((now + 3_600).to_string())),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(true)),
        ("exp", json!([now + 3_600])),
        ("exp", Value::Null),
        ("exp", json!(now + 10_000_000)),
        ("nbf", json!(now + 3_600)),
        ("nbf", json!("0")),
        ("iat", json!(now + 3_000)),
        ("iat", json!(-1)),
        ("sub", json!("")),
        ("sub", json!(["alice"])),
        ("sub", json!("alice\r\nx-tenant: globex")),
        ("sub", json!("al\u{202e}ice")),
        ("tenant", json!(["acme", "globex"])),
        ("tenant", json!("*")),
        ("tenant", json!("acme\0")),
        ("tenant", json!("acme/../globex")),
        ("tenant", json!("acm\u{435}")),
        ("tenant", json!("acme,globex")),
        ("tenant", json!(0)),
        ("tenant", Value::Null),
        ("tenant", json!("nobody")),
        ("tenant", json!("__proto__")),
    ]
    .into_iter()
    .map(|(name, value)| changed(good.clone(), name, value).to_string())
    .collect();
    for more in [
        r#""tenant":"globex""#,
        r#""ten\u0061nt":"globex""#,
        r#""\u0074enant":"acme""#,
        r#""exp":9999999999"#,
        r#""iss":"https://issuer.example""#,
        r#""a":NaN"#,
        r#""a":1e999"#,
        r#""a":"\ud800""#,
        r#""a":01"#,
        r#""a":{"b":1,"b":1}"#,
    ] {
        all.push(extended(&good, more));
    }
    all.push(extended(&good, &format!(r#""a":{}{}"#, "[".repeat(500), "]".repeat(500))));
    all.push(nested.clone());
    all.push(json!(nested).to_string());
    all.push("null".to_owned());
    all.push(format!("[{good}]"));
    all.push(format!("{good}\0"));
    all
}

/// Tokens that nobody signed, or that are spelt otherwise.
fn spellings(issuer: &DevelopmentIssuer) -> Vec<String> {
    let (head, body) = (header(issuer).to_string(), claims().to_string());
    let good = sign(issuer, &head, &body);
    let [first, second, third]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let own = DevelopmentIssuer::generate().unwrap();
    let none = b64(r#"{"alg":"none"}"#);
    let padded = |text: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(text).unwrap());
    let mut all = vec![
        format!("{none}.{second}."),
        format!("{none}.{second}.{third}"),
        format!("{first}.{second}."),
        format!("{first}.{second}"),
        format!("{first}..{third}"),
        format!(".{second}.{third}"),
        format!("{good}.{third}"),
        format!("{good}.{second}.{third}"),
        format!("{good}="),
        format!("{first}.{second}=.{third}"),
        format!("{}.{second}.{third}", padded(first)),
        format!("{first}.{second}.{}", b64([0; 64])),
        format!("{first}.{second}.{}", b64([255; 64])),
        format!("{first}.{second}.{}", b64([0; 96])),
        format!("{first}.{second}.{}", b64([1])),
        format!("\"{good}\""),
        format!("{good},{good}"),
        format!("{good};{good}"),
        format!("{good}%00"),
        format!("Bearer:{good}"),
        json!({ "payload": second, "protected": first, "signature": third }).to_string(),
        sign(&own, &head, &body),
        sign(&own, &header(&own).to_string(), &body),
        sign(&own, &changed(header(&own), "jku", json!("https://evil.example")).to_string(), &body),
    ];
    let x = serde_json::from_str::<Value>(&issuer.key_set_json()).unwrap()["keys"][0]["x"].as_str().unwrap().to_owned();
    for secret in [issuer.key_set_json(), x, issuer.key_id().to_owned(), String::new(), "secret".to_owned()] {
        let signed = format!("{}.{second}", b64(changed(header(issuer), "alg", json!("HS256")).to_string()));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        all.push(format!("{signed}.{}", b64(mac.finalize().into_bytes())));
    }
    all
}

/// One bit of each character. What is no character of a header is not sent.
fn flipped(token: &str) -> Vec<String> {
    let flip = |at: usize| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] ^= 1 << (at % 7);
        String::from_utf8(bytes).unwrap()
    };
    let is_sendable = |token: &String| token.bytes().all(|b| b.is_ascii_graphic());
    (0..token.len()).map(flip).filter(is_sendable).collect()
}

#[track_caller]
fn assert_refused(answer: &Answer, what: &str) {
    let by = answer.header("x-tollgate-source");
    assert!((400..404).contains(&answer.status) && by == "gateway", "{what}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_forged_token_gets_through_in_any_place() {
    tollgate::auth::install_crypto();
    let world = World::start().await;
    let mut client = bare(&world).await;
    let (head, body) = (header(&world.issuer).to_string(), claims().to_string());
    let good = sign(&world.issuer, &head, &body);
    let signed_heads = headers(&world.issuer).into_iter().map(|head| sign(&world.issuer, &head, &body));
    let signed_claims = all_claims(&world.issuer).into_iter().map(|claims| sign(&world.issuer, &head, &claims));
    let everywhere: Vec<String> = signed_heads.chain(signed_claims).chain(spellings(&world.issuer)).collect();
    let mut tried = 0;
    for token in &everywhere {
        let bearer = with(post(CONVERSE, "{}"), "authorization", &format!("Bearer {token}"));
        let api_key = with(post(CONVERSE, "{}"), "x-api-key", token);
        let signed = with(post(CONVERSE, "{}"), "authorization", PLACEHOLDER);
        for request in [bearer, api_key, with(signed, "x-amz-security-token", token)] {
            assert_refused(&client.ask(request).await, token);
            tried += 1;
        }
    }
    for token in flipped(&good) {
        assert_refused(&client.ask(with(post(CONVERSE, "{}"), "x-api-key", &token)).await, &token);
        tried += 1;
    }
    let bad = format!("{}AAAA", &good[..good.len() - 4]);
    for values in [
        vec![format!("Bearer {good}"), format!("Bearer {bad}")],
        vec![format!("Bearer {bad}"), format!("Bearer {good}")],
        vec![format!("Bearer {good}"), format!("Bearer {good}")],
        vec![format!("Bearer {good}, Bearer {good}")],
        vec![format!("Bearer {good},Basic YTpi")],
        vec![format!("Basic YTpi, Bearer {good}")],
        vec![format!("Bearer Bearer {good}")],
        vec![format!("Bearer\t{good}")],
        vec![good.clone()],
    ] {
        let request = values.iter().fold(post(CONVERSE, "{}"), |request, value| with(request, "authorization", value));
        assert_refused(&client.ask(request).await, &format!("{values:?}"));
        tried += 1;
    }
    assert!(tried > 559, "{tried}");
    assert_eq!(world.served_count(), 0);
    client.ask(with(post(CONVERSE, "{}"), "x-api-key", &good)).await.assert_served();
}

/// The message with a change of its `Authorization`.
fn authorizing(message: &Message, change: impl Fn(&str) -> String) -> Message {
    message.clone().replacing("authorization", change)
}

/// Messages that are not what was signed, or not signed as they have to be.
fn forged(signer: &Signer, token: &str) -> Vec<(String, Message)> {
    let plain = || Message::post(CONVERSE, "{\"a\":1}");
    let good = signer.sign(plain());
    let mut all = Vec::new();
    let mut add = |what: &str, message: Message| all.push((what.to_owned(), message));
    for payload in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "",
    ] {
        add(payload, signer.sign_as(plain(), payload));
    }
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
        ("AWS4-HMAC-SHA256", "AWS3-HMAC-SHA256"),
        ("us-east-1", "us-west-2"),
        ("us-east-1", "*"),
        ("/bedrock/", "/sts/"),
        ("/bedrock/", "/bedrock-mantle/"),
        ("/bedrock/", "//"),
        ("/aws4_request", "/aws4_request/"),
        ("/aws4_request", "%2Faws4_request"),
        ("SignedHeaders=", "SignedHeaders=;"),
        ("SignedHeaders=", "SignedHeaders=:authority;"),
        ("SignedHeaders=", "SignedHeaders=authorization;"),
        ("host;", "host;host;"),
        ("host;", "HOST;"),
        ("host;", ":authority;"),
        (";x-amz-date", ";date"),
        ("Signature=", "Signature=0"),
        ("Signature=", "Signature=, Signature="),
        ("Signature=", "Signature= "),
        ("Credential=", "Credential= "),
        ("Credential=", "credential="),
        (", Signature=", "; Signature="),
    ] {
        add(&format!("{from} → {to}"), authorizing(&good, |value| value.replacen(from, to, 1)));
    }
    let signature = good.signature().to_owned();
    for (what, other) in [
        ("zeros", "0".repeat(64)),
        ("upper case", signature.to_uppercase()),
        ("short", signature[..62].to_owned()),
        ("long", format!("{signature}00")),
        ("reversed", signature.chars().rev().collect()),
        ("no hex", "g".repeat(64)),
    ] {
        if other != signature {
            add(what, authorizing(&good, |value| value.replace(&signature, &other)));
        }
    }
    for name in ["x-amz-date", "x-amz-security-token", "content-type"] {
        let value = good.header(name).unwrap_or_default().to_owned();
        let bare = |message: &Message| {
            let mut message = message.clone();
            message.headers.retain(|(known, _)| known != name);
            message
        };
        add(&format!("{name} twice"), good.clone().with(name, &value));
        add(&format!("{name} and another"), good.clone().with(name, "other"));
        let mut first = good.clone();
        first.headers.insert(0, (name.to_owned(), "other".to_owned()));
        add(&format!("another and {name}"), first);
        add(&format!("no {name}"), bare(&good));
        add(&format!("{name} under another name"), bare(&good).with(&format!("x-{name}"), &value));
    }
    for name in ["date", "x-date"] {
        add(name, authorizing(&good, |value| value.replace("x-amz-date", name)).with(name, good.header("x-amz-date").unwrap()));
    }
    let scope = good.header("authorization").unwrap().split(['=', ',']).nth(1).unwrap().replace('/', "%2F");
    let date = good.header("x-amz-date").unwrap();
    let presigned = format!(
        "{CONVERSE}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={date}&X-Amz-Expires=300\
         &X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
    );
    add("presigned", Message::post(&presigned, "{\"a\":1}"));
    add("presigned beside a header", Message { target: presigned, ..good.clone() });
    for target in [
        format!("{CONVERSE}?a=1"),
        format!("{CONVERSE}?X-Amz-Security-Token=x"),
        format!("{CONVERSE}-stream"),
        CONVERSE.replace("converse", "invoke"),
        CONVERSE.replace(':', "%3A"),
        CONVERSE.replace("/model/", "/model/x%2F"),
        format!("/bedrock-runtime{CONVERSE}"),
    ] {
        if target != CONVERSE {
            add(&target.clone(), Message { target, ..good.clone() });
        }
    }
    for method in ["GET", "PUT", "PATCH", "DELETE", "HEAD"] {
        add(method, Message { method: method.to_owned(), ..good.clone() });
    }
    for body in ["", "{}", "{\"a\":1} ", "{\"a\":2}", "{\"a\":1}{\"a\":1}"] {
        add(body, Message { body: body.as_bytes().to_vec(), ..good.clone() });
    }
    for host in ["bedrock.us-east-1.amazonaws.com", "localhost:1", "LOCALHOST", "bedrock-agent-runtime.localhost"] {
        add(host, good.clone().replacing("host", |_| host.to_owned()));
    }
    let authorization = good.header("authorization").unwrap();
    add("a bearer joined", authorizing(&good, |value| format!("{value}, Bearer {token}")));
    add("a bearer first", authorizing(&good, |value| format!("Bearer {token}, {value}")));
    add("a bearer besides", good.clone().with("authorization", &format!("Bearer {token}")));
    add("itself twice", good.clone().with("authorization", authorization));
    add("an api key besides", good.clone().with("x-api-key", token));
    add("an unsigned header that decides", good.clone().with("x-amz-content-sha256", "UNSIGNED-PAYLOAD"));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_signature_counts_for_what_it_is_not_over() {
    let world = World::with(vending(&["a"], "")).await;
    let mut client = bare(&world).await;
    let token = world.token("acme");
    let vended = vend(&mut client, &token).await;
    let (mut tried, mut wrong) = (0, Vec::new());
    for announces_hash in [false, true] {
        let signer = Signer { announces_hash, ..vended.clone() };
        for (what, message) in forged(&signer, &token) {
            let Some(request) = message.try_request() else { continue };
            match client.send(request).await {
                Ok(response) => {
                    let answer = Answer::read(response).await.unwrap();
                    if !(400..406).contains(&answer.status) || answer.header("x-tollgate-source") != "gateway" {
                        wrong.push(format!("{what}: {} {}", answer.status, answer.header("x-tollgate-source")));
                    }
                }
                // The gateway closes after what it cannot read.
                Err(_) => client = bare(&world).await,
            }
            if !client.is_ready().await {
                client = bare(&world).await;
            }
            tried += 1;
        }
    }
    assert!(tried > 140 && wrong.is_empty(), "{tried} tried: {wrong:#?}");
    assert_eq!(world.served_count(), 0);
    bare(&world).await.ask(vended.sign(Message::post(CONVERSE, "{\"a\":1}")).request()).await.assert_served();
}
