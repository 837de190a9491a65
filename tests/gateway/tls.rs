//! Listeners with TLS: which certificate a client gets, what is spoken, who must show a certificate, and how sessions are resumed.

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    client::Client,
    harness::{INVOKE, Settings, World, within},
};

/// An authority, and where its certificates are written.
pub struct Authority {
    pub directory: TempDir,
    /// Its own certificate.
    pub pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { directory, pem: certificate.pem(), certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate of these names: itself, its key, and in PEM.
    pub fn certify(&self, common_name: &str, names: &[&str]) -> (CertificateDer<'static>, KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.der().clone(), key, leaf.pem())
    }

    /// Writes a server's certificate as NAME.pem and NAME.key; the configuration's keys for it.
    pub fn serve(&self, name: &str, names: &[&str]) -> String {
        let (_, key, pem) = self.certify(name, names);
        let path = |extension: &str| self.directory.path().join(format!("{name}.{extension}"));
        std::fs::write(path("pem"), pem).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        format!("certificate_file = {:?}\nprivate_key_file = {:?}\n", path("pem"), path("key"))
    }

    /// A third listener, with these keys in its `tls`.
    pub async fn world(&self, tls: &str) -> World {
        let section = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[listeners.tls]\n";
        World::with(Settings { sections: section.to_owned() + tls, ..Settings::default() }).await
    }

    fn trusting(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        ClientConfig::builder_with_protocol_versions(&[&TLS12, &TLS13]).with_root_certificates(roots)
    }

    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.trusting().with_no_client_auth())
    }

    fn client_named(&self, signer: &Authority, common_name: &str) -> Arc<ClientConfig> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.client_with(signer, params)
    }

    /// A certificate of these parameters, in PEM.
    pub fn pem(&self, params: &CertificateParams) -> String {
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().pem()
    }

    /// Shows a certificate that `signer` made of these parameters.
    pub fn client_with(&self, signer: &Authority, params: CertificateParams) -> Arc<ClientConfig> {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &signer.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(self.trusting().with_client_auth_cert(vec![leaf], key).unwrap())
    }
}

pub async fn connect(address: SocketAddr, config: &Arc<ClientConfig>, host: &'static str) -> io::Result<TlsStream<TcpStream>> {
    handshake(TcpStream::connect(address).await?, config, host).await
}

pub async fn handshake(stream: TcpStream, config: &Arc<ClientConfig>, host: &'static str) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config.clone()).connect(ServerName::try_from(host).unwrap(), stream).await
}

