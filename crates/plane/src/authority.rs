//! The authority of a cluster: makes the certificates of its nodes.

use std::fmt;

use quarry_types::{NodeId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::{credentials, names::node_name};

/// The authority of a cluster. Its key makes certificates that every node believes: it belongs on
/// no node.
pub struct Authority {
    cluster: String,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// From when until when a certificate is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub from: Timestamp,
    /// The last instant.
    pub until: Timestamp,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// Its private key; not shown.
    pub key: String,
}

/// Why the authority made or read nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The cryptographic library did not do it.
    #[error(transparent)]
    Library(#[from] rcgen::Error),
    /// An instant that no certificate can name.
    #[error("{0} is no instant that a certificate can name")]
    Instant(Timestamp),
    /// What was read is not a certificate of this cluster's authority and its key.
    #[error(
        "the certificate and the key are not those of an authority of cluster {cluster:?}: {reason}"
    )]
    NotOurs {
        /// The cluster.
        cluster: String,
        /// What does not fit.
        reason: String,
    },
}

impl Authority {
    /// Makes a new authority with a new key (ECDSA P-256).
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn create(cluster: &str, validity: Validity) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let params = params_of_authority(cluster, validity)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { cluster: cluster.to_owned(), certificate, issuer: Issuer::new(params, key) })
    }

    /// Takes up an authority that [`Authority::create`] made for the same cluster.
    ///
    /// # Errors
    /// [`AuthorityError::NotOurs`] where certificate, key and cluster do not belong together.
    pub fn load(cluster: &str, certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let not_ours =
            |reason: String| AuthorityError::NotOurs { cluster: cluster.to_owned(), reason };
        let key = KeyPair::from_pem(key).map_err(|error| not_ours(error.to_string()))?;
        // Only name and key go into what it issues.
        let any = Validity { from: Timestamp(0), until: Timestamp(DAY) };
        let issuer = Issuer::new(params_of_authority(cluster, any)?, key);
        let authority =
            Self { cluster: cluster.to_owned(), certificate: certificate.to_owned(), issuer };
        let trial = authority.issue(NodeId(0), any)?;
        credentials::fit(certificate, &trial.cert, cluster, NodeId(0), any.from)
            .map_err(|fault| not_ours(fault.to_string()))?;
        Ok(authority)
    }

    /// Its certificate, in PEM: every node gets it.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key, in PEM: no node gets it.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes a certificate for `node` with a new key.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn issue(&self, node: NodeId, validity: Validity) -> Result<Issued, AuthorityError> {
        self.issue_named(&node_name(&self.cluster, node), validity)
    }

    pub(crate) fn issue_named(
        &self,
        dns: &str,
        validity: Validity,
    ) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([dns.to_owned()])?;
        params.distinguished_name = name(dns);
        params.not_before = instant(validity.from)?;
        params.not_after = instant(validity.until)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert, key: key.serialize_pem() })
    }
}

/// One day, in milliseconds.
const DAY: i64 = 86_400_000;

fn params_of_authority(
    cluster: &str,
    validity: Validity,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(&format!("quarry authority of {cluster}"));
    params.not_before = instant(validity.from)?;
    params.not_after = instant(validity.until)?;
    // It vouches for nodes, and for no other authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn instant(at: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000))
        .map_err(|_| AuthorityError::Instant(at))
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued(***)")
    }
}
