//! What the errors of TLS say about a peer.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::{refusal::Refusal, security::SecurityError};

/// What a failed handshake was: our refusal, the peer's, or a broken connection.
pub(crate) fn of(error: io::Error) -> SecurityError {
    let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return SecurityError::Broken(error);
    };
    match reason {
        Error::AlertReceived(alert) => SecurityError::ByPeer(of_alert(*alert)),
        reason => SecurityError::Refused(of_error(reason)),
    }
}

fn of_error(error: &Error) -> Refusal {
    match error {
        Error::NoCertificatesPresented => Refusal::NoCertificate,
        Error::InvalidCertificate(reason) => of_certificate(reason),
        Error::PeerIncompatible(_) => Refusal::Version,
        _ => Refusal::Garbage,
    }
}

fn of_certificate(error: &CertificateError) -> Refusal {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Refusal::Expired,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Refusal::Authority,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Refusal::Node
        }
        _ => Refusal::Certificate,
    }
}

/// What the peer found, by the alert that it sent.
fn of_alert(alert: AlertDescription) -> Refusal {
    match alert {
        AlertDescription::CertificateRequired => Refusal::NoCertificate,
        AlertDescription::CertificateExpired => Refusal::Expired,
        AlertDescription::UnknownCA | AlertDescription::DecryptError => Refusal::Authority,
        AlertDescription::ProtocolVersion => Refusal::Version,
        AlertDescription::RecordOverflow => Refusal::Oversized,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => Refusal::Certificate,
        _ => Refusal::Garbage,
    }
}
