//! What is asked of the simulator itself, on its own port and without a signature: the record and the script.

use http::{Method, StatusCode, request::Parts};
use serde_json::json;

use super::{
    answers::{Answer, errors},
    exchange::{Exchange, json as json_answer},
    script::Script,
};

const JSON: &str = "application/json";

/// `GET` and `DELETE /_simulator/record`, `PUT /_simulator/script`, `POST /_simulator/keys`.
pub(super) fn answer(exchange: &Exchange, parts: &Parts, body: &[u8]) -> Answer {
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/_simulator/record") => record(exchange, parts.uri.query().unwrap_or_default()),
        (&Method::DELETE, "/_simulator/record") => {
            exchange.record.clear();
            json_answer(StatusCode::OK, JSON, "{}")
        }
        (&Method::PUT, "/_simulator/script") => script(exchange, body),
        (&Method::POST, "/_simulator/keys") => key(exchange, body),
        _ => json_answer(StatusCode::NOT_FOUND, JSON, r#"{"message":"the simulator has no such page"}"#),
    }
}

/// `?since=N`: only requests with an id over N.
fn record(exchange: &Exchange, query: &str) -> Answer {
    let since = query.split('&').find_map(|pair| pair.strip_prefix("since="));
    let Ok(since) = since.map_or(Ok(0), str::parse) else {
        return errors::bad_request("`since` is the id of a request");
    };
    let requests: Vec<_> = exchange.record.since(since).iter().map(|served| served.to_json()).collect();
    json_answer(StatusCode::OK, JSON, json!({"requests": requests, "totals": exchange.record.totals()}).to_string())
}

/// One key, as a JSON object.
fn key(exchange: &Exchange, body: &[u8]) -> Answer {
    match serde_json::from_slice(body) {
        Ok(key) => {
            exchange.trust(key);
            json_answer(StatusCode::OK, JSON, "{}")
        }
        Err(error) => errors::bad_request(&error.to_string()),
    }
}

fn script(exchange: &Exchange, body: &[u8]) -> Answer {
    match std::str::from_utf8(body)
        .map_err(|error| error.to_string())
        .and_then(|text| Script::parse(text).map_err(|e| e.to_string()))
    {
        Ok(script) => {
            exchange.set_script(script);
            json_answer(StatusCode::OK, JSON, "{}")
        }
        Err(error) => errors::bad_request(&error),
    }
}