/// One request over a connection of its own; what is answered, or why nothing is.
async fn ask(world: &World, config: &Arc<ClientConfig>, host: &'static str) -> io::Result<(String, TlsStream<TcpStream>)> {
    let mut stream = connect(world.gateway.traffic[2], config, host).await?;
    let token = world.bearer("acme");
    let request = format!(
        "POST {INVOKE} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await?;
    Ok((String::from_utf8(answer).unwrap(), stream))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_is_the_one_for_the_name_and_each_is_renewed() {
    let (first, second, renewed) = (Authority::new(), Authority::new(), Authority::new());
    let tls = first.serve("default", &["localhost"])
        + "[[listeners.tls.certificates]]\n"
        + &second.serve("other", &["*.gw.example", "gw.example"]);
    let world = first.world(&tls).await;
    let served = async |authority: &Authority, host: &'static str| {
        ask(&world, &authority.client(), host).await.is_ok_and(|(answer, _)| answer.starts_with("HTTP/1.1 200 "))
    };
    assert!(served(&first, "localhost").await);
    assert!(served(&second, "gw.example").await);
    assert!(served(&second, "bedrock-agent.gw.example").await);
    assert!(!served(&second, "localhost").await, "that one has the first certificate");
    assert!(!served(&second, "a.b.gw.example").await, "a wildcard is one label");
    let expiries = world.metrics().await;
    for name in ["expiry", "renewal"] {
        let series = format!("\ntollgate_certificate_{name}_timestamp_seconds{{");
        assert_eq!(expiries.0.matches(&series).count(), 3, "{}", expiries.0);
    }

    // The files alone change: they are watched.
    let (_, key, pem) = renewed.certify("other", &["gw.example"]);
    std::fs::write(second.directory.path().join("other.key"), key.serialize_pem()).unwrap();
    std::fs::write(second.directory.path().join("other.pem"), pem).unwrap();
    within(async { while !served(&renewed, "gw.example").await {} }).await;
    assert!(served(&first, "localhost").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_replaced_under_load_fail_no_handshake_and_no_request() {
    let authority = Authority::new();
    let world = Arc::new(authority.world(&authority.serve("default", &["localhost"])).await);
    let stop = Arc::new(AtomicBool::new(false));
    // A resumed session would show the certificate that it began with.
    let mut config = (*authority.client()).clone();
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (world, stop, config) = (world.clone(), stop.clone(), config.clone());
        load.spawn(async move {
            let mut leaves = HashSet::new();
            while !stop.load(Ordering::Relaxed) {
                let (answer, stream) = ask(&world, &config, "localhost").await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                leaves.insert(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec());
            }
            leaves.len()
        });
    }
    for _ in 0..20 {
        authority.serve("default", &["localhost"]);
        assert!(world.gateway.reload().await);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(load.join_all().await.into_iter().all(|leaves| leaves > 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modern_is_tls_1_3_alone() {
    let authority = Authority::new();
    let keys = authority.serve("server", &["localhost"]);
    for (policy, old) in [("intermediate", true), ("modern", false)] {
        let world = authority.world(&format!("{keys}policy = \"{policy}\"\n")).await;
        let only = |version| {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.clone()).unwrap();
            Arc::new(ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots).with_no_client_auth())
        };
        let spoken = async |version| {
            let stream = connect(world.gateway.traffic[2], &only(version), "localhost").await.ok()?;
            stream.get_ref().1.protocol_version()
        };
        assert_eq!(spoken(&TLS13).await, Some(ProtocolVersion::TLSv1_3));
        assert_eq!(spoken(&TLS12).await, old.then_some(ProtocolVersion::TLSv1_2), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn required_client_certificates_are_verified_and_named_in_the_log() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = format!("client_ca_file = {:?}\n", authority.directory.path().join("ca.pem"));
    let world = authority.world(&(authority.serve("server", &["localhost"]) + &ca)).await;
    let (answer, _) = ask(&world, &authority.client_named(&authority, "build farm"), "localhost").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(world.log_lines(1).await[0]["client_certificate"], "build farm");
    let mut h2 = ClientConfig::clone(&authority.client_named(&authority, "h2 farm"));
    h2.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(world.gateway.traffic[2], &Arc::new(h2), "localhost").await.unwrap();
    Client::http2(stream, world.bearer("acme")).await.unwrap().post(INVOKE, "{}").await.assert_served();
    assert_eq!(world.log_lines(2).await[1]["client_certificate"], "h2 farm");
    for refused in [authority.client(), authority.client_named(&stranger, "build farm")] {
        assert!(ask(&world, &refused, "localhost").await.is_err());
    }
    assert_eq!(world.served_count(), 2);
    world.until_sum("tollgate_connections_refused_total", &["reason=\"tls\""], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn optional_client_certificates_may_be_missing_but_not_false() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = format!("client_certificates = \"optional\"\nclient_ca_file = {:?}\n", authority.directory.path().join("ca.pem"));
    let world = authority.world(&(authority.serve("server", &["localhost"]) + &ca)).await;
    let (answer, _) = ask(&world, &authority.client(), "localhost").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(world.log_lines(1).await[0].get("client_certificate").is_none());
    assert!(ask(&world, &authority.client_named(&stranger, "build farm"), "localhost").await.is_err());
    // With a certificate nothing is resumed: one that was withdrawn meanwhile would go unseen.
    let named = authority.client_named(&authority, "build farm");
    for _ in 0..2 {
        let (_, stream) = ask(&world, &named, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    let world = authority.world(&authority.serve("server", &["localhost"])).await;
    let kind = async |config: &Arc<ClientConfig>| {
        ask(&world, config, "localhost").await.unwrap().1.get_ref().1.handshake_kind().unwrap()
    };
    for version in [&TLS12, &TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots);
        let config = Arc::new(config.with_no_client_auth());
        assert_eq!(kind(&config).await, HandshakeKind::Full);
        assert_eq!(kind(&config).await, HandshakeKind::Resumed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_falls_silent_before_its_first_request_is_not_waited_for() {
    let world = World::start().await;
    let hello = TcpStream::connect(world.gateway.traffic[1]).await.unwrap();
    let mut h2 = crate::client::tls(world.gateway.traffic[1], &world.ca, "h2").await.unwrap();
    let mut rest = Vec::new();
    let _ = within(h2.read_to_end(&mut rest)).await;
    let mut hello = crate::client::Raw(hello);
    assert!(hello.read_to_end().await.is_empty());
    world.until_sum("tollgate_connections_refused_total", &["reason=\"silent\""], 2.0).await;
    world.until_sum("tollgate_connections", &["listener"], 0.0).await;
}
