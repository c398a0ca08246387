//! A certificate authority for each server, made at start and never stored. Another may take its place
//! while the server runs.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};

/// What a server shows, and what its clients must trust.
#[derive(Clone)]
pub(super) struct Identity {
    /// Certificate and key.
    pub server: Arc<ServerConfig>,
    /// The authority, for kubeconfigs.
    pub ca_pem: String,
}

/// The identity that counts now, for new connections.
#[derive(Clone)]
pub(super) struct CurrentIdentity {
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    identity: Arc<Mutex<Identity>>,
}

impl CurrentIdentity {
    /// The first one.
    ///
    /// # Errors
    /// A name that is neither a DNS name nor an address.
    pub(super) fn generate(addresses: Vec<IpAddr>, names: Vec<String>) -> anyhow::Result<Self> {
        let first = Identity::generate(&addresses, &names)?;
        Ok(Self {
            addresses,
            names,
            identity: Arc::new(Mutex::new(first)),
        })
    }

    /// Another one, from a new authority.
    ///
    /// # Errors
    /// None that the first one had not.
    pub(super) fn replace(&self) -> anyhow::Result<()> {
        let fresh = Identity::generate(&self.addresses, &self.names)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(super) fn get(&self) -> Identity {
        let identity = self.identity.lock();
        identity.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Identity {
    /// For a server that is reached under these names and addresses.
    ///
    /// # Errors
    /// A name that is neither a DNS name nor an address.
    fn generate(addresses: &[IpAddr], names: &[String]) -> anyhow::Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name = name("redstart test CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

        let mut subjects = vec!["localhost".to_owned(), "kubernetes.default.svc".to_owned()];
        subjects.extend(addresses.iter().map(ToString::to_string));
        subjects.extend(names.iter().cloned());
        let mut leaf = CertificateParams::new(subjects)?;
        leaf.distinguished_name = name("redstart test API server");
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &ca)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            ca_pem: ca.pem(),
        })
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
