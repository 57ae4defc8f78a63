//! A node's certificate, its key, and the authority of its cluster.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use quarry_types::{NodeId, Timestamp};
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use webpki::EndEntityCert;

use crate::{
    fault::{Fault, FileFault},
    names::node_name,
    security::server_name,
};

/// Where a node's credentials are; all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificates of the cluster's authority.
    pub ca: PathBuf,
    /// The node's certificate, and those between it and the authority, where there are any.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// A node's certificate, its key, and the authority of its cluster: read, and found to fit together.
pub struct Credentials {
    cluster: String,
    expires: Timestamp,
    client: ClientConfig,
    server: ServerConfig,
}

/// The pieces as they were read.
struct Pieces {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// After every certificate's end: 31 December 9999, beyond which X.509 cannot go.
const END_OF_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::from_hours(70_389_528));

impl Credentials {
    /// Reads the credentials of `node` and checks them as a peer would, `now`.
    ///
    /// # Errors
    /// What is wrong with the files, all at once.
    pub fn load(
        files: &Files,
        cluster: &str,
        node: NodeId,
        now: Timestamp,
    ) -> Result<Self, Vec<FileFault>> {
        let pieces = read(files)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |fault| vec![FileFault { path, fault }]
        };
        let expires = check(&pieces.roots, &pieces.chain, cluster, node, unix_time(now))
            .map_err(at(&files.cert))?;
        let (client, server) = configure(pieces).map_err(|error| match error {
            Error::InconsistentKeys(_) => at(&files.key)(Fault::OtherKey),
            error => at(&files.key)(malformed("private key", &error)),
        })?;
        Ok(Self { cluster: cluster.to_owned(), expires, client, server })
    }

    /// When the certificate expires.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn configs(&self) -> (ClientConfig, ServerConfig) {
        (self.client.clone(), self.server.clone())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

fn malformed(what: &'static str, reason: &dyn fmt::Display) -> Fault {
    Fault::Malformed { what, reason: reason.to_string() }
}

fn read(files: &Files) -> Result<Pieces, Vec<FileFault>> {
    let mut faults = Vec::new();
    let mut keep = |path: &Path, fault| faults.push(FileFault { path: path.to_owned(), fault });
    let roots = bytes(&files.ca).and_then(|pem| roots(&pem));
    let roots = roots.map_err(|fault| keep(&files.ca, fault));
    let chain = bytes(&files.cert).and_then(|pem| certificates(&pem));
    let chain = chain.map_err(|fault| keep(&files.cert, fault));
    let key = bytes(&files.key).and_then(|pem| key(&pem));
    let key = key.map_err(|fault| keep(&files.key, fault));
    match (roots, chain, key) {
        (Ok(roots), Ok(chain), Ok(key)) => Ok(Pieces { roots, chain, key }),
        _ => Err(faults),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Unreadable(error.to_string()),
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| malformed("certificate", &error))?;
    if found.is_empty() {
        return Err(Fault::Empty { wanted: "certificate" });
    }
    Ok(found)
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| malformed("certificate", &error))?;
    }
    Ok(Arc::new(roots))
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    match PrivateKeyDer::pem_slice_iter(pem).next() {
        Some(key) => key.map_err(|error| malformed("private key", &error)),
        None => Err(Fault::Empty { wanted: "private key" }),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether a certificate of `node`, in PEM, is of the authority with the certificate `ca`.
pub(crate) fn fit(
    ca: &str,
    cert: &str,
    cluster: &str,
    node: NodeId,
    now: Timestamp,
) -> Result<(), Fault> {
    let chain = certificates(cert.as_bytes())?;
    check(&roots(ca.as_bytes())?, &chain, cluster, node, unix_time(now)).map(|_| ())
}

fn unix_time(at: Timestamp) -> UnixTime {
    let milliseconds = u64::try_from(at.0).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_millis(milliseconds))
}

/// Looks at the certificate as a peer would, as client and as server; when it expires.
fn check(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    cluster: &str,
    node: NodeId,
    now: UnixTime,
) -> Result<Timestamp, Fault> {
    let (end, between) = chain.split_first().ok_or(Fault::Empty { wanted: "certificate" })?;
    let client = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
    let client = client.build().map_err(|error| malformed("authority", &error))?;
    let explain = |error: Error| fault_of(&error, end, cluster, node);
    client.verify_client_cert(end, between, now).map_err(explain)?;
    let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider());
    let server = server.build().map_err(|error| malformed("authority", &error))?;
    let name = server_name(cluster, node).map_err(|error| malformed("name", &error))?;
    server.verify_server_cert(end, between, &name, &[], now).map_err(explain)?;
    let expires = match client.verify_client_cert(end, between, END_OF_TIME) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            not_after
        }
        _ => END_OF_TIME,
    };
    let milliseconds = expires.as_secs().saturating_mul(1_000);
    Ok(Timestamp(i64::try_from(milliseconds).unwrap_or(i64::MAX)))
}

fn fault_of(error: &Error, end: &CertificateDer<'_>, cluster: &str, node: NodeId) -> Fault {
    match error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            Fault::Expired { for_seconds: time.as_secs().saturating_sub(not_after.as_secs()) }
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            Fault::NotYet { in_seconds: not_before.as_secs().saturating_sub(time.as_secs()) }
        }
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Fault::OtherAuthority,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Fault::OtherNode {
            found: names_in(end),
            node,
            cluster: cluster.to_owned(),
            wanted: node_name(cluster, node),
        },
        error => malformed("certificate", error),
    }
}

fn names_in(end: &CertificateDer<'_>) -> String {
    let names: Vec<&str> = EndEntityCert::try_from(end)
        .map(|certificate| certificate.valid_dns_names().collect())
        .unwrap_or_default();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// TLS 1.3 only, for all nodes are ours; nothing is resumed, so that every connection is checked
/// in full.
fn configure(pieces: Pieces) -> Result<(ClientConfig, ServerConfig), Error> {
    let Pieces { roots, chain, key } = pieces;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.clone(), key.clone_key())?;
    client.resumption = Resumption::disabled();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok((client, server))
}

#[cfg(test)]
impl Credentials {
    /// A security that believes the authority and shows no certificate of its own.
    pub(crate) fn without_client_certificate(&self, plane: &'static str) -> crate::Security {
        struct Nothing;
        impl rustls::client::ResolvesClientCert for Nothing {
            fn resolve(
                &self,
                _: &[&[u8]],
                _: &[rustls::SignatureScheme],
            ) -> Option<Arc<rustls::sign::CertifiedKey>> {
                None
            }
            fn has_certs(&self) -> bool {
                false
            }
        }
        impl fmt::Debug for Nothing {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Nothing")
            }
        }
        let (mut client, server) = self.configs();
        client.client_auth_cert_resolver = Arc::new(Nothing);
        let cluster = self.cluster.clone();
        crate::Security::mutual(&Self { cluster, expires: self.expires, client, server }, plane)
    }

    /// The same credentials, used as if they were another cluster's.
    pub(crate) fn posing_as(self, cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), ..self }
    }
}
