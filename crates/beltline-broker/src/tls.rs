//! Encryption of connections from other machines, by rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use beltline_env::{Files, RealFiles};
use beltline_types::{Error, ErrorKind, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificate an endpoint shows, as files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The endpoint's certificate, and behind it those that lead to an authority the clients trust.
    pub certificate: PathBuf,
    /// Its private key, without a password.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// `Usage` when one cannot be read, holds something else, or the key belongs to another certificate.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>> {
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&read("endpoint_certificate", &self.certificate)?)
                .collect::<std::result::Result<_, _>>()
                .map_err(|error| refused("endpoint_certificate", &self.certificate, "is no file in PEM", error))?;
        if certificates.is_empty() {
            let message = format!("setting endpoint_certificate: {} holds no certificate", self.certificate.display());
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let key = PrivateKeyDer::from_pem_slice(&read("endpoint_key", &self.key)?)
            .map_err(|error| refused("endpoint_key", &self.key, "holds no private key without a password", error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(certificates, key));
        let config = config.map_err(|error| {
            refused("endpoint_key", &self.key, "does not fit the certificate of endpoint_certificate", error)
        })?;
        Ok(Arc::new(config))
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>> {
    RealFiles.read(path).map_err(|error| refused(setting, path, "cannot be read", error))
}

fn refused(setting: &str, path: &Path, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("setting {setting}: {} {what}", path.display());
    Error::new(ErrorKind::Usage, message).with_source(error)
}
