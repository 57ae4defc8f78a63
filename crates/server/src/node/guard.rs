//! What guards the planes of a node: the cookie, and its certificate where it has one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use quarry_plane::{Cookie, Credentials, Security};
use quarry_ports::{Host, Metrics};
use quarry_types::{NodeId, api::Protection};

use super::{ensure_cookie, read_cookie};
use crate::{
    configuration::{Secret, Settings},
    failure::{Exit, Failure},
};

/// So long before a certificate expires the operator hears of it at every start.
const NOTICE: Duration = Duration::from_hours(30 * 24);

/// What guards the planes of a node.
pub(crate) struct Guard {
    /// The cluster's secret.
    pub(crate) cookie: Cookie,
    credentials: Option<Credentials>,
}

impl Guard {
    /// Reads what the settings name; a node alone makes a cookie of its own in `data`.
    ///
    /// # Errors
    /// Where a file cannot be used; all that is wrong with credentials at once.
    pub(crate) fn read(settings: &Settings, data: &Path, host: &Host) -> Result<Self, Failure> {
        let secret = secret(settings, data, host)?;
        let cookie = Cookie::new(secret.reveal()).map_err(anyhow::Error::from)?;
        let credentials = credentials(settings, host)?;
        Ok(Self { cookie, credentials })
    }

    /// How the connections of `plane` are secured.
    pub(crate) fn security(&self, plane: &'static str) -> Security {
        self.credentials
            .as_ref()
            .map_or_else(Security::open, |credentials| Security::mutual(credentials, plane))
    }

    /// Tells the metrics when the certificate expires, and the operator where that is soon.
    pub(crate) fn watch_expiry(&self, metrics: &Metrics, host: &Host) {
        let Some(expires) = self.credentials.as_ref().map(Credentials::expires) else { return };
        metrics.certificate_expiry.set(expires.0 / 1_000);
        if host.clock.wall().after(NOTICE) > expires {
            let days = expires.0.saturating_sub(host.clock.wall().0) / 86_400_000;
            tracing::warn!(days, "the certificate of this node expires soon");
        }
    }
}

/// How the planes of a node with these settings are protected.
pub(crate) fn protection(settings: &Settings) -> Protection {
    let node = &settings.node;
    if settings.cluster.tls.files().is_some() {
        Protection::Tls
    } else if node.cluster.is_loopback() && node.mesh.is_loopback() {
        Protection::Loopback
    } else {
        Protection::Insecure
    }
}

fn secret(settings: &Settings, data: &Path, host: &Host) -> Result<Secret, Failure> {
    match (&settings.cluster.cookie, &settings.cluster.cookie_file) {
        (Some(cookie), _) => Ok(cookie.clone()),
        (None, Some(file)) => read_cookie(file),
        (None, None) => ensure_cookie(&data.join("cookie"), host),
    }
}

fn credentials(settings: &Settings, host: &Host) -> Result<Option<Credentials>, Failure> {
    let Some(files) = settings.cluster.tls.files() else { return Ok(None) };
    let mode = fs::metadata(&files.key).map(|file| file.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let key = files.key.display();
        tracing::warn!(%key, "others than its owner may use the node's private key; chmod 600 it");
    }
    let (name, node) = (&settings.cluster.name, NodeId(settings.node.id));
    Credentials::load(&files, name, node, host.clock.wall()).map(Some).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let message =
            format!("the credentials of this node cannot be used\n  {}", lines.join("\n  "));
        Failure::new(Exit::Usage, message).advise("check cluster.tls")
    })
}
