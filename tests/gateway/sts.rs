//! An STS on this machine: it makes keys for whatever it is asked, lets the simulator know them, and keeps what it was asked. It can say no,
//! be out, or keep its callers waiting.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tollgate::simulator::{Simulator, SimulatorKey};

use crate::harness::{DEADLINE, until};

/// How it behaves.
#[derive(Clone, Debug)]
pub enum Mood {
    /// Makes sessions of so many seconds.
    Well(u64),
    /// Refuses the calls for this role, and makes sessions for others.
    Denies(&'static str),
    /// Closes connections without a word.
    Out,
    /// Answers 200 with this.
    Says(&'static str),
    /// Answers with this status line's end and this code.
    Fails(&'static str, &'static str),
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Call {
    /// The parameters of the form, decoded.
    pub form: BTreeMap<String, String>,
    /// `Authorization`.
    pub authorization: String,
    /// `X-Amz-Security-Token`.
    pub security_token: Option<String>,
    /// The key it was answered with.
    pub access_key_id: Option<String>,
}

type Trust = Box<dyn Fn(SimulatorKey) + Send + Sync>;

struct State {
    mood: Mutex<Mood>,
    calls: Mutex<Vec<Call>>,
    trust: Mutex<Option<Trust>>,
    /// False: nobody is answered.
    open: watch::Sender<bool>,
}

pub struct Sts {
    pub url: String,
    state: Arc<State>,
}

impl Call {
    pub fn get(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    /// The session tags.
    pub fn tags(&self) -> BTreeMap<&str, &str> {
        (1..=50)
            .map_while(|n| {
                Some((self.form.get(&format!("Tags.member.{n}.Key"))?, self.form.get(&format!("Tags.member.{n}.Value"))?))
            })
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }
}

impl Sts {
    pub async fn start() -> Sts {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Well(3_600)),
            calls: Mutex::default(),
            trust: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, shared.clone()));
            }
        });
        Sts { url, state }
    }

    /// The keys that it makes are good there.
    pub fn makes_keys_for(&self, simulator: &Simulator) {
        *self.state.trust.lock().unwrap() = Some(Box::new(simulator.trusting()));
    }

    pub fn is(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Keeps callers waiting from now on, or no longer.
    pub fn holds(&self, holds: bool) {
        self.state.open.send_replace(!holds);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Waits until it was called so often.
    pub async fn until_called(&self, count: usize) -> Vec<Call> {
        until("calls of STS", || self.calls().len() >= count).await;
        self.calls()
    }

    /// The call that a key was made for.
    pub fn made(&self) -> HashMap<String, Call> {
        self.calls().into_iter().filter_map(|call| Some((call.access_key_id.clone()?, call))).collect()
    }
}

async fn serve(mut connection: TcpStream, state: Arc<State>) {
    while let Some((head, body)) = read(&mut connection).await {
        let number = record(&state, &head, &body);
        let mut open = state.open.subscribe();
        let _ = tokio::time::timeout(DEADLINE, open.wait_for(|open| *open)).await;
        let Some(answer) = answer(&state, number) else { return };
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(connection: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn record(state: &State, head: &str, body: &str) -> usize {
    let form = body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decoded(name), decoded(value)));
    let call = Call {
        form: form.collect(),
        authorization: header(head, "authorization").unwrap_or_default().to_owned(),
        security_token: header(head, "x-amz-security-token").map(str::to_owned),
        access_key_id: None,
    };
    let mut calls = state.calls.lock().unwrap();
    calls.push(call);
    calls.len() - 1
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn answer(state: &State, number: usize) -> Option<String> {
    let mood = state.mood.lock().unwrap().clone();
    let mut calls = state.calls.lock().unwrap();
    let call = &mut calls[number];
    let seconds = match mood {
        Mood::Out => return None,
        Mood::Says(text) => return Some(http("200 OK", text)),
        Mood::Fails(status, code) => {
            let error = format!("<Code>{code}</Code><Message>later</Message>");
            return Some(http(status, &format!("<ErrorResponse><Error>{error}</Error><RequestId>r</RequestId></ErrorResponse>")));
        }
        Mood::Denies(role) if call.get("RoleArn") == role => {
            let error = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                <Code>AccessDenied</Code><Message>User is not authorized to perform: sts:AssumeRole</Message></Error>\
                <RequestId>r</RequestId></ErrorResponse>";
            return Some(http("403 Forbidden", error));
        }
        Mood::Denies(_) => 3_600,
        Mood::Well(seconds) => seconds,
    };
    let id = format!("ASIA{number:06}");
    let key = SimulatorKey {
        access_key_id: id.clone(),
        secret_access_key: format!("secret-{number}"),
        session_token: Some(format!("token-{number}")),
    };
    let expires = Timestamp::try_from(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    let xml = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/x/y</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{expires:.0}</Expiration></Credentials></AssumeRoleResult>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleResponse>",
        key.secret_access_key,
        key.session_token.as_deref().unwrap()
    );
    call.access_key_id = Some(id);
    state.trust.lock().unwrap().as_ref().unwrap()(key);
    Some(http("200 OK", &xml))
}

fn http(status: &str, xml: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{xml}", xml.len())
}
